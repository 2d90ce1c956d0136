// Records with indexes that always agree with them.
// Owns:          loading one kind of record, and saving it together with its index entries in one batch.
// Must not know: what the record means.
// R1. The entries of a record are a pure function of it; a save enters and leaves the difference, so records and indexes cannot drift.
// R2. A save checks the version that was read (or absence): who loses a race gets what is there now and decides again.

import type { Clock } from "../ports/clock.ts";
import { Fault } from "../ports/fault.ts";
import type { Json } from "../ports/json.ts";
import { partitionOf } from "../ports/partition.ts";
import type { Change, Check, IndexKey, Outcome, RecordKey, State, Stored } from "../ports/state.ts";
import type { EpochMs, Ms } from "../ports/time.ts";

export interface Entry {
  readonly index: string;
  readonly of: readonly string[];
  readonly score: number;
}

/** How one kind of record lies in State. */
export interface RecordShape<R> {
  readonly kind: string;
  idOf(record: R): string;
  parse(value: Json): R;
  write(record: R): Json;
  entriesOf(record: R): readonly Entry[];
  alarmOf(record: R): EpochMs | "never";
  /** How long the record is kept from this save on; undefined: until it is changed. */
  keepMsOf(record: R): Ms | undefined;
  /** Told of each save that the store has answered, before whoever waits for it goes on. */
  noteSaved?(id: string, saved: Saved<R>): void;
}

export interface Seen<R> {
  readonly record: R;
  readonly version: string;
}

export type Saved<R> =
  | { readonly kind: "committed"; readonly seen: Seen<R> }
  | { readonly kind: "conflict"; readonly seen: Seen<R> | undefined };

export interface SaveOptions {
  /** What must be true together with the record: changes of other domains, in the same partition. */
  readonly also?: readonly Change[];
  readonly checks?: readonly Check[];
}

export class RecordStore<R> {
  readonly #state: State;
  readonly #clock: Clock;
  readonly #shape: RecordShape<R>;

  constructor(state: State, clock: Clock, shape: RecordShape<R>) {
    this.#state = state;
    this.#clock = clock;
    this.#shape = shape;
  }

  key(id: string): RecordKey {
    return { partition: partitionOf(id, this.#state.traits.partitions), kind: this.#shape.kind, id };
  }

  async load(id: string, signal: AbortSignal): Promise<Seen<R> | undefined> {
    const [found] = await this.#state.get([this.key(id)], signal);
    return this.#read(found);
  }

  /** In the order of `ids`; undefined where there is none (any more). */
  async loadMany(ids: readonly string[], signal: AbortSignal): Promise<readonly (Seen<R> | undefined)[]> {
    if (ids.length === 0) return [];
    const found = await this.#state.get(
      ids.map((id) => this.key(id)),
      signal,
    );
    return found.map((stored) => this.#read(stored));
  }

  /** Creates the record; conflict when the id is taken. */
  create(next: R, options: SaveOptions, signal: AbortSignal): Promise<Saved<R>> {
    return this.#commit(undefined, next, options, signal);
  }

  /** Replaces what was seen; conflict when it has changed since. */
  replace(seen: Seen<R>, next: R, options: SaveOptions, signal: AbortSignal): Promise<Saved<R>> {
    return this.#commit(seen, next, options, signal);
  }

  /** Removes what was seen, with all its index entries; false when it has changed since. `also` goes with it. */
  async remove(seen: Seen<R>, also: readonly Change[], signal: AbortSignal): Promise<boolean> {
    const key = this.key(this.#shape.idOf(seen.record));
    const leaves = difference(this.#shape.entriesOf(seen.record), [], key.partition, key.id);
    const outcome = await this.#state.commit(
      {
        id: this.#clock.id(),
        partition: key.partition,
        checks: [{ is: "at", key, version: seen.version }],
        changes: [{ do: "delete", key }, ...leaves, ...also],
      },
      signal,
    );
    return outcome.kind === "committed";
  }

  async #commit(seen: Seen<R> | undefined, next: R, options: SaveOptions, signal: AbortSignal): Promise<Saved<R>> {
    const shape = this.#shape;
    const id = shape.idOf(next);
    const key = this.key(id);
    const version = this.#clock.id();
    const first: Check = seen === undefined ? { is: "absent", key } : { is: "at", key, version: seen.version };
    const keepMs = shape.keepMsOf(next);
    const put: Change = {
      do: "put",
      key,
      value: shape.write(next),
      wakeAt: shape.alarmOf(next),
      ...(keepMs === undefined ? {} : { keepMs }),
    };
    const moves = difference(
      seen === undefined ? [] : shape.entriesOf(seen.record),
      shape.entriesOf(next),
      key.partition,
      id,
    );
    const outcome = await this.#state.commit(
      {
        id: version,
        partition: key.partition,
        checks: [first, ...(options.checks ?? [])],
        changes: [put, ...moves, ...(options.also ?? [])],
      },
      signal,
    );
    const saved = this.#savedBy(outcome, { record: next, version });
    if (saved !== undefined) {
      shape.noteSaved?.(id, saved);
      return saved;
    }
    throw new Fault("STATE_REFUSED", `a condition on ${shape.kind} ${id} no longer holds`);
  }

  /** Undefined: a condition beside the record's own does not hold. */
  #savedBy(outcome: Outcome, written: Seen<R>): Saved<R> | undefined {
    if (outcome.kind === "committed") return { kind: "committed", seen: written };
    return outcome.check === 0 ? { kind: "conflict", seen: this.#read(outcome.found) } : undefined;
  }

  #read(stored: Stored | undefined): Seen<R> | undefined {
    return stored === undefined ? undefined : { record: this.#shape.parse(stored.value), version: stored.version };
  }
}

/** Index changes that turn the entries `before` into `after`. */
export function difference(
  before: readonly Entry[],
  after: readonly Entry[],
  partition: number,
  member: string,
): readonly Change[] {
  const changes: Change[] = [];
  for (const entry of before)
    if (twinOf(entry, after) === undefined) changes.push({ do: "leave", index: keyOf(entry, partition), member });
  for (const entry of after)
    if (twinOf(entry, before)?.score !== entry.score)
      changes.push({ do: "enter", index: keyOf(entry, partition), member, score: entry.score });
  return changes;
}

/** The entry in the same index. A record has few: looking through them costs less than names and a map of them. */
function twinOf({ index, of }: Entry, among: readonly Entry[]): Entry | undefined {
  return among.find((other) => other.index === index && isSame(other.of, of));
}

function isSame(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((part, at) => part === others[at]);
}

function keyOf(entry: Entry, partition: number): IndexKey {
  return { partition, index: entry.index, of: entry.of };
}
