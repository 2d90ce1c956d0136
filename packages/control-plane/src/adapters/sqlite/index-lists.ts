// Lists of one index in SQLite (S6).
// Owns:          walking the order of entries between bounds, behind a position, keeping what is in other indexes too.
// Must not know: names and sizes (index-table.ts).

import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Position } from "../../ports/state.ts";
import type { EpochMs } from "../../ports/time.ts";
import { cutOf, type IndexTable } from "./index-table.ts";

export interface ListCall {
  readonly partition: number;
  readonly name: string;
  readonly min: number | null;
  readonly max: number | null;
  readonly isDown: boolean;
  readonly after: Position | undefined;
  readonly limit: number;
  readonly examineMax: number;
  readonly alsoIn: readonly string[];
}
export interface Listed {
  readonly entries: readonly Position[];
  readonly examined: number;
  readonly next: Position | undefined;
}

export class IndexLists {
  readonly #indexes: IndexTable;
  readonly #up: StatementSync;
  readonly #upBehind: StatementSync;
  readonly #down: StatementSync;
  readonly #downBehind: StatementSync;

  constructor(db: DatabaseSync, indexes: IndexTable) {
    this.#indexes = indexes;
    const from = "SELECT member, score FROM entry WHERE idx = ?1 AND score >= ?2 AND score <= ?3";
    this.#up = db.prepare(`${from} ORDER BY score, member LIMIT ?4`);
    this.#down = db.prepare(`${from} ORDER BY score DESC, member DESC LIMIT ?4`);
    // The bound on the side of the position is left to the row value: it alone finds the place among equal scores.
    this.#upBehind = db.prepare(
      "SELECT member, score FROM entry WHERE idx = ?1 AND (score, member) > (?2, ?3) AND score <= ?4 ORDER BY score, member LIMIT ?5",
    );
    this.#downBehind = db.prepare(
      "SELECT member, score FROM entry WHERE idx = ?1 AND (score, member) < (?2, ?3) AND score >= ?4 ORDER BY score DESC, member DESC LIMIT ?5",
    );
  }

  list(call: ListCall, now: EpochMs): Listed {
    const ref = this.#indexes.find(call.partition, call.name);
    if (ref === undefined) return { entries: [], examined: 0, next: undefined };
    const min = Math.max(call.min ?? Number.NEGATIVE_INFINITY, cutOf(ref, now));
    const max = call.max ?? Number.POSITIVE_INFINITY;
    const entries: Position[] = [];
    let [examined, last]: [number, Position | undefined] = [0, undefined];
    // One more than may be looked at: whether it is there decides whether there is a `next`.
    for (const row of this.#rows(ref.id, call, { min, max })) {
      if (entries.length === call.limit || examined === call.examineMax) return { entries, examined, next: last };
      const entry = { member: String(row.member), score: Number(row.score) };
      examined++;
      last = entry;
      if (call.alsoIn.every((name) => this.#indexes.holds(call.partition, name, entry.member, now)))
        entries.push(entry);
    }
    return { entries, examined, next: undefined };
  }

  #rows(
    id: number,
    call: ListCall,
    { min, max }: { readonly min: number; readonly max: number },
  ): Iterable<Record<string, unknown>> {
    const { after, isDown } = call;
    const rowsMax = call.examineMax + 1;
    if (isDown) {
      const isBehind = after !== undefined && after.score <= max;
      return isBehind
        ? this.#downBehind.iterate(id, after.score, after.member, min, rowsMax)
        : this.#down.iterate(id, min, max, rowsMax);
    }
    const isBehind = after !== undefined && after.score >= min;
    return isBehind
      ? this.#upBehind.iterate(id, after.score, after.member, max, rowsMax)
      : this.#up.iterate(id, min, max, rowsMax);
  }
}
