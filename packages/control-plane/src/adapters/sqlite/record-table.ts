// Records and alarms in SQLite.
// Owns:          the table `record`. Must not know: batches, what a value means.
// R1. The row that a check has found is remembered for the change that follows: one search per record and batch.

import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { EpochMs, Ms } from "../../ports/time.ts";
import { later } from "./later.ts";

interface Seen {
  readonly partition: number;
  readonly name: string;
  readonly row: number | undefined;
  readonly version: string | undefined;
}
export interface RecordRow {
  readonly version: string;
  readonly text: string;
}
export interface RecordPut {
  readonly partition: number;
  readonly name: string;
  readonly version: string;
  readonly text: string;
  readonly wakeAt: EpochMs | null;
  readonly expiresAt: EpochMs | null;
}

export class RecordTable {
  readonly #look: StatementSync;
  readonly #read: StatementSync;
  readonly #insert: StatementSync;
  readonly #update: StatementSync;
  readonly #delete: StatementSync;
  readonly #due: StatementSync;
  readonly #wake: StatementSync;
  readonly #sweep: StatementSync;
  #seen: Seen | undefined;

  constructor(db: DatabaseSync) {
    this.#look = db.prepare("SELECT row, version, expires_at FROM record WHERE p = ? AND name = ?");
    this.#read = db.prepare("SELECT version, value, expires_at FROM record WHERE p = ? AND name = ?");
    this.#insert = db.prepare(
      "INSERT INTO record (p, name, version, value, wake_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
    );
    this.#update = db.prepare("UPDATE record SET version = ?, value = ?, wake_at = ?, expires_at = ? WHERE row = ?");
    this.#delete = db.prepare("DELETE FROM record WHERE p = ? AND name = ?");
    this.#due = db.prepare(
      "SELECT row, name, wake_at, expires_at FROM record WHERE p = ? AND wake_at <= ? ORDER BY wake_at LIMIT ?",
    );
    this.#wake = db.prepare("UPDATE record SET wake_at = ? WHERE row = ?");
    this.#sweep = db.prepare(
      "DELETE FROM record WHERE row IN (SELECT row FROM record WHERE p = ? AND expires_at <= ? ORDER BY expires_at LIMIT ?)",
    );
  }

  /** What is remembered is about one state of the table. */
  forget(): void {
    this.#seen = undefined;
  }

  find(partition: number, name: string, now: EpochMs): RecordRow | undefined {
    const row = this.#read.get(partition, name);
    if (row === undefined || isOver(row.expires_at, now)) return undefined;
    return { version: String(row.version), text: String(row.value) };
  }

  version(partition: number, name: string, now: EpochMs): string | undefined {
    return this.#lookAt(partition, name, now).version;
  }

  put(put: RecordPut, now: EpochMs): void {
    const { partition, name, version, text, wakeAt, expiresAt } = put;
    const seen = this.#lookAt(partition, name, now);
    if (seen.row !== undefined) {
      this.#update.run(version, text, wakeAt, expiresAt, seen.row);
      this.#seen = { ...seen, version };
      return;
    }
    const { lastInsertRowid } = this.#insert.run(partition, name, version, text, wakeAt, expiresAt);
    this.#seen = { partition, name, row: Number(lastInsertRowid), version };
  }

  delete(partition: number, name: string): void {
    this.#delete.run(partition, name);
    this.#seen = undefined;
  }

  take(
    partition: number,
    limit: number,
    leaseMs: Ms,
    now: EpochMs,
  ): readonly { readonly name: string; readonly at: EpochMs }[] {
    const taken: { name: string; at: EpochMs }[] = [];
    while (taken.length < limit) {
      const due = this.#due.all(partition, now, limit - taken.length);
      for (const row of due) {
        const isGone = isOver(row.expires_at, now);
        this.#wake.run(isGone ? null : later(now, leaseMs), row.row ?? null);
        if (!isGone) taken.push({ name: String(row.name), at: Number(row.wake_at) });
      }
      if (due.length === 0) break;
    }
    return taken;
  }

  sweep(partition: number, budget: number, now: EpochMs): number {
    this.#seen = undefined;
    return Number(this.#sweep.run(partition, now, budget).changes);
  }

  #lookAt(partition: number, name: string, now: EpochMs): Seen {
    const known = this.#seen;
    if (known !== undefined && known.name === name && known.partition === partition) return known;
    const found = this.#look.get(partition, name);
    const isVisible = found !== undefined && !isOver(found.expires_at, now);
    this.#seen = {
      partition,
      name,
      row: found === undefined ? undefined : Number(found.row),
      version: isVisible ? String(found.version) : undefined,
    };
    return this.#seen;
  }
}

function isOver(expiresAt: unknown, now: EpochMs): boolean {
  return typeof expiresAt === "number" && expiresAt <= now;
}
