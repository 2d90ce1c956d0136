// The store that outlives all simulated processes.
// Owns:          the memory engines of State and Payloads; the journal of what was committed; failing over to a replica.
// Must not know: who commits.
// J1. A failover forgets the newest commits, and nothing else: older ones are there in their order, with their versions.
// J2. Alarms that were taken are as they were committed: a replica may hand them out again.
// J3. A touch is what another process may do at any time: it writes a record as it is, under a new version.

import type { Dump, MemoryState } from "../adapters/memory/memory-state.ts";
import type { Clock } from "../ports/clock.ts";
import type { Payloads } from "../ports/payloads.ts";
import type { Batch, Change, Outcome, RecordKey, State } from "../ports/state.ts";

export interface StoreOptions {
  readonly clock: Clock;
  openState(clock: Clock): MemoryState;
  openPayloads(clock: Clock): Payloads;
}

const never = new AbortController().signal;

export class Store {
  readonly payloads: Payloads;
  readonly #options: StoreOptions;
  readonly #applied = new Set<string>();
  readonly #latest = new Map<string, Change & { readonly do: "put" }>();
  #touches = 0;
  #journal: Batch[] = [];
  #state: MemoryState;

  constructor(options: StoreOptions) {
    this.#options = options;
    this.#state = options.openState(options.clock);
    this.payloads = options.openPayloads(options.clock);
  }

  /** The engine that is in charge now. */
  get state(): State {
    return this.#state;
  }

  dump(): Dump {
    return this.#state.dump();
  }

  /** True when the batch was applied by this call, and not before. */
  async commit(batch: Batch): Promise<{ readonly outcome: Outcome; readonly isNew: boolean }> {
    const outcome = await this.#state.commit(batch, never);
    const isNew = outcome.kind === "committed" && !this.#applied.has(batch.id);
    if (isNew) {
      this.#applied.add(batch.id);
      this.#journal.push(batch);
      this.#note(batch);
    }
    return { outcome, isNew };
  }

  /** Writes again what the batch has read, so that the batch comes too late. False when it has read nothing that is there. */
  touch({ checks }: Batch): boolean {
    for (const check of checks) {
      if (check.is !== "at") continue;
      const put = this.#latest.get(nameOf(check.key));
      if (put === undefined) continue;
      const id = `touch${String(this.#touches++).padStart(7, "0")}`;
      const { partition } = check.key;
      void this.commit({ id, partition, checks: [check], changes: [put] }); // done at once; lost when the version is old already
      return true;
    }
    return false;
  }

  #note({ changes }: Batch): void {
    for (const change of changes) {
      if (change.do === "put") this.#latest.set(nameOf(change.key), change);
      else if (change.do === "delete") this.#latest.delete(nameOf(change.key));
    }
  }

  /** Continues without the newest `lost` commits. Returns what is left of the journal, and what is gone. Done within one turn. */
  async failOver(lost: number): Promise<{ readonly kept: readonly Batch[]; readonly gone: readonly Batch[] }> {
    const kept = this.#journal.slice(0, Math.max(0, this.#journal.length - lost));
    const gone = this.#journal.slice(kept.length);
    const replica = this.#options.openState(this.#options.clock);
    this.#state = replica;
    this.#journal = [...kept];
    for (const batch of gone) this.#applied.delete(batch.id);
    this.#latest.clear();
    for (const batch of kept) this.#note(batch);
    await Promise.all(kept.map((batch) => replica.commit(batch, never)));
    return { kept, gone };
  }
}

function nameOf({ kind, id }: RecordKey): string {
  return `${kind}:${id}`;
}
