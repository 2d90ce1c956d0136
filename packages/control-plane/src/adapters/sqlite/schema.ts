// The SQLite file: its tables, how it is opened, and who owns it.
// Owns:          pragmas, schema version, number of partitions, the lock file.
// Must not know: calls, threads.
// F1. One process owns the file. SQLite's exclusive lock decides (the system frees it when the owner dies, however it dies);
//     the lock file beside it only says who the owner is.
// F2. WAL with synchronous=FULL: a commit that was answered survives loss of power.
// F3. What a batch touches lies close together, for pages are what a commit costs: the entries of one member in one place (a job
//     enters seven indexes and dirties one page for it, not seven), orders and records at their growing ends. Pages of 8 KiB took
//     a tenth off. Ids that grow with time take another third off: random ones dirty a page of every tree.
// F4. The file holds what people submit: it is made for its owner alone, wherever it lies. SQLite gives its log the same mode.

import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { Fault, messageOf } from "../../ports/fault.ts";

const SCHEMA = 1;

const TABLES = `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE record (
    row INTEGER PRIMARY KEY, p INTEGER NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, value TEXT NOT NULL,
    wake_at INTEGER, expires_at INTEGER);
  CREATE UNIQUE INDEX record_name ON record (p, name);
  CREATE INDEX record_wake ON record (p, wake_at) WHERE wake_at IS NOT NULL;
  CREATE INDEX record_expiry ON record (p, expires_at) WHERE expires_at IS NOT NULL;
  CREATE TABLE idx (id INTEGER PRIMARY KEY, p INTEGER NOT NULL, name TEXT NOT NULL, size INTEGER NOT NULL, sweep_at INTEGER);
  CREATE UNIQUE INDEX idx_name ON idx (p, name);
  CREATE INDEX idx_sweep ON idx (p, sweep_at) WHERE sweep_at IS NOT NULL;
  CREATE TABLE entry (idx INTEGER NOT NULL, member TEXT NOT NULL, score NUMERIC NOT NULL, PRIMARY KEY (member, idx)) WITHOUT ROWID;
  CREATE INDEX entry_order ON entry (idx, score, member);
  CREATE TABLE log (id INTEGER PRIMARY KEY, p INTEGER NOT NULL, name TEXT NOT NULL, size INTEGER NOT NULL, sweep_at INTEGER NOT NULL);
  CREATE UNIQUE INDEX log_name ON log (p, name);
  CREATE INDEX log_sweep ON log (p, sweep_at);
  CREATE TABLE log_entry (
    log INTEGER NOT NULL, position INTEGER NOT NULL, at INTEGER NOT NULL, value TEXT NOT NULL, PRIMARY KEY (log, position)) WITHOUT ROWID;
  CREATE TABLE remembered (id TEXT PRIMARY KEY, p INTEGER NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID;
  CREATE INDEX remembered_until ON remembered (p, until);
  CREATE TABLE payload (key TEXT PRIMARY KEY, bytes BLOB NOT NULL, ends_at INTEGER NOT NULL);
  CREATE INDEX payload_end ON payload (ends_at);
`;

/** Opens or creates the file and takes possession of it. STATE_MISCONFIGURED when another process owns it, when it was written
 *  by a newer version, and when it has another number of partitions. */
export function openFile(path: string, partitions: number): DatabaseSync {
  closeSync(openSync(path, "a", 0o600));
  const db = new DatabaseSync(path);
  try {
    own(db, path);
    prepareTables(db, partitions);
  } catch (error) {
    db.close();
    throw error;
  }
  writeFileSync(lockPath(path), `${process.pid}\n`, { mode: 0o600 });
  return db;
}

/** Gives the file up: everything goes into the main file, the lock file goes away. */
export function closeFile(db: DatabaseSync, path: string): void {
  rmSync(lockPath(path), { force: true });
  db.close();
}

function own(db: DatabaseSync, path: string): void {
  try {
    db.exec(`
      PRAGMA page_size = 8192;
      PRAGMA locking_mode = EXCLUSIVE;
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      PRAGMA cache_size = -65536;
      PRAGMA temp_store = MEMORY;
      PRAGMA wal_autocheckpoint = 4000;
      PRAGMA journal_size_limit = 67108864;
      BEGIN IMMEDIATE;
      COMMIT;
    `);
  } catch (cause) {
    const isLocked = cause instanceof Error && /database is locked/.test(cause.message);
    if (!isLocked) throw cause;
    throw new Fault("STATE_MISCONFIGURED", `${path} belongs to ${ownerOf(path)}; only one process may open it`, {
      cause,
    });
  }
}

function prepareTables(db: DatabaseSync, partitions: number): void {
  const hasMeta = db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'meta'").get() !== undefined;
  if (!hasMeta) {
    db.exec(`BEGIN IMMEDIATE; ${TABLES}
      INSERT INTO meta VALUES ('schema', ${SCHEMA}), ('partitions', ${partitions}), ('position', 0); COMMIT;`);
    return;
  }
  const schema = readMeta(db, "schema");
  if (schema !== SCHEMA) {
    throw new Fault("STATE_MISCONFIGURED", `the file has schema ${schema}; this version reads schema ${SCHEMA}`);
  }
  const stored = readMeta(db, "partitions");
  if (stored !== partitions) {
    throw new Fault("STATE_MISCONFIGURED", `the file has ${stored} partitions, the configuration says ${partitions}`);
  }
}

export function readMeta(db: DatabaseSync, key: "schema" | "partitions" | "position"): number {
  return Number(db.prepare("SELECT value FROM meta WHERE key = ?").get(key)?.value ?? Number.NaN);
}

function lockPath(path: string): string {
  return `${path}.lock`;
}

function ownerOf(path: string): string {
  try {
    return `process ${Number.parseInt(readFileSync(lockPath(path), "utf8"), 10)}`;
  } catch (error) {
    return `another process (its lock file cannot be read: ${messageOf(error)})`;
  }
}
