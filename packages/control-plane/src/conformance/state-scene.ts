// The scene in which a rule of State is tried: a fresh store, one partition to play in, and short words for batches.
// Owns:          what an engine's test must bring (OpenState) and the vocabulary of the suites.
// Must not know: which engine it is.

import type { Payloads } from "../ports/payloads.ts";
import type {
  Batch,
  Change,
  Check,
  IndexKey,
  Layout,
  LogKey,
  Outcome,
  RecordKey,
  State,
  Stored,
} from "../ports/state.ts";
import type { EpochMs, Ms } from "../ports/time.ts";

export interface StoreSpec {
  readonly partitions: number;
  readonly layout: Layout;
}

/** What an engine's test hands to the suites. Every opening gives an empty store of its own. */
export interface OpenedState {
  readonly state: State;
  /** Of engines whose batches carry payloads (S9): where these go. */
  readonly payloads?: Payloads;
  /** Lets the store's time pass; engines on real time use `passRealTime`. */
  pass(ms: Ms): Promise<void>;
  /** After `state.close()`: the same store again, for engines that keep it. */
  reopen?(spec: StoreSpec): Promise<OpenedState>;
  /** How many calls (round trips, transactions) the engine has made so far, where that can be seen. */
  calls?(): number;
  /** Frees what belongs to the test (files, databases); the suite has closed `state` before. */
  dispose?(): Promise<void>;
}
export type OpenState = (spec: StoreSpec) => Promise<OpenedState>;

/** Indexes and logs of the suites. `recent` entries live 400 ms, `brief` log entries 150 ms. */
export const conformanceLayout: Layout = {
  indexes: {
    times: { score: "time", keepMs: "forever" },
    recent: { score: "time", keepMs: 400 },
    rank: { score: "rank" },
    other: { score: "rank" },
  },
  logs: {
    audit: { keepMs: 3_600_000, entriesMax: 5 },
    long: { keepMs: 3_600_000, entriesMax: 10_000 },
    brief: { keepMs: 150, entriesMax: 100 },
  },
};

/** A signal that never fires. */
export const never: AbortSignal = new AbortController().signal;

/** Waits on the store's own clock; every step is a call that is awaited, so no timer is needed. */
export async function passRealTime(state: State, ms: Ms): Promise<void> {
  const until = (await state.now(never)) + ms;
  while ((await state.now(never)) <= until);
}

let commits = 0;
/** A commit id that this process has not used before. */
export function newCommitId(): string {
  commits++;
  return `c${String(commits).padStart(11, "0")}`;
}

export type PutMore = { readonly keepMs?: Ms; readonly wakeAt?: EpochMs | "never" };
export type Checks = readonly [Check, ...Check[]];

/** One store and one of its partitions. */
export class Scene {
  readonly opened: OpenedState;
  readonly state: State;
  readonly partition: number;

  constructor(opened: OpenedState, partition: number) {
    this.opened = opened;
    this.state = opened.state;
    this.partition = partition;
  }

  key(id: string, kind = "thing"): RecordKey {
    return { partition: this.partition, kind, id };
  }

  index(index: string, ...of: readonly string[]): IndexKey {
    return { partition: this.partition, index, of };
  }

  log(log: string, of = "one"): LogKey {
    return { partition: this.partition, log, of };
  }

  batch(checks: Checks, changes: readonly Change[], tell?: readonly IndexKey[]): Batch {
    const batch: Batch = { id: newCommitId(), partition: this.partition, checks, changes };
    return tell === undefined ? batch : { ...batch, tell };
  }

  commit(checks: Checks, changes: readonly Change[], tell?: readonly IndexKey[]): Promise<Outcome> {
    return this.state.commit(this.batch(checks, changes, tell), never);
  }

  /** Commits and insists that it was committed; answers the sizes. */
  async must(checks: Checks, changes: readonly Change[], tell?: readonly IndexKey[]): Promise<readonly number[]> {
    const outcome = await this.commit(checks, changes, tell);
    if (outcome.kind !== "committed") throw new Error(`expected a commit, got ${JSON.stringify(outcome)}`);
    return outcome.sizes;
  }

  /** A new record; answers it as it is stored. */
  async create(id: string, value: Stored["value"] = { id }, more: PutMore = {}): Promise<Stored> {
    const key = this.key(id);
    const batch = this.batch([{ is: "absent", key }], [put(key, value, more)]);
    const outcome = await this.state.commit(batch, never);
    if (outcome.kind !== "committed") throw new Error(`record ${id} exists`);
    return { key, version: batch.id, value };
  }

  /** Enters members under checks that fail afterwards. */
  async fill(index: IndexKey, entries: readonly (readonly [member: string, score: number])[]): Promise<void> {
    for (const [member, score] of entries) {
      await this.must([{ is: "out", index, member }], [{ do: "enter", index, member, score }]);
    }
  }

  async get(id: string): Promise<Stored | undefined> {
    const [found] = await this.state.get([this.key(id)], never);
    return found;
  }

  async count(index: IndexKey): Promise<number> {
    const [count] = await this.state.count([{ index }], never);
    if (count === undefined) throw new Error("count answered nothing");
    return count;
  }

  async members(index: IndexKey, order: "up" | "down" = "up"): Promise<readonly string[]> {
    const page = await this.state.list({ span: { index }, alsoIn: [], order, limit: 1000, examineMax: 1000 }, never);
    return page.entries.map((entry) => entry.member);
  }

  async entries(log: LogKey): Promise<readonly unknown[]> {
    const page = await this.state.read(log, undefined, 1000, never);
    return page.entries.map((entry) => entry.entry);
  }

  now(): Promise<EpochMs> {
    return this.state.now(never);
  }
}

export function put(key: RecordKey, value: Stored["value"], more: PutMore = {}): Change {
  const { keepMs, wakeAt = "never" } = more;
  return keepMs === undefined ? { do: "put", key, value, wakeAt } : { do: "put", key, value, wakeAt, keepMs };
}

/** Declares one test; its title begins with the number of the rule. */
export type Run = (title: string, body: (scene: Scene) => Promise<void>) => void;

/** The fault's code, for assertions that read well. */
export async function faultOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : `not a fault: ${String(error)}`;
  }
  return "no fault";
}
