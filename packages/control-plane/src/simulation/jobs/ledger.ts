// What an observer outside of the control plane knows.
// Owns:          answers that clients and approvers got, packets that workers got and sent, commits that were applied.
// Must not know: what must hold (invariants.ts).
// A failover takes back what the store has forgotten: histories are made again from what it kept.

import type { Job } from "../../jobs/job.ts";
import { Capacity } from "./capacity.ts";

export interface JobHistory {
  /** The record as it was last committed. */
  job: Job;
  /** Names the commit that wrote it. */
  version: string;
  readonly dispatchIds: Set<string>;
  /** Workers that the job was ever given to. */
  readonly assigned: Set<string>;
  /** Answers of people in any version, as "approved by bob". */
  readonly answers: Set<string>;
  /** True while each dispatch so far went to one worker's own subject. */
  onlyDirect: boolean;
}

export interface SentResult {
  readonly workerId: string;
  readonly status: number;
}

export class Ledger {
  /** From now on nothing fails, workers do their best, and clients ask for what must succeed. */
  isHealed = false;
  /** Jobs whose client got an answer. */
  readonly accepted = new Set<string>();
  /** Jobs that were asked for after healing, and must succeed. */
  readonly fresh = new Set<string>();
  /** By idempotency key: the job that the first answer named. */
  readonly byKey = new Map<string, string>();
  readonly histories = new Map<string, JobHistory>();
  /** By job: who said yes, even if the answer was lost. */
  readonly approvers = new Map<string, Set<string>>();
  /** By job: answers of people that were confirmed to them, as "approved by bob". */
  readonly confirmed = new Map<string, Set<string>>();
  /** By job: dispatch ids that reached a worker. */
  readonly heard = new Map<string, Set<string>>();
  /** Jobs of which the store has forgotten something: they may run again, and what was told of them may be gone. */
  readonly forgotten = new Set<string>();
  readonly sent = new Map<string, SentResult[]>();
  readonly capacity = new Capacity();
  readonly counts = new Map<string, number>();

  count(name: string): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
  }
}

/** Adds to the set of a key. */
export function note<K, V>(sets: Map<K, Set<V>>, key: K, value: V): void {
  const known = sets.get(key);
  if (known === undefined) sets.set(key, new Set([value]));
  else known.add(value);
}
