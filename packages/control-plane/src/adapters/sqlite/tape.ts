// The tape: calls and answers as flat lists of cells between a process and its SQLite thread.
// Owns:          what the cells of each call mean, and reading them one by one.
// Must not know: SQL, ports.
// T1. Flat, because cloning nested objects between threads costs more than the SQL they ask for.
// T2. Every call and every answer is preceded by its number of cells, so that one that nobody waits for any more can be passed over.

import { assert } from "../../ports/fault.ts";

export type Cell = string | number | null | Uint8Array;

/** First cell of a call. In brackets what follows; "..." repeats. Names are those of adapters/state/names.ts. */
export const CALL = {
  /** [id, partition, checks, ...check, changes, ...change, tells, ...index] → [1, ...size] or [0, check, version|null, text|null] */
  commit: 1,
  /** [keys, ...(partition, name)] → [...(version|null, text|null)] */
  get: 2,
  /** [partition, index, min, max, down 0|1, afterScore|null, afterMember|null, limit, examineMax, ...index] →
   *  [examined, nextScore|null, nextMember|null, ...(member, score)] */
  list: 3,
  /** [...(partition, index, min|null, max|null)] → [...count] */
  count: 4,
  /** [partition, log, after, limit] → [more 0|1, ...(position, text)] */
  read: 5,
  /** [partition, limit, leaseMs] → [...(name, at)] */
  take: 6,
  /** [partition, budget] → [removed, done 0|1] */
  sweep: 7,
  /** [key, bytes, ttlMs] → [] */
  putPayload: 8,
  /** [key] → [bytes|null] */
  getPayload: 9,
  /** [key, ttlMs] → [found 0|1] */
  keepPayload: 10,
  /** [key] → [] */
  deletePayload: 11,
  /** [budget] → [removed, done 0|1] */
  sweepPayloads: 12,
} as const;

/** First cell of a check. */
export const CHECK = {
  /** [name, version] */ at: 1,
  /** [name] */ absent: 2,
  /** [index, member] */ in: 3,
  /** [index, member] */ out: 4,
  /** [index, than] */ fewer: 5,
} as const;

/** First cell of a change. */
export const CHANGE = {
  /** [name, text, wakeAt|null, keepMs|null] */ put: 1,
  /** [name] */ delete: 2,
  /** [index, member, score] */ enter: 3,
  /** [index, member] */ leave: 4,
  /** [log, text] */ append: 5,
  /** [key, text, keepMs] */ attach: 6,
} as const;

/** To the thread. `now` is the Clock's when the group was sent; the thread has no clock. */
export type ToThread =
  | { readonly kind: "group"; readonly group: number; readonly now: number; readonly cells: readonly Cell[] }
  | { readonly kind: "close" };

/** From the thread. "undone": rolled back, nothing happened; "unknown": the disk failed while the group was being committed. */
export type FromThread =
  | { readonly kind: "opened" }
  | { readonly kind: "refused"; readonly detail: string }
  | { readonly kind: "answered"; readonly group: number; readonly cells: readonly Cell[] }
  | {
      readonly kind: "failed";
      readonly group: number;
      readonly outcome: "undone" | "unknown";
      readonly detail: string;
    };

export class TapeReader {
  readonly #cells: readonly Cell[];
  #at: number;
  readonly #end: number;

  constructor(cells: readonly Cell[], at = 0, end = cells.length) {
    this.#cells = cells;
    this.#at = at;
    this.#end = end;
  }

  get isDone(): boolean {
    return this.#at >= this.#end;
  }

  /** A reader of the next call or answer alone; this one goes on behind it. */
  part(): TapeReader {
    const length = this.number();
    const start = this.#at;
    this.#at += length;
    return new TapeReader(this.#cells, start, this.#at);
  }

  text(): string {
    const cell = this.#next();
    assert(typeof cell === "string", "a text is on the tape", { at: this.#at });
    return cell;
  }

  number(): number {
    const cell = this.#next();
    assert(typeof cell === "number", "a number is on the tape", { at: this.#at });
    return cell;
  }

  textOrNull(): string | null {
    const cell = this.#next();
    assert(cell === null || typeof cell === "string", "a text or null is on the tape", { at: this.#at });
    return cell;
  }

  numberOrNull(): number | null {
    const cell = this.#next();
    assert(cell === null || typeof cell === "number", "a number or null is on the tape", { at: this.#at });
    return cell;
  }

  bytesOrNull(): Uint8Array | null {
    const cell = this.#next();
    assert(cell === null || cell instanceof Uint8Array, "bytes are on the tape", { at: this.#at });
    return cell;
  }

  #next(): Cell {
    assert(this.#at < this.#end, "the tape is long enough");
    return this.#cells[this.#at++] ?? null;
  }
}
