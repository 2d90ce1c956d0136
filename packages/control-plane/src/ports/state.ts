// State: an ordered store of small records with one way to write, an atomic conditional batch.
// Owns:          the contract that every engine keeps (memory, SQLite, Redis, Redis Cluster).
// Must not know: jobs, runs, any other record; which engine runs it.
// S1. A version is the id of the batch that wrote it, never a counter. A batch that arrives twice finds its own id and answers
//     "committed" again. At least one check must fail once the batch is applied, so that nothing is applied twice.
//     An unknown outcome is the fault STATE_OUTCOME_UNKNOWN, distinct from STATE_UNAVAILABLE ("nothing was done").
// S2. Checks first, then changes; nothing can fail in between.
// S3. All keys of a batch lie in one partition (partition.ts). N is written into the store at first start; a process that is
//     configured otherwise refuses to start (STATE_MISCONFIGURED).
// S4. `put` names the alarm: when somebody must look again, or "never".
// S5. A record with keepMs is gone afterwards. Entries of an index whose score is a time are invisible to `list` and `count` as
//     soon as they are older than the declared keepMs; `sweep` removes them, and the names of empty indexes, in small steps.
// S6. `list` walks one index in order (score, then member by UTF-16 code units; members are ASCII) and keeps members that are in all
//     of `alsoIn`, looking at no more than `examineMax`. A page may be short: `next` goes on; no `next` means the end.
// S7. `take` hands out due alarms, oldest first, and moves them by the lease in the same step.
// S8. Batches that arrive while calls are under way travel together.
// S9. Where `traits.attaches`, a batch may put payloads, into the Payloads that were opened with this State: together with its other
//     changes or not at all. A cluster cannot: payloads have their own slots there.
// S10. A batch is carried out within COMMIT_LATEST_MS of `commit`, or never, whatever becomes of who sent it. So whoever has read what
//     was stamped up to some moment knows when nothing can be added to it any more.

import type { Json } from "./json.ts";
import type { EpochMs, Ms } from "./time.ts";

/** See S10. */
export const COMMIT_LATEST_MS: Ms = 5_000;

/** 0 … traits.partitions - 1. */
export type Partition = number;
/** 12 random characters of base64url from Clock.id(). */
export type CommitId = string;

export interface RecordKey {
  readonly partition: Partition;
  readonly kind: string;
  readonly id: string;
}
export interface IndexKey {
  readonly partition: Partition;
  readonly index: string;
  readonly of: readonly string[];
}
export interface LogKey {
  readonly partition: Partition;
  readonly log: string;
  readonly of: string;
}
export interface Stored {
  readonly key: RecordKey;
  readonly version: CommitId;
  readonly value: Json;
}

/** Declared once, at opening: what each index's score means and how long entries are kept; how long logs are. */
export interface Layout {
  readonly indexes: { readonly [index: string]: IndexRule };
  readonly logs: { readonly [log: string]: LogRule };
}
export type IndexRule = { readonly score: "time"; readonly keepMs: Ms | "forever" } | { readonly score: "rank" };
export interface LogRule {
  readonly keepMs: Ms;
  readonly entriesMax: number;
}

export type Check =
  | { readonly is: "at"; readonly key: RecordKey; readonly version: CommitId }
  | { readonly is: "absent"; readonly key: RecordKey }
  | { readonly is: "in" | "out"; readonly index: IndexKey; readonly member: string }
  /** The visible size of the index, counted before this batch's changes, is less than `than`. */
  | { readonly is: "fewer"; readonly index: IndexKey; readonly than: number };

export type Change =
  | {
      readonly do: "put";
      readonly key: RecordKey;
      readonly value: Json;
      readonly keepMs?: Ms;
      readonly wakeAt: EpochMs | "never";
    }
  | { readonly do: "delete"; readonly key: RecordKey }
  | { readonly do: "enter"; readonly index: IndexKey; readonly member: string; readonly score: number }
  | { readonly do: "leave"; readonly index: IndexKey; readonly member: string }
  | { readonly do: "append"; readonly log: LogKey; readonly entry: Json }
  | Attachment;
/** See S9. `key` as in Payloads.put. */
export interface Attachment {
  readonly do: "attach";
  readonly key: string;
  readonly text: string;
  readonly keepMs: Ms;
}

export interface Batch {
  readonly id: CommitId;
  readonly partition: Partition;
  readonly checks: readonly [Check, ...Check[]];
  readonly changes: readonly Change[];
  /** Sizes of these indexes after the batch, in the answer. */
  readonly tell?: readonly IndexKey[];
}

export type Outcome =
  | { readonly kind: "committed"; readonly sizes: readonly number[] }
  /** `check` is the position of the first check that failed; `found` what is there now (only for "at" and "absent"). */
  | { readonly kind: "conflict"; readonly check: number; readonly found: Stored | undefined };

export interface Span {
  readonly index: IndexKey;
  /** Inclusive bounds of the score. */
  readonly min?: number;
  readonly max?: number;
}
/** A place in an index; lists go on strictly behind it. */
export interface Position {
  readonly score: number;
  readonly member: string;
}
export interface ListQuery {
  readonly span: Span;
  readonly alsoIn: readonly IndexKey[];
  readonly order: "up" | "down";
  readonly after?: Position;
  readonly limit: number;
  readonly examineMax: number;
}
export interface Page {
  readonly entries: readonly Position[];
  readonly next?: Position;
  readonly examined: number;
}
export interface LogPage {
  readonly entries: readonly { readonly at: string; readonly entry: Json }[];
  readonly next?: string;
}
export interface Due {
  readonly key: RecordKey;
  readonly at: EpochMs;
}

export interface StateTraits {
  readonly partitions: number;
  /** What an accepted commit survives by itself. */
  readonly survives: "nothing" | "process" | "power";
  /** Other processes see the same store. */
  readonly shared: boolean;
  readonly valueBytesMax: number;
  readonly changesMax: number;
  /** See S9. */
  readonly attaches: boolean;
}

export interface State {
  readonly traits: StateTraits;
  /** In the order of `keys`; undefined where there is none. Keys may lie in several partitions. */
  get(keys: readonly RecordKey[], signal: AbortSignal): Promise<readonly (Stored | undefined)[]>;
  /** All checks hold and all changes are made, or nothing is. */
  commit(batch: Batch, signal: AbortSignal): Promise<Outcome>;
  list(query: ListQuery, signal: AbortSignal): Promise<Page>;
  count(spans: readonly Span[], signal: AbortSignal): Promise<readonly number[]>;
  /** Entries after position `after` (undefined: from the oldest kept one), oldest first. */
  read(log: LogKey, after: string | undefined, limit: number, signal: AbortSignal): Promise<LogPage>;
  take(partition: Partition, limit: number, leaseMs: Ms, signal: AbortSignal): Promise<readonly Due[]>;
  /** Removes up to `budget` expired things; done: nothing expired is left. */
  sweep(
    partition: Partition,
    budget: number,
    signal: AbortSignal,
  ): Promise<{ readonly removed: number; readonly done: boolean }>;
  /** The store's clock. */
  now(signal: AbortSignal): Promise<EpochMs>;
  close(): Promise<void>;
}
