// Logs in SQLite.
// Owns:          the tables `log` and `log_entry`, positions, and what is dropped when.
// Must not know: what an entry means.
// L1. A position is a number that never comes back: the last one is kept in `meta`, not derived from what is left.
// L2. Sizes are kept and written back once per group; after a rollback `forget` drops them.

import type { DatabaseSync, StatementSync } from "node:sqlite";
import { assert } from "../../ports/fault.ts";
import type { Layout, LogRule } from "../../ports/state.ts";
import type { EpochMs } from "../../ports/time.ts";
import { logName } from "../state/names.ts";
import { readMeta } from "./schema.ts";

const NAMES_KEPT_MAX = 10_000;

interface LogRef {
  readonly id: number;
  readonly partition: number;
  readonly name: string;
  readonly rule: LogRule;
  size: number;
  sweepAt: EpochMs;
  isStored: boolean;
  isChanged: boolean;
}

export class LogTable {
  readonly #db: DatabaseSync;
  readonly #rules: ReadonlyMap<string, LogRule>;
  readonly #refs = new Map<string, LogRef>();
  #changed: LogRef[] = [];
  #position = 0;
  #storedPosition = 0;
  #lastId = 0;
  readonly #find: StatementSync;
  readonly #store: StatementSync;
  readonly #update: StatementSync;
  readonly #remove: StatementSync;
  readonly #due: StatementSync;
  readonly #append: StatementSync;
  readonly #dropOldest: StatementSync;
  readonly #read: StatementSync;
  readonly #oldest: StatementSync;
  readonly #head: StatementSync;
  readonly #dropUpTo: StatementSync;
  readonly #savePosition: StatementSync;

  constructor(db: DatabaseSync, layout: Layout) {
    this.#db = db;
    this.#rules = new Map(
      Object.entries(layout.logs).map(([log, rule]) => [logName({ partition: 0, log, of: "" }), rule]),
    );
    this.#find = db.prepare("SELECT id, size, sweep_at FROM log WHERE p = ? AND name = ?");
    this.#store = db.prepare("INSERT INTO log (id, p, name, size, sweep_at) VALUES (?, ?, ?, ?, ?)");
    this.#update = db.prepare("UPDATE log SET size = ?, sweep_at = ? WHERE id = ?");
    this.#remove = db.prepare("DELETE FROM log WHERE id = ?");
    this.#due = db.prepare("SELECT name FROM log WHERE p = ? AND sweep_at < ? ORDER BY sweep_at LIMIT 1");
    this.#append = db.prepare("INSERT INTO log_entry (log, position, at, value) VALUES (?, ?, ?, ?)");
    this.#dropOldest = db.prepare(
      "DELETE FROM log_entry WHERE log = ?1 AND position IN (SELECT position FROM log_entry WHERE log = ?1 ORDER BY position LIMIT ?2)",
    );
    this.#read = db.prepare(
      "SELECT position, value FROM log_entry WHERE log = ? AND position > ? AND at >= ? ORDER BY position LIMIT ?",
    );
    this.#oldest = db.prepare("SELECT at FROM log_entry WHERE log = ? ORDER BY position LIMIT 1");
    this.#head = db.prepare("SELECT position, at FROM log_entry WHERE log = ? ORDER BY position LIMIT ?");
    this.#dropUpTo = db.prepare("DELETE FROM log_entry WHERE log = ? AND position <= ?");
    this.#savePosition = db.prepare("UPDATE meta SET value = ? WHERE key = 'position'");
    this.forget();
  }

  forget(): void {
    this.#refs.clear();
    this.#changed = [];
    this.#position = readMeta(this.#db, "position");
    this.#storedPosition = this.#position;
    this.#lastId = Number(this.#db.prepare("SELECT max(id) AS id FROM log").get()?.id ?? 0);
  }

  flush(): void {
    for (const ref of this.#changed) {
      if (ref.isStored) this.#update.run(ref.size, ref.sweepAt, ref.id);
      else this.#store.run(ref.id, ref.partition, ref.name, ref.size, ref.sweepAt);
      ref.isStored = true;
      ref.isChanged = false;
    }
    this.#changed = [];
    if (this.#position !== this.#storedPosition) this.#savePosition.run(this.#position);
    this.#storedPosition = this.#position;
    if (this.#refs.size > NAMES_KEPT_MAX) this.#refs.clear();
  }

  append(partition: number, name: string, text: string, now: EpochMs): void {
    const ref = this.#ref(partition, name) ?? this.#create(partition, name, now);
    this.#append.run(ref.id, ++this.#position, now, text);
    ref.size++;
    const above = ref.size - ref.rule.entriesMax;
    if (above > 0) ref.size -= Number(this.#dropOldest.run(ref.id, above).changes);
    this.#note(ref);
  }

  read(
    partition: number,
    name: string,
    behind: { readonly position: number; readonly limit: number },
    now: EpochMs,
  ): readonly { readonly position: number; readonly text: string }[] {
    const ref = this.#ref(partition, name);
    if (ref === undefined) return [];
    const rows = this.#read.all(ref.id, behind.position, now - ref.rule.keepMs, behind.limit);
    return rows.map((row) => ({ position: Number(row.position), text: String(row.value) }));
  }

  /** At most `budget` steps: done is false when steps may be left. */
  sweep(partition: number, budget: number, now: EpochMs): { readonly removed: number; readonly done: boolean } {
    let removed = 0;
    for (let step = 0; step < budget && removed < budget; step++) {
      this.flush();
      const name = this.#due.get(partition, now)?.name;
      const ref = typeof name === "string" ? this.#ref(partition, name) : undefined;
      if (ref === undefined) return { removed, done: true };
      const expired = this.#expire(ref, budget - removed, now);
      ref.size -= expired;
      removed += expired;
      const oldest = this.#oldest.get(ref.id)?.at;
      if (typeof oldest === "number") {
        ref.sweepAt = oldest + ref.rule.keepMs;
        this.#note(ref);
      } else {
        this.#remove.run(ref.id);
        this.#refs.delete(refName(partition, ref.name));
      }
    }
    this.flush();
    return { removed, done: false };
  }

  /** Entries are in the order of their age: those that have expired are at the head. */
  #expire(ref: LogRef, budget: number, now: EpochMs): number {
    let last: number | undefined;
    for (const row of this.#head.all(ref.id, budget)) {
      if (Number(row.at) >= now - ref.rule.keepMs) break;
      last = Number(row.position);
    }
    return last === undefined ? 0 : Number(this.#dropUpTo.run(ref.id, last).changes);
  }

  #ref(partition: number, name: string): LogRef | undefined {
    const known = this.#refs.get(refName(partition, name));
    if (known !== undefined) return known;
    const row = this.#find.get(partition, name);
    if (row === undefined) return undefined;
    return this.#keep({
      id: Number(row.id),
      partition,
      name,
      rule: this.#rule(name),
      size: Number(row.size),
      sweepAt: Number(row.sweep_at),
      isStored: true,
      isChanged: false,
    });
  }

  #create(partition: number, name: string, now: EpochMs): LogRef {
    const rule = this.#rule(name);
    return this.#keep({
      id: ++this.#lastId,
      partition,
      name,
      rule,
      size: 0,
      sweepAt: now + rule.keepMs,
      isStored: false,
      isChanged: false,
    });
  }

  #keep(ref: LogRef): LogRef {
    this.#refs.set(refName(ref.partition, ref.name), ref);
    return ref;
  }

  /** Logs of a name that the layout no longer has go at the next sweep. */
  #rule(name: string): LogRule {
    const colon = name.indexOf(":");
    assert(colon !== -1, "a log has a name and an owner", { name });
    return this.#rules.get(name.slice(0, colon + 1)) ?? { keepMs: 0, entriesMax: 0 };
  }

  #note(ref: LogRef): void {
    if (ref.isChanged) return;
    ref.isChanged = true;
    this.#changed.push(ref);
  }
}

function refName(partition: number, name: string): string {
  return `${partition}:${name}`;
}
