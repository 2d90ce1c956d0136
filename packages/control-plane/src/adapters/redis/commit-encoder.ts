// Batches in the form that the commit script reads.
// Owns:          writing batches into one program with its keys and constants.
// Must not know: when and where a call is sent (commit-lane.ts); what the script does with it (commit-script.ts has the format).
// E1. A batch is refused when it is prepared (adapters/state/admission.ts); encoding cannot fail.

import { Fault, unreachable } from "../../ports/fault.ts";
import type { Batch, Change, Check, CommitId, IndexKey, LogKey, RecordKey } from "../../ports/state.ts";
import type { EpochMs } from "../../ports/time.ts";
import type { Admission, Texts } from "../state/admission.ts";
import { BATCH_HEADER_WIDTH, OP_WIDTH } from "./commit-script.ts";
import { alarmsName, indexName, logName, markName, namesName, recordName } from "./keys.ts";

/** Checks and tells of one batch. */
const CHECKS_MAX = 1_000;
/** References are two digits of base 128. */
const REFERENCES_MAX = 128 * 128;
const REFERENCES_PER_OPERATION = 3;
/** The version stands before the value, with a space between: neither may be in it. */
const BATCH_ID = /^[A-Za-z0-9_-]{1,64}$/;
const OPERATION_BYTES = 32;

/** A batch that keeps the contract, with its values as text. */
export interface PreparedBatch {
  readonly batch: Batch;
  readonly texts: Texts;
  /** About what the batch adds to a call, in bytes. */
  readonly bytes: number;
}

export interface EncodedCall {
  readonly keys: readonly string[];
  readonly args: readonly string[];
}

/** Throws STATE_REFUSED when the batch breaks the contract or a limit. */
export function prepareBatch(batch: Batch, admission: Admission): PreparedBatch {
  const looks = batch.checks.length + (batch.tell?.length ?? 0);
  if (!BATCH_ID.test(batch.id))
    throw new Fault("STATE_REFUSED", "the id of a batch is 1 to 64 characters of base64url");
  if (batch.checks.length === 0)
    throw new Fault("STATE_REFUSED", `batch ${batch.id} has no check, so nothing tells whether it was done`);
  if (looks > CHECKS_MAX)
    throw new Fault("STATE_REFUSED", `batch ${batch.id} has more than ${CHECKS_MAX} checks and tells`);
  const texts = admission.batch(batch);
  let bytes = (looks + batch.changes.length) * OPERATION_BYTES;
  for (const text of texts) bytes += text.length;
  return { batch, texts, bytes };
}

/** Collects the batches of one call. Only what is known to come again is looked up, by texts that are made once: to look up a new text costs
 *  more than to send it again. */
export class CallEncoder {
  readonly #admission: Admission;
  readonly #keys: string[] = [];
  readonly #sharedRefs = new Map<string, number>();
  readonly #constants: string[] = [];
  readonly #numberRefs = new Map<number, number>();
  readonly #preamble = new ByteWriter(1_024);
  readonly #program = new ByteWriter(16_384);
  #lastRecord: RecordKey | undefined;
  #lastRecordRef = 0;
  #lastMember: string | undefined;
  #lastMemberRef = 0;

  constructor(admission: Admission) {
    this.#admission = admission;
  }

  /** False when the batch's references might not fit any more: it belongs into the next call. The first batch always fits. */
  hasRoomFor(prepared: PreparedBatch): boolean {
    const { changes, checks, tell } = prepared.batch;
    const referencesMax = REFERENCES_PER_OPERATION * (changes.length + checks.length + (tell?.length ?? 0) + 2);
    return Math.max(this.#keys.length, this.#constants.length) + referencesMax < REFERENCES_MAX;
  }

  add(prepared: PreparedBatch): void {
    const { batch, texts } = prepared;
    const program = this.#program;
    const start = program.length;
    program.reference(recognisesItself(batch) ? 0 : this.#key(markName(batch.partition, batch.id)));
    program.skip(3);
    for (const check of batch.checks) this.#addCheck(check);
    batch.changes.forEach((change, at) => {
      this.#addChange(change, batch.id, texts[at] ?? "");
    });
    for (const index of batch.tell ?? []) {
      program.byte(OP.T);
      program.reference(this.#index(index));
    }
    program.lengthAt(start + BATCH_HEADER_WIDTH - 3, program.length - start);
  }

  /** `latest`: Redis' time until which the call may be carried out. */
  finish(latest: EpochMs | undefined): EncodedCall {
    const program = this.#preamble.text() + this.#program.text();
    return { keys: this.#keys, args: [program, latest === undefined ? "" : String(latest), ...this.#constants] };
  }

  #addCheck(check: Check): void {
    const program = this.#program;
    switch (check.is) {
      case "at":
        program.byte(OP.a);
        program.reference(this.#record(check.key));
        program.reference(this.#constant(`${check.version} `));
        return;
      case "absent":
        program.byte(OP.n);
        program.reference(this.#record(check.key));
        program.reference(0);
        return;
      case "in":
      case "out":
        program.byte(check.is === "in" ? OP.i : OP.o);
        program.reference(this.#index(check.index));
        program.reference(this.#member(check.member));
        return;
      case "fewer":
        program.byte(OP.f);
        program.reference(this.#index(check.index));
        program.reference(this.#number(check.than));
        return;
      default:
        unreachable(check);
    }
  }

  #addChange(change: Change, version: CommitId, text: string): void {
    switch (change.do) {
      case "put":
        this.#addPut(change, `${version} ${text}`);
        return;
      case "delete":
        this.#addDelete(change.key);
        return;
      case "enter":
      case "leave":
        this.#addMove(change);
        return;
      case "append":
        this.#addAppend(change.log, text);
        return;
      case "attach":
        this.#program.byte(OP.X);
        this.#program.reference(this.#key(change.key));
        this.#program.reference(this.#constant(text));
        this.#program.reference(this.#number(Math.ceil(change.keepMs)));
        return;
      default:
        unreachable(change);
    }
  }

  #addPut(put: Extract<Change, { do: "put" }>, stored: string): void {
    const alarms = this.#shared(alarmsName(put.key.partition));
    const key = this.#record(put.key);
    const program = this.#program;
    program.byte(OP.P);
    program.reference(key);
    program.reference(this.#constant(stored));
    program.reference(put.keepMs === undefined ? 0 : this.#number(put.keepMs));
    program.reference(alarms);
    program.reference(put.wakeAt === "never" ? 0 : this.#number(put.wakeAt));
  }

  #addDelete(deleted: RecordKey): void {
    const alarms = this.#shared(alarmsName(deleted.partition));
    const key = this.#key(recordName(deleted));
    this.#program.byte(OP.D);
    this.#program.reference(key);
    this.#program.reference(alarms);
  }

  #addMove(move: Extract<Change, { do: "enter" | "leave" }>): void {
    const index = this.#index(move.index);
    const member = this.#member(move.member);
    this.#program.byte(move.do === "enter" ? OP.E : OP.L);
    this.#program.reference(index);
    this.#program.reference(member);
    if (move.do === "enter") this.#program.reference(this.#number(move.score));
  }

  #addAppend(log: LogKey, text: string): void {
    const rule = this.#admission.log(log);
    this.#program.byte(OP.A);
    this.#program.reference(this.#key(logName(log)));
    this.#program.reference(this.#constant(text));
    this.#program.reference(this.#number(rule.entriesMax));
    this.#program.reference(this.#number(rule.keepMs));
  }

  #index(index: IndexKey): number {
    const name = indexName(index);
    const known = this.#sharedRefs.get(name);
    if (known !== undefined) return known;
    const key = this.#shared(name);
    const rule = this.#admission.index(index);
    if (rule.score === "time" && rule.keepMs !== "forever") {
      const names = this.#shared(namesName(index.partition));
      this.#preamble.byte(OP.K);
      this.#preamble.reference(key);
      this.#preamble.reference(this.#number(rule.keepMs));
      this.#preamble.reference(names);
    }
    return key;
  }

  /** Most batches check the record that they put, by the same key. */
  #record(key: RecordKey): number {
    if (key === this.#lastRecord) return this.#lastRecordRef;
    this.#lastRecord = key;
    this.#lastRecordRef = this.#key(recordName(key));
    return this.#lastRecordRef;
  }

  /** Keys that several batches of a call have in common; the script tells them apart by their references. */
  #shared(name: string): number {
    const known = this.#sharedRefs.get(name);
    if (known !== undefined) return known;
    const reference = this.#key(name);
    this.#sharedRefs.set(name, reference);
    return reference;
  }

  #key(name: string): number {
    return this.#keys.push(name);
  }

  /** Most changes of a batch are about the same member. */
  #member(text: string): number {
    if (text === this.#lastMember) return this.#lastMemberRef;
    this.#lastMember = text;
    this.#lastMemberRef = this.#constant(text);
    return this.#lastMemberRef;
  }

  #number(value: number): number {
    const known = this.#numberRefs.get(value);
    if (known !== undefined) return known;
    const reference = this.#constant(String(value));
    this.#numberRefs.set(value, reference);
    return reference;
  }

  /** References into ARGV, behind the program and the time. */
  #constant(text: string): number {
    return this.#constants.push(text) + 2;
  }
}

/** True when a record that the batch puts still carries its id afterwards. */
function recognisesItself(batch: Batch): boolean {
  const { changes } = batch;
  return changes.some((change, i) => {
    if (change.do !== "put") return false;
    const isSame = (other: Change): boolean =>
      other.do === "delete" && other.key.id === change.key.id && other.key.kind === change.key.kind;
    return !changes.some((other, j) => j > i && isSame(other));
  });
}

const OP = Object.fromEntries(Object.keys(OP_WIDTH).map((code) => [code, code.charCodeAt(0)])) as {
  readonly [code in keyof typeof OP_WIDTH]: number;
};

/** Bytes below 128 in a growing buffer. */
class ByteWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  length = 0;

  constructor(bytes: number) {
    this.#bytes = new Uint8Array(bytes);
  }

  byte(value: number): void {
    if (this.length === this.#bytes.length) this.#grow();
    this.#bytes[this.length++] = value;
  }

  reference(value: number): void {
    this.byte(value >>> 7);
    this.byte(value & 127);
  }

  skip(count: number): void {
    for (let i = 0; i < count; i++) this.byte(0);
  }

  lengthAt(at: number, value: number): void {
    this.#bytes[at] = value >>> 14;
    this.#bytes[at + 1] = (value >>> 7) & 127;
    this.#bytes[at + 2] = value & 127;
  }

  text(): string {
    return Buffer.from(this.#bytes.buffer, 0, this.length).toString("latin1");
  }

  #grow(): void {
    const grown = new Uint8Array(this.#bytes.length * 2);
    grown.set(this.#bytes);
    this.#bytes = grown;
  }
}
