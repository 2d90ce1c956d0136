// What 500 seeds must have tried: a simulation in which something never happens proves nothing about it.
// Owns:          the list of events, fates and outcomes, and how often each is demanded.
// Must not know: how they come about.

import type { RunSummary } from "../run.ts";

/** At least a quarter of what 500 seeds give. */
const OFTEN = 50;
const SOME = 10;
const RARE = 2;

const DID: { readonly [name: string]: number } = {
  ...all(OFTEN, "accepted", "approved", "rejected", "cancelled", "dispatched", "vanished", "batch", "batch in part"),
  ...all(OFTEN, "limit reached", "tenant limit reached", "worker full", "delayed", "policy put in force", "rerouted"),
  ...all(OFTEN, "submit IDEMPOTENCY_CONFLICT", "submit STATE_OUTCOME_UNKNOWN", "submit STATE_UNAVAILABLE"),
  ...all(OFTEN, "ended SUCCEEDED", "ended FAILED", "ended CANCELLED", "ended TIMEOUT", "ended DENIED"),
  ...all(OFTEN, "policy taken away", "shown", "reader connects", "reader fell behind", "watched to the end"),
  ...all(OFTEN, "session", "handed over", "loaded done", "result said again", "key let in", "key out", "key made"),
  ...all(OFTEN, "placed beside a drained worker", "lock taken exclusive", "lock taken shared", "lock released"),
  ...all(OFTEN, "lock LOCK_UNAVAILABLE", "trespass JOB_NOT_FOUND", "trespass DEAD_LETTER_NOT_FOUND", "retried"),
  ...all(SOME, "job.approve", "job.reject", "job.cancel", "dlq.retry", "dlq.delete", "key.create", "key.revoke"),
  ...all(SOME, "discarded", "remediated", "bulk retried", "bulk deleted", "bulk would_retry", "bulk would_delete"),
  ...all(SOME, "key.rotate", "worker.drain", "worker.undrain", "lock renewed", "lock not renewed", "lock.break"),
  ...all(SOME, "ended in order", "stopped by cancel", "stop acknowledged", "stop unknown", "key STATE_UNAVAILABLE"),
  ...all(RARE, "foreign refused", "delivery not taken", "result acknowledged"),
};

const READS = ["delay", "error", "crash_before", "crash_after"] as const;
const MET: { readonly [name: string]: number } = {
  ...all(SOME, "overtaken", "torn"),
  ...met(SOME, "state.commit", [...READS, "duplicate", "lost_answer", "late", "conflict", "gone"]),
  ...met(SOME, "state.get", READS),
  ...met(SOME, "state.list", READS),
  ...met(SOME, "state.take", READS),
  ...met(SOME, "bus.publish", [...READS, "duplicate", "lost_answer"]),
  ...met(RARE, "bus.deliver", [...READS, "lost_answer"]),
  ...met(SOME, "bus.arrive", ["delay", "duplicate", "lost", "crash_before", "crash_after"]),
  ...met(SOME, "bus.subscribe", READS),
  ...met(RARE, "payloads.put", ["delay", "error", "duplicate", "lost_answer", "late"]),
  ...met(SOME, "payloads.keep", ["delay", "error", "duplicate", "lost_answer", "late"]),
};

/** Of the world: outages of the store, silences of the bus, failovers, crashes. */
const HAPPENED: { readonly [name: string]: number } = all(SOME, "begins", "ended", "forgotten", "crash", "dead");

export class Coverage {
  readonly #did = new Map<string, number>();
  readonly #met = new Map<string, number>();
  readonly #happened = new Map<string, number>();

  add({ did, world }: RunSummary): void {
    addAll(this.#did, did);
    addAll(this.#met, world.met);
    addAll(this.#happened, world.happened);
  }

  /** What happened less often than is demanded. */
  missing(): readonly string[] {
    return [...lacking(DID, this.#did), ...lacking(MET, this.#met), ...lacking(HAPPENED, this.#happened)];
  }
}

function addAll(sums: Map<string, number>, counts: ReadonlyMap<string, number>): void {
  for (const [name, count] of counts) sums.set(name, (sums.get(name) ?? 0) + count);
}

function lacking(wanted: { readonly [name: string]: number }, sums: ReadonlyMap<string, number>): readonly string[] {
  return Object.entries(wanted).flatMap(([name, least]) => {
    const count = sums.get(name) ?? 0;
    return count < least ? [`${name}: ${count} of ${least}`] : [];
  });
}

function all(least: number, ...names: readonly string[]): { readonly [name: string]: number } {
  return Object.fromEntries(names.map((name) => [name, least]));
}

function met(least: number, method: string, fates: readonly string[]): { readonly [name: string]: number } {
  return all(least, ...fates.map((fate) => `${method} ${fate}`));
}
