// Pages of lists whose records lie elsewhere than their order.
// Owns:          filling a page from reads that may come back short; counting what was shown of a millisecond, for integer cursors.
// Must not know: what is listed, HTTP.
// G1. A page is full, or the list has ended, or a bounded number of reads was not enough; then `next` goes on from there.
// G2. A record that changed between the order and its reading is shown where it was found. It is not counted, so that an integer cursor
//     errs towards showing a member twice.

import type { EpochMs } from "../ports/time.ts";
import type { Place, Start } from "./cursor.ts";

export interface Found {
  readonly lead: string;
  readonly score: EpochMs;
  readonly member: string;
}

export interface PageRead<T> {
  readonly items: readonly T[];
  readonly next?: Found;
  /** This page may look no further. */
  readonly isSpent?: boolean;
}

export interface PageSource<T> {
  /** Up to `limit` items behind `after` (undefined: from the top), newest first. */
  read(after: Found | undefined, limit: number): Promise<PageRead<T>>;
  /** The score by which `lead` lists the item. */
  scoreOf(item: T, lead: string): EpochMs;
  idOf(item: T): string;
  /** The lead of a list that a client enters at a time of its own. */
  readonly leadByTime: string;
}

export interface FilledPage<T> {
  readonly items: readonly T[];
  readonly next?: Place;
}

const READS_MAX = 4;
/** Reads that only pass what earlier pages have shown are not counted as reads for this one: a page must get further than its cursor. */
const SKIPPING_READS_MAX = 64;
const READ_LIMIT_MAX = 1_500;

export async function fillPage<T>(start: Start, limit: number, source: PageSource<T>): Promise<FilledPage<T>> {
  const tally = new Tally(start);
  const items: T[] = [];
  let after = entryOf(start, source.leadByTime);
  for (let reads = 0, skipping = 0; reads < READS_MAX && skipping < SKIPPING_READS_MAX; ) {
    if (tally.toSkip > 0) skipping++;
    else reads++;
    const page = await source.read(after, Math.min(READ_LIMIT_MAX, limit - items.length + tally.toSkip));
    const lead = page.next?.lead ?? after?.lead;
    for (const [at, item] of page.items.entries()) {
      const score = lead === undefined ? 0 : source.scoreOf(item, lead);
      if (!tally.pass(score)) items.push(item);
      const isLast = at === page.items.length - 1;
      if (items.length === limit && lead !== undefined && !isLast) {
        return { items, next: tally.place({ lead, score, member: source.idOf(item) }) };
      }
    }
    if (page.next === undefined) return { items };
    if (items.length === limit) return { items, next: tally.place(page.next) };
    after = page.next;
    if (page.isSpent === true) break;
  }
  return after === undefined ? { items } : { items, next: tally.place(after) };
}

function entryOf(start: Start, leadByTime: string): Found | undefined {
  if (start.kind === "top") return undefined;
  if (start.kind === "behind") return { lead: start.lead, score: start.score, member: start.member };
  // Strictly behind the first member that the next millisecond could have: everything at or before `at`.
  return { lead: start.lead ?? leadByTime, score: start.at + 1, member: "" };
}

/** How many members of the lowest score so far were passed. */
class Tally {
  #score: EpochMs;
  #count: number;
  #toSkip: number;

  constructor(start: Start) {
    this.#score =
      start.kind === "behind" ? start.score : start.kind === "at_or_before" ? start.at : Number.POSITIVE_INFINITY;
    this.#count = start.kind === "behind" ? start.shown : 0;
    this.#toSkip = start.kind === "at_or_before" ? start.shown : 0;
  }

  get toSkip(): number {
    return this.#toSkip;
  }

  /** Counts an item; true when an earlier page has shown it. */
  pass(score: EpochMs): boolean {
    if (score > this.#score) return false;
    const skips = this.#toSkip > 0 && score === this.#score;
    if (score < this.#score) {
      this.#score = score;
      this.#count = 0;
      this.#toSkip = 0;
    }
    this.#count += 1;
    if (skips) this.#toSkip -= 1;
    return skips;
  }

  place(found: Found): Place {
    return { ...found, shown: found.score === this.#score ? this.#count : 0 };
  }
}
