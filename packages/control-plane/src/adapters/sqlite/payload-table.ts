// Payloads in SQLite, in the same file and the same transactions as State.
// Owns:          the table `payload`. Must not know: what the bytes mean.

import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { EpochMs } from "../../ports/time.ts";

export class PayloadTable {
  readonly #put: StatementSync;
  readonly #get: StatementSync;
  readonly #keep: StatementSync;
  readonly #delete: StatementSync;
  readonly #sweep: StatementSync;

  constructor(db: DatabaseSync) {
    this.#put = db.prepare(
      "INSERT INTO payload (key, bytes, ends_at) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET bytes = excluded.bytes, ends_at = excluded.ends_at",
    );
    this.#get = db.prepare("SELECT bytes FROM payload WHERE key = ? AND ends_at > ?");
    this.#keep = db.prepare("UPDATE payload SET ends_at = max(ends_at, ?) WHERE key = ? AND ends_at > ?");
    this.#delete = db.prepare("DELETE FROM payload WHERE key = ?");
    this.#sweep = db.prepare(
      "DELETE FROM payload WHERE rowid IN (SELECT rowid FROM payload WHERE ends_at <= ? ORDER BY ends_at LIMIT ?)",
    );
  }

  put(key: string, bytes: Uint8Array, endsAt: EpochMs): void {
    this.#put.run(key, bytes, endsAt);
  }

  get(key: string, now: EpochMs): Uint8Array | undefined {
    const bytes = this.#get.get(key, now)?.bytes;
    return bytes instanceof Uint8Array ? bytes : undefined;
  }

  keep(key: string, endsAt: EpochMs, now: EpochMs): boolean {
    return Number(this.#keep.run(endsAt, key, now).changes) > 0;
  }

  delete(key: string): void {
    this.#delete.run(key);
  }

  sweep(budget: number, now: EpochMs): number {
    return Number(this.#sweep.run(now, budget).changes);
  }
}
