// One log of the memory engine: entries in order of arrival, the oldest dropped.
// Owns:          positions, and what is dropped when.
// Must not know: what an entry means.
// A position is a decimal number that never comes back, not even after all entries have gone.

import type { LogRule } from "../../ports/state.ts";
import type { EpochMs } from "../../ports/time.ts";

export interface LogRow {
  readonly position: number;
  readonly at: EpochMs;
  readonly text: string;
}

export class LogRows {
  readonly rule: LogRule;
  #rows: LogRow[] = [];
  /** Rows before it are dropped; they are cut off together, so that dropping is cheap. */
  #start = 0;

  constructor(rule: LogRule) {
    this.rule = rule;
  }

  get size(): number {
    return this.#rows.length - this.#start;
  }

  append(row: LogRow): void {
    // A clock that is set back must not put the rows out of order: their ages are searched by halving.
    const at = Math.max(row.at, this.#rows.at(-1)?.at ?? row.at);
    this.#rows.push({ ...row, at });
    if (this.size > this.rule.entriesMax) this.#drop(1);
  }

  /** Up to `limit` entries behind `position` that are not older than keepMs. */
  behind(position: number, limit: number, now: EpochMs): readonly LogRow[] {
    let [low, high] = [this.#start, this.#rows.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const row = this.#rows[middle];
      if (row !== undefined && (row.position <= position || this.#isExpired(row, now))) low = middle + 1;
      else high = middle;
    }
    return this.#rows.slice(low, low + limit);
  }

  /** Drops up to `budget` entries that are older than keepMs; answers how many. */
  sweep(budget: number, now: EpochMs): number {
    let expired = 0;
    for (let row = this.#rows[this.#start]; expired < budget && row !== undefined && this.#isExpired(row, now); ) {
      expired++;
      row = this.#rows[this.#start + expired];
    }
    this.#drop(expired);
    return expired;
  }

  copy(): LogRows {
    const copy = new LogRows(this.rule);
    copy.#rows = this.#rows.slice(this.#start);
    return copy;
  }

  all(): readonly LogRow[] {
    return this.#rows.slice(this.#start);
  }

  oldest(): LogRow | undefined {
    return this.#rows[this.#start];
  }

  #isExpired(row: LogRow, now: EpochMs): boolean {
    return row.at < now - this.rule.keepMs;
  }

  #drop(count: number): void {
    this.#start += count;
    if (this.#start * 2 <= this.#rows.length) return;
    this.#rows = this.#rows.slice(this.#start);
    this.#start = 0;
  }
}
