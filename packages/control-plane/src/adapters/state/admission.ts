// What every engine of State refuses before anything is sent or done.
// Owns:          partitions of keys (S3), declared indexes and logs, limits of values and batches, scores.
// Must not know: engines; what is stored (checks of a batch are the engine's).
// A1. A refused call has done nothing: STATE_REFUSED. A2. After admission nothing in a batch can fail (S2).

import { Fault } from "../../ports/fault.ts";
import type { Json } from "../../ports/json.ts";
import type {
  Batch,
  Change,
  Check,
  IndexKey,
  IndexRule,
  Layout,
  ListQuery,
  LogKey,
  LogRule,
  RecordKey,
  Span,
} from "../../ports/state.ts";

export interface AdmissionLimits {
  readonly partitions: number;
  readonly valueBytesMax: number;
  readonly changesMax: number;
  readonly attaches: boolean;
}

/** The texts of a batch's values and payloads: one per change, "" where a change has none. */
export type Texts = readonly string[];

export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #indexes: ReadonlyMap<string, IndexRule>;
  readonly #logs: ReadonlyMap<string, LogRule>;

  constructor(limits: AdmissionLimits, layout: Layout) {
    this.#limits = limits;
    this.#indexes = new Map(Object.entries(layout.indexes));
    this.#logs = new Map(Object.entries(layout.logs));
  }

  partition(partition: number): void {
    const exists = Number.isInteger(partition) && partition >= 0 && partition < this.#limits.partitions;
    if (!exists) refuse(`there is no partition ${partition}`);
  }

  record(key: RecordKey): void {
    this.partition(key.partition);
    wellFormed(key.kind);
    wellFormed(key.id);
  }

  index(key: IndexKey): IndexRule {
    this.partition(key.partition);
    for (const part of key.of) wellFormed(part);
    return this.#indexes.get(key.index) ?? refuse(`index ${key.index} is not declared`);
  }

  span(span: Span): IndexRule {
    if (Number.isNaN(span.min) || Number.isNaN(span.max)) refuse("a bound is not a number");
    return this.index(span.index);
  }

  log(key: LogKey): LogRule {
    this.partition(key.partition);
    wellFormed(key.of);
    return this.#logs.get(key.log) ?? refuse(`log ${key.log} is not declared`);
  }

  list(query: ListQuery): IndexRule {
    for (const index of query.alsoIn) {
      this.index(index);
      if (index.partition !== query.span.index.partition) refuse("a list lies in one partition");
    }
    positive(query.limit, "limit");
    positive(query.examineMax, "examineMax");
    if (query.after !== undefined) safeNumber(query.after.score, "a position's score");
    return this.span(query.span);
  }

  /** Answers the JSON text of every change's value. */
  batch(batch: Batch): Texts {
    this.partition(batch.partition);
    if (batch.changes.length > this.#limits.changesMax)
      refuse(`a batch has at most ${this.#limits.changesMax} changes`);
    for (const check of batch.checks) this.#check(check, batch.partition);
    for (const index of batch.tell ?? []) {
      this.index(index);
      same(index.partition, batch.partition);
    }
    return batch.changes.map((change) => this.#change(change, batch.partition));
  }

  #check(check: Check, partition: number): void {
    if (check.is === "at" || check.is === "absent") {
      this.record(check.key);
      same(check.key.partition, partition);
      return;
    }
    this.index(check.index);
    same(check.index.partition, partition);
    if (check.is !== "fewer") wellFormed(check.member);
  }

  #change(change: Change, partition: number): string {
    switch (change.do) {
      case "put":
        this.record(change.key);
        same(change.key.partition, partition);
        if (change.wakeAt !== "never") safeNumber(change.wakeAt, "wakeAt");
        if (change.keepMs !== undefined) positive(change.keepMs, "keepMs");
        return this.#text(change.value);
      case "delete":
        this.record(change.key);
        same(change.key.partition, partition);
        return "";
      case "append":
        this.log(change.log);
        same(change.log.partition, partition);
        return this.#text(change.entry);
      case "attach":
        if (!this.#limits.attaches) refuse("this store takes no payloads in batches");
        wellFormed(change.key);
        wellFormed(change.text);
        positive(change.keepMs, "keepMs");
        return this.#bounded(change.text);
      case "enter":
        safeNumber(change.score, "score");
        break;
      case "leave":
        break;
    }
    this.index(change.index);
    same(change.index.partition, partition);
    wellFormed(change.member);
    return "";
  }

  #text(value: Json): string {
    const text = jsonText(value);
    if (text === undefined) refuse("a value is not JSON");
    return this.#bounded(text);
  }

  #bounded(text: string): string {
    const bytesMax = this.#limits.valueBytesMax;
    // Three bytes of UTF-8 at most for each code unit: only long texts need counting.
    if (text.length * 3 > bytesMax && Buffer.byteLength(text) > bytesMax)
      refuse(`a value has at most ${bytesMax} bytes`);
    return text;
  }
}

function jsonText(value: Json): string | undefined {
  try {
    return JSON.stringify(value);
  } catch (cause) {
    throw new Fault("STATE_REFUSED", "a value is not JSON", { cause });
  }
}

/** Limits of lists, takes and sweeps: whole and at least 1. */
export function positive(value: number, name: string): void {
  if (!Number.isSafeInteger(value) || value < 1) refuse(`${name} is not a whole number from 1 on`);
}

// Engines keep scores as 64-bit integers or doubles; beyond 2^53 they would not agree.
function safeNumber(value: number, name: string): void {
  if (!(Math.abs(value) <= Number.MAX_SAFE_INTEGER)) refuse(`${name} is not a number up to 2^53`);
}

// UTF-8 has no lone surrogates: two such names could become one.
function wellFormed(name: string): void {
  if (!name.isWellFormed()) refuse("a name is not well-formed Unicode");
}

function same(partition: number, expected: number): void {
  if (partition !== expected) refuse(`a batch of partition ${expected} has a key of partition ${partition}`);
}

function refuse(detail: string): never {
  throw new Fault("STATE_REFUSED", detail);
}
