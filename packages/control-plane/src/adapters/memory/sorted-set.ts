// Members in order of score, then member; the memory engine's indexes, alarms and expiries.
// Owns:          the order, and finding a place in it.
// Must not know: time, records.
// O1. Sorted chunks of at most 512 entries: insert and remove cost two binary searches and one short splice, a count one addition per
//     chunk. At 10^6 entries that is some microseconds; a tree would save little and read worse.

import type { Position } from "../../ports/state.ts";

const CHUNK_ENTRIES_MAX = 512;

/** A bound: before (score, member), or behind everything with that score when `member` is undefined. */
interface Bound {
  readonly score: number;
  readonly member: string | undefined;
}

export class SortedSet {
  readonly #scores = new Map<string, number>();
  readonly #chunks: Position[][] = [];

  get size(): number {
    return this.#scores.size;
  }

  scoreOf(member: string): number | undefined {
    return this.#scores.get(member);
  }

  first(): Position | undefined {
    return this.#chunks[0]?.[0];
  }

  /** Enters the member or moves it. */
  set(member: string, score: number): void {
    const old = this.#scores.get(member);
    if (old === score) return;
    if (old !== undefined) this.#remove({ score: old, member });
    this.#scores.set(member, score);
    this.#insert({ score, member });
  }

  delete(member: string): void {
    const score = this.#scores.get(member);
    if (score === undefined) return;
    this.#scores.delete(member);
    this.#remove({ score, member });
  }

  /** Entries with min <= score <= max. */
  countBetween(min: number, max: number): number {
    if (min > max) return 0;
    return this.#rank({ score: max, member: undefined }) - this.#rank({ score: min, member: "" });
  }

  /** In order from the first entry at or behind (score, member). The set must not change meanwhile. */
  *up(score: number, member: string): Generator<Position> {
    const start = this.#find({ score, member });
    for (let at = start.chunk; at < this.#chunks.length; at++) {
      const chunk = this.#chunks[at] ?? [];
      for (let offset = at === start.chunk ? start.offset : 0; offset < chunk.length; offset++) {
        const entry = chunk[offset];
        if (entry !== undefined) yield entry;
      }
    }
  }

  /** Backwards from the last entry before (score, member); `member` undefined: from the last one with that score or less. */
  *down(score: number, member: string | undefined): Generator<Position> {
    const start = this.#find({ score, member });
    for (let at = Math.min(start.chunk, this.#chunks.length - 1); at >= 0; at--) {
      const chunk = this.#chunks[at] ?? [];
      for (let offset = at === start.chunk ? start.offset - 1 : chunk.length - 1; offset >= 0; offset--) {
        const entry = chunk[offset];
        if (entry !== undefined) yield entry;
      }
    }
  }

  #insert(entry: Position): void {
    const { chunk, offset } = this.#find(entry);
    const found = this.#chunks[chunk] ?? this.#chunks.at(-1);
    if (found === undefined) {
      this.#chunks.push([entry]);
      return;
    }
    const at = Math.min(chunk, this.#chunks.length - 1);
    found.splice(at === chunk ? offset : found.length, 0, entry);
    if (found.length <= CHUNK_ENTRIES_MAX) return;
    // Most indexes grow at their end: there the full chunk stays full, elsewhere it is halved.
    const appended = at === this.#chunks.length - 1 && found.at(-1) === entry;
    this.#chunks.splice(at + 1, 0, found.splice(appended ? CHUNK_ENTRIES_MAX : CHUNK_ENTRIES_MAX / 2));
  }

  #remove(entry: Position): void {
    const { chunk, offset } = this.#find(entry);
    const found = this.#chunks[chunk];
    found?.splice(offset, 1);
    if (found?.length === 0) this.#chunks.splice(chunk, 1);
  }

  #rank(bound: Bound): number {
    const { chunk, offset } = this.#find(bound);
    let rank = offset;
    for (let at = 0; at < chunk; at++) rank += this.#chunks[at]?.length ?? 0;
    return rank;
  }

  /** The place of the first entry that is not before the bound; behind all: { chunk: number of chunks, offset: 0 }. */
  #find(bound: Bound): { readonly chunk: number; readonly offset: number } {
    const chunk = firstNot(this.#chunks.length, (at) => {
      const last = this.#chunks[at]?.at(-1);
      return last !== undefined && isBefore(last, bound);
    });
    const entries = this.#chunks[chunk] ?? [];
    const offset = firstNot(entries.length, (at) => {
      const entry = entries[at];
      return entry !== undefined && isBefore(entry, bound);
    });
    return { chunk, offset };
  }
}

function isBefore(entry: Position, bound: Bound): boolean {
  if (entry.score !== bound.score) return entry.score < bound.score;
  return bound.member === undefined || entry.member < bound.member;
}

/** The first of 0 … length-1 for which `holds` is false; it is true up to some place and false from there on. */
function firstNot(length: number, holds: (at: number) => boolean): number {
  let [low, high] = [0, length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}
