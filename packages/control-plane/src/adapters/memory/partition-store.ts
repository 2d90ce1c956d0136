// One partition of the memory engine: records, indexes, alarms and logs, and the synchronous steps on them.
// Owns:          what is stored, what is visible at a time, and how a batch is checked and applied.
// Must not know: promises, signals, clocks (`now` is given).
// M1. Batches have passed Admission: nothing in `commit` can fail after the checks (S2).
// M2. A batch without put leaves its id in no record; the ids of such batches are remembered for ten minutes (S1).

import type { Json } from "../../ports/json.ts";
import type {
  Batch,
  Change,
  Check,
  Due,
  IndexKey,
  IndexRule,
  ListQuery,
  LogKey,
  LogRule,
  Outcome,
  Page,
  Position,
  RecordKey,
  Span,
  Stored,
} from "../../ports/state.ts";
import type { EpochMs, Ms } from "../../ports/time.ts";
import type { Texts } from "../state/admission.ts";
import { indexName, logName, recordName } from "../state/names.ts";
import { type LogRow, LogRows } from "./log-rows.ts";
import type { MemoryPayloads } from "./memory-payloads.ts";
import { SortedSet } from "./sorted-set.ts";

export const REMEMBERED_MS = 600_000;

export interface Row {
  readonly key: RecordKey;
  readonly version: string;
  readonly text: string;
  readonly wakeAt: EpochMs | "never";
  readonly expiresAt: EpochMs | undefined;
}
export interface IndexRows {
  readonly key: IndexKey;
  readonly rule: IndexRule;
  readonly set: SortedSet;
}
export interface Rules {
  index(key: IndexKey): IndexRule;
  log(key: LogKey): LogRule;
}

export class PartitionStore {
  readonly records = new Map<string, Row>();
  readonly indexes = new Map<string, IndexRows>();
  readonly logs = new Map<string, { readonly key: LogKey; readonly rows: LogRows }>();
  readonly alarms = new SortedSet();
  readonly #rules: Rules;
  /** Names of records by the time at which they expire. */
  readonly #expiries = new SortedSet();
  /** Names of indexes and logs by the time of their oldest entry plus keepMs: what sweep must look at, and when. */
  readonly #indexExpiries = new SortedSet();
  readonly #logExpiries = new SortedSet();
  readonly #remembered = new SortedSet();
  readonly #payloads: Pick<MemoryPayloads, "attach"> | undefined;
  #position = 0;

  constructor(rules: Rules, payloads?: Pick<MemoryPayloads, "attach">) {
    this.#rules = rules;
    this.#payloads = payloads;
  }

  find(key: RecordKey, now: EpochMs): Stored | undefined {
    const row = this.#row(recordName(key), now);
    return row === undefined ? undefined : { key, version: row.version, value: parsedValue(row.text) };
  }

  commit(batch: Batch, texts: Texts, now: EpochMs): Outcome {
    const failing = batch.checks.findIndex((check) => !this.#holds(check, now));
    const check = batch.checks[failing];
    if (check !== undefined && !this.#isDone(batch, now)) {
      return { kind: "conflict", check: failing, found: "key" in check ? this.find(check.key, now) : undefined };
    }
    if (check === undefined) {
      for (const [at, change] of batch.changes.entries()) this.#apply(change, texts[at] ?? "", batch.id, now);
      if (!batch.changes.some((change) => change.do === "put")) this.#remembered.set(batch.id, now + REMEMBERED_MS);
    }
    return { kind: "committed", sizes: (batch.tell ?? []).map((index) => this.count({ index }, now)) };
  }

  count(span: Span, now: EpochMs): number {
    const index = this.indexes.get(indexName(span.index));
    if (index === undefined) return 0;
    return index.set.countBetween(
      Math.max(span.min ?? Number.NEGATIVE_INFINITY, cutOf(index.rule, now)),
      span.max ?? Number.POSITIVE_INFINITY,
    );
  }

  list(query: ListQuery, now: EpochMs): Page {
    const index = this.indexes.get(indexName(query.span.index));
    if (index === undefined) return { entries: [], examined: 0 };
    const min = Math.max(query.span.min ?? Number.NEGATIVE_INFINITY, cutOf(index.rule, now));
    const max = query.span.max ?? Number.POSITIVE_INFINITY;
    const walk = query.order === "up" ? walkUp(index.set, min, query.after) : walkDown(index.set, max, query.after);
    const entries: Position[] = [];
    let [examined, last]: [number, Position | undefined] = [0, undefined];
    for (const entry of walk) {
      if (query.order === "up" ? entry.score > max : entry.score < min) break;
      if (entries.length === query.limit || examined === query.examineMax) {
        return last === undefined ? { entries, examined } : { entries, examined, next: last };
      }
      examined++;
      last = entry;
      if (query.alsoIn.every((also) => this.#isIn(also, entry.member, now))) entries.push(entry);
    }
    return { entries, examined };
  }

  read(log: LogKey, position: number, limit: number, now: EpochMs): readonly LogRow[] {
    return this.logs.get(logName(log))?.rows.behind(position, limit, now) ?? [];
  }

  take(limit: number, leaseMs: Ms, now: EpochMs): readonly Due[] {
    const due: Due[] = [];
    while (due.length < limit) {
      const oldest = this.alarms.first();
      if (oldest === undefined || oldest.score > now) break;
      const row = this.#row(oldest.member, now);
      if (row === undefined) {
        this.alarms.delete(oldest.member);
        continue;
      }
      due.push({ key: row.key, at: oldest.score });
      this.alarms.set(oldest.member, now + leaseMs);
    }
    return due;
  }

  sweep(budget: number, now: EpochMs): { readonly removed: number; readonly done: boolean } {
    let left = budget;
    left -= drain(this.#expiries, left, now, (name) => this.#delete(name));
    left -= drain(this.#remembered, left, now, (id) => this.#remembered.delete(id));
    for (
      let name = this.#indexExpiries.first();
      left > 0 && name !== undefined && name.score < now;
      name = this.#indexExpiries.first()
    ) {
      left -= this.#sweepIndex(name.member, left, now);
    }
    for (
      let name = this.#logExpiries.first();
      left > 0 && name !== undefined && name.score < now;
      name = this.#logExpiries.first()
    ) {
      left -= this.#sweepLog(name.member, left, now);
    }
    return { removed: budget - left, done: left > 0 };
  }

  /** The same contents again, independent of these. */
  copy(): PartitionStore {
    const copy = new PartitionStore(this.#rules);
    for (const row of this.records.values()) copy.#write(row);
    for (const { score, member } of this.alarms.up(Number.NEGATIVE_INFINITY, "")) copy.alarms.set(member, score);
    for (const { key, set } of this.indexes.values()) {
      for (const { score, member } of set.up(Number.NEGATIVE_INFINITY, "")) copy.#enter(key, member, score);
    }
    for (const [name, { key, rows }] of this.logs) {
      copy.logs.set(name, { key, rows: rows.copy() });
      copy.#noteLogExpiry(name, rows);
    }
    for (const { score, member } of this.#remembered.up(Number.NEGATIVE_INFINITY, ""))
      copy.#remembered.set(member, score);
    copy.#position = this.#position;
    return copy;
  }

  #row(name: string, now: EpochMs): Row | undefined {
    const row = this.records.get(name);
    return row?.expiresAt !== undefined && row.expiresAt <= now ? undefined : row;
  }

  #isIn(key: IndexKey, member: string, now: EpochMs): boolean {
    const index = this.indexes.get(indexName(key));
    const score = index?.set.scoreOf(member);
    return index !== undefined && score !== undefined && score >= cutOf(index.rule, now);
  }

  #holds(check: Check, now: EpochMs): boolean {
    switch (check.is) {
      case "at":
        return this.#row(recordName(check.key), now)?.version === check.version;
      case "absent":
        return this.#row(recordName(check.key), now) === undefined;
      case "in":
        return this.#isIn(check.index, check.member, now);
      case "out":
        return !this.#isIn(check.index, check.member, now);
      case "fewer":
        return this.count({ index: check.index }, now) < check.than;
    }
  }

  #isDone(batch: Batch, now: EpochMs): boolean {
    if (this.#remembered.scoreOf(batch.id) !== undefined) return true;
    return batch.changes.some(
      (change) => change.do === "put" && this.#row(recordName(change.key), now)?.version === batch.id,
    );
  }

  #apply(change: Change, text: string, version: string, now: EpochMs): void {
    switch (change.do) {
      case "put": {
        const { key, wakeAt, keepMs } = change;
        this.#write({ key, version, text, wakeAt, expiresAt: keepMs === undefined ? undefined : now + keepMs });
        break;
      }
      case "delete":
        this.#delete(recordName(change.key));
        break;
      case "enter":
        this.#enter(change.index, change.member, change.score);
        break;
      case "leave":
        this.#leave(indexName(change.index), change.member);
        break;
      case "append":
        this.#append(change.log, text, now);
        break;
      case "attach":
        this.#payloads?.attach(change.key, text, change.keepMs);
        break;
    }
  }

  #write(row: Row): void {
    const name = recordName(row.key);
    this.records.set(name, row);
    if (row.wakeAt === "never") this.alarms.delete(name);
    else this.alarms.set(name, row.wakeAt);
    if (row.expiresAt === undefined) this.#expiries.delete(name);
    else this.#expiries.set(name, row.expiresAt);
  }

  #delete(name: string): void {
    this.records.delete(name);
    this.alarms.delete(name);
    this.#expiries.delete(name);
  }

  #enter(key: IndexKey, member: string, score: number): void {
    const name = indexName(key);
    let index = this.indexes.get(name);
    if (index === undefined) {
      index = { key, rule: this.#rules.index(key), set: new SortedSet() };
      this.indexes.set(name, index);
    }
    index.set.set(member, score + 0);
    this.#noteExpiry(name, index);
  }

  #leave(name: string, member: string): void {
    const index = this.indexes.get(name);
    if (index === undefined) return;
    index.set.delete(member);
    this.#noteExpiry(name, index);
  }

  /** Keeps `#indexExpiries` true and drops the name of an index that has become empty. */
  #noteExpiry(name: string, index: IndexRows): void {
    const oldest = index.set.first();
    if (oldest === undefined) this.indexes.delete(name);
    if (index.rule.score === "rank" || index.rule.keepMs === "forever") return;
    if (oldest === undefined) this.#indexExpiries.delete(name);
    else this.#indexExpiries.set(name, oldest.score + index.rule.keepMs);
  }

  #append(key: LogKey, text: string, now: EpochMs): void {
    const name = logName(key);
    let log = this.logs.get(name);
    if (log === undefined) {
      log = { key, rows: new LogRows(this.#rules.log(key)) };
      this.logs.set(name, log);
    }
    log.rows.append({ position: ++this.#position, at: now, text });
    this.#noteLogExpiry(name, log.rows);
  }

  #noteLogExpiry(name: string, rows: LogRows): void {
    const oldest = rows.oldest();
    if (oldest !== undefined) {
      this.#logExpiries.set(name, oldest.at + rows.rule.keepMs);
      return;
    }
    this.logs.delete(name);
    this.#logExpiries.delete(name);
  }

  #sweepIndex(name: string, budget: number, now: EpochMs): number {
    const index = this.indexes.get(name);
    if (index === undefined) return 0;
    const cut = cutOf(index.rule, now);
    let removed = 0;
    for (
      let oldest = index.set.first();
      removed < budget && oldest !== undefined && oldest.score < cut;
      oldest = index.set.first()
    ) {
      index.set.delete(oldest.member);
      removed++;
    }
    this.#noteExpiry(name, index);
    return removed;
  }

  #sweepLog(name: string, budget: number, now: EpochMs): number {
    const log = this.logs.get(name);
    if (log === undefined) return 0;
    const removed = log.rows.sweep(budget, now);
    this.#noteLogExpiry(name, log.rows);
    return removed;
  }
}

/** Entries with a lower score are expired. */
function cutOf(rule: IndexRule, now: EpochMs): number {
  return rule.score === "rank" || rule.keepMs === "forever" ? Number.NEGATIVE_INFINITY : now - rule.keepMs;
}

function* walkUp(set: SortedSet, min: number, after: Position | undefined): Generator<Position> {
  const start = after !== undefined && after.score >= min ? after : { score: min, member: "" };
  for (const entry of set.up(start.score, start.member)) {
    if (after === undefined || entry.score !== after.score || entry.member !== after.member) yield entry;
  }
}

function walkDown(set: SortedSet, max: number, after: Position | undefined): Generator<Position> {
  return after !== undefined && after.score <= max ? set.down(after.score, after.member) : set.down(max, undefined);
}

function drain(times: SortedSet, budget: number, now: EpochMs, remove: (name: string) => void): number {
  let removed = 0;
  for (
    let oldest = times.first();
    removed < budget && oldest !== undefined && oldest.score <= now;
    oldest = times.first()
  ) {
    remove(oldest.member);
    removed++;
  }
  return removed;
}

/** Our own text: it was made by JSON.stringify. */
export function parsedValue(text: string): Json {
  return JSON.parse(text);
}
