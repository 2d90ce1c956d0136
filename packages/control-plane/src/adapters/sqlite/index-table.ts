// Indexes in SQLite: names with their sizes, and entries in order.
// Owns:          the tables `idx` and `entry`, and the sizes that make counting cheap.
// Must not know: batches, records.
// I1. The size of an index is kept, not counted. Written back once per group, so that hot indexes cost one update for all batches.
// I2. `sweepAt` is never later than the moment at which the oldest entry expires. While it lies ahead, size is what is visible;
//     behind it, the expired entries below the cut are counted and taken off.
// I3. After a rollback nothing of this is true: `forget` drops it all.

import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { IndexRule, Layout } from "../../ports/state.ts";
import type { EpochMs, Ms } from "../../ports/time.ts";
import { indexName } from "../state/names.ts";

const NAMES_KEPT_MAX = 50_000;

export interface IndexRef {
  readonly id: number;
  readonly partition: number;
  readonly name: string;
  /** Undefined: entries never expire. */
  readonly keepMs: Ms | undefined;
  size: number;
  sweepAt: EpochMs | null;
  isStored: boolean;
  isChanged: boolean;
}

export class IndexTable {
  readonly #keepMs: ReadonlyMap<string, Ms | undefined>;
  readonly #refs: readonly Map<string, IndexRef>[];
  #changed: IndexRef[] = [];
  #lastId = 0;
  readonly #maxId: StatementSync;
  readonly #find: StatementSync;
  readonly #store: StatementSync;
  readonly #update: StatementSync;
  readonly #remove: StatementSync;
  readonly #due: StatementSync;
  readonly #enter: StatementSync;
  readonly #move: StatementSync;
  readonly #leave: StatementSync;
  readonly #score: StatementSync;
  readonly #count: StatementSync;
  readonly #countBelow: StatementSync;
  readonly #oldest: StatementSync;
  readonly #expire: StatementSync;

  constructor(db: DatabaseSync, partitions: number, layout: Layout) {
    this.#keepMs = new Map(Object.entries(layout.indexes).map(([index, rule]) => [rootOf(index), keepMsOf(rule)]));
    this.#refs = Array.from({ length: partitions }, () => new Map());
    this.#maxId = db.prepare("SELECT max(id) AS id FROM idx");
    this.#find = db.prepare("SELECT id, size, sweep_at FROM idx WHERE p = ? AND name = ?");
    this.#store = db.prepare("INSERT INTO idx (id, p, name, size, sweep_at) VALUES (?, ?, ?, ?, ?)");
    this.#update = db.prepare("UPDATE idx SET size = ?, sweep_at = ? WHERE id = ?");
    this.#remove = db.prepare("DELETE FROM idx WHERE id = ?");
    this.#due = db.prepare("SELECT name FROM idx WHERE p = ? AND sweep_at < ? ORDER BY sweep_at LIMIT 1");
    this.#enter = db.prepare("INSERT INTO entry (idx, member, score) VALUES (?, ?, ?) ON CONFLICT DO NOTHING");
    this.#move = db.prepare("UPDATE entry SET score = ? WHERE idx = ? AND member = ?");
    this.#leave = db.prepare("DELETE FROM entry WHERE idx = ? AND member = ?");
    this.#score = db.prepare("SELECT score FROM entry WHERE idx = ? AND member = ?");
    this.#count = db.prepare("SELECT count(*) AS n FROM entry WHERE idx = ? AND score >= ? AND score <= ?");
    this.#countBelow = db.prepare("SELECT count(*) AS n FROM entry WHERE idx = ? AND score < ?");
    this.#oldest = db.prepare("SELECT score FROM entry WHERE idx = ? ORDER BY score LIMIT 1");
    this.#expire = db.prepare(
      "DELETE FROM entry WHERE idx = ?1 AND member IN (SELECT member FROM entry WHERE idx = ?1 AND score < ?2 ORDER BY score LIMIT ?3)",
    );
    this.forget();
  }

  forget(): void {
    for (const names of this.#refs) names.clear();
    this.#changed = [];
    this.#lastId = Number(this.#maxId.get()?.id ?? 0);
  }

  /** Writes sizes back; to be called before a group is committed. */
  flush(): void {
    for (const ref of this.#changed) {
      if (ref.isStored) this.#update.run(ref.size, ref.sweepAt, ref.id);
      else this.#store.run(ref.id, ref.partition, ref.name, ref.size, ref.sweepAt);
      ref.isStored = true;
      ref.isChanged = false;
    }
    this.#changed = [];
    for (const names of this.#refs) if (names.size > NAMES_KEPT_MAX) names.clear();
  }

  enter(partition: number, name: string, member: string, score: number): void {
    const ref = this.find(partition, name) ?? this.#create(partition, name);
    if (Number(this.#enter.run(ref.id, member, score).changes) === 0) {
      this.#move.run(score, ref.id, member);
      if (this.#noteScore(ref, score)) this.#note(ref);
      return;
    }
    if (ref.size === 0) ref.sweepAt = null;
    ref.size++;
    this.#noteScore(ref, score);
    this.#note(ref);
  }

  leave(partition: number, name: string, member: string): void {
    const ref = this.find(partition, name);
    if (ref === undefined || Number(this.#leave.run(ref.id, member).changes) === 0) return;
    ref.size--;
    if (ref.size === 0) ref.sweepAt = 0;
    this.#note(ref);
  }

  holds(partition: number, name: string, member: string, now: EpochMs): boolean {
    const ref = this.find(partition, name);
    if (ref === undefined || ref.size === 0) return false;
    const score = this.#score.get(ref.id, member)?.score;
    return typeof score === "number" && score >= cutOf(ref, now);
  }

  /** Visible entries with min <= score <= max; null: no bound. */
  count(
    partition: number,
    name: string,
    bounds: { readonly min: number | null; readonly max: number | null },
    now: EpochMs,
  ): number {
    const ref = this.find(partition, name);
    if (ref === undefined) return 0;
    const { min, max } = bounds;
    if (min === null && max === null) return ref.size - this.#expired(ref, now);
    return this.#countBetween(
      ref,
      Math.max(min ?? Number.NEGATIVE_INFINITY, cutOf(ref, now)),
      max ?? Number.POSITIVE_INFINITY,
    );
  }

  find(partition: number, name: string): IndexRef | undefined {
    const names = this.#refs[partition];
    const known = names?.get(name);
    if (known !== undefined || names === undefined) return known;
    const row = this.#find.get(partition, name);
    if (row === undefined) return undefined;
    const sweepAt = row.sweep_at;
    const ref: IndexRef = {
      id: Number(row.id),
      partition,
      name,
      keepMs: this.#keepMs.get(name.split(":", 1)[0] ?? ""),
      size: Number(row.size),
      sweepAt: typeof sweepAt === "number" ? sweepAt : null,
      isStored: true,
      isChanged: false,
    };
    names.set(name, ref);
    return ref;
  }

  /** Removes expired entries and names of empty indexes. At most `budget` steps: done is false when steps may be left. */
  sweep(partition: number, budget: number, now: EpochMs): { readonly removed: number; readonly done: boolean } {
    let removed = 0;
    for (let step = 0; step < budget && removed < budget; step++) {
      this.flush();
      const name = this.#due.get(partition, now)?.name;
      const ref = typeof name === "string" ? this.find(partition, name) : undefined;
      if (ref === undefined) return { removed, done: true };
      const expired =
        ref.keepMs === undefined ? 0 : Number(this.#expire.run(ref.id, cutOf(ref, now), budget - removed).changes);
      ref.size -= expired;
      removed += expired;
      if (ref.size === 0) this.#drop(ref);
      else {
        const oldest = this.#oldest.get(ref.id)?.score;
        ref.sweepAt = ref.keepMs === undefined ? null : sweepTime(Number(oldest), ref.keepMs);
        this.#note(ref);
      }
    }
    this.flush();
    return { removed, done: false };
  }

  #expired(ref: IndexRef, now: EpochMs): number {
    if (ref.keepMs === undefined || ref.sweepAt === null || ref.sweepAt >= now) return 0;
    return Number(this.#countBelow.get(ref.id, cutOf(ref, now))?.n);
  }

  #countBetween(ref: IndexRef, min: number, max: number): number {
    return Number(this.#count.get(ref.id, min, max)?.n);
  }

  #create(partition: number, name: string): IndexRef {
    const ref: IndexRef = {
      id: ++this.#lastId,
      partition,
      name,
      keepMs: this.#keepMs.get(name.split(":", 1)[0] ?? ""),
      size: 0,
      sweepAt: null,
      isStored: false,
      isChanged: false,
    };
    this.#refs[partition]?.set(name, ref);
    return ref;
  }

  #drop(ref: IndexRef): void {
    this.#remove.run(ref.id);
    this.#refs[ref.partition]?.delete(ref.name);
  }

  /** True when the index must be swept earlier than was known. */
  #noteScore(ref: IndexRef, score: number): boolean {
    if (ref.keepMs === undefined) return false;
    const sweepAt = sweepTime(score, ref.keepMs);
    if (ref.sweepAt !== null && ref.sweepAt <= sweepAt) return false;
    ref.sweepAt = sweepAt;
    return true;
  }

  #note(ref: IndexRef): void {
    if (ref.isChanged) return;
    ref.isChanged = true;
    this.#changed.push(ref);
  }
}

function rootOf(index: string): string {
  return indexName({ partition: 0, index, of: [] });
}

function keepMsOf(rule: IndexRule): Ms | undefined {
  return rule.score === "rank" || rule.keepMs === "forever" ? undefined : rule.keepMs;
}

// Scores may be fractions and reach 2^53; the column is an integer, and a later moment would break I2.
function sweepTime(score: number, keepMs: Ms): EpochMs {
  return Math.floor(Math.min(score + keepMs, Number.MAX_SAFE_INTEGER));
}

/** Entries with a lower score are expired. */
export function cutOf(ref: IndexRef, now: EpochMs): number {
  return ref.keepMs === undefined ? Number.NEGATIVE_INFINITY : now - ref.keepMs;
}
