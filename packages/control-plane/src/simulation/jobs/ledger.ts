// What an observer outside of the control plane knows.
// Owns:          answers that clients and approvers got, packets that workers got and sent, commits that were applied.
// Must not know: what must hold (invariants.ts).
// A failover takes back what the store has forgotten: histories are made again from what it kept.

import { AUDIT_LOG, parseAuditEntry } from "../../audit/audit-entry.ts";
import { DEAD_LETTER_KIND } from "../../dead-letters/dead-letter.ts";
import type { Job } from "../../jobs/job.ts";
import type { Batch } from "../../ports/state.ts";
import type { EpochMs, Ms } from "../../ports/time.ts";
import { DIFFERING_CLOCKS } from "../clock-error.ts";
import { Capacity } from "./capacity.ts";
import { DrainWatch } from "./drain-watch.ts";
import { KeyWatch } from "./key-watch.ts";
import { LockWatch } from "./lock-watch.ts";

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
  /** The most attempts that it was ever given: settings change. */
  attemptsMax: number;
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
  /** Workers whose topics at least one node has heard after healing. */
  readonly announced = new Set<string>();
  readonly capacity = new Capacity();
  readonly locks = new LockWatch();
  readonly keys = new KeyWatch();
  readonly drains = new DrainWatch();
  /** By job that was asked to wait: the moment, as its client knows it. */
  readonly notBefore = new Map<string, EpochMs>();
  /** Dead letters that were removed, as the store knows. */
  readonly discarded = new Set<string>();
  /** The store has forgotten something, once or more. */
  hasFailedOver = false;
  /** What is in the audit, as "job.cancel <id>". */
  readonly #audited = new Set<string>();
  /** By "retried <job>" or "remediated <job>": the job that was made of it, as its operator was told. */
  readonly #repeated = new Map<string, string>();
  /** By life of a node: policies in the order in which they came into force there. */
  readonly #policies = new Map<string, { readonly snapshot: string; readonly from: EpochMs }[]>();
  readonly #now: () => EpochMs;
  #healedAt: EpochMs = 0;
  readonly counts = new Map<string, number>();

  constructor(now: () => EpochMs = () => 0) {
    this.#now = now;
  }

  /** The world's time. */
  now(): EpochMs {
    return this.#now();
  }

  noteHealed(): void {
    this.isHealed = true;
    this.#healedAt = this.#now();
    this.capacity.noteHealed(this.#healedAt);
  }

  isHealedFor(ms: Ms): boolean {
    return this.isHealed && this.#now() >= this.#healedAt + ms;
  }

  notePolicy(who: string, snapshot: string): void {
    const before = this.#policies.get(who) ?? [];
    this.#policies.set(who, [...before, { snapshot, from: this.#now() }]);
  }

  /** Whether the policy was in force in that life at about that moment of its clock. */
  wasInForce(who: string, snapshot: string, at: EpochMs): boolean {
    const slackMs = DIFFERING_CLOCKS.unfollowedMs + 1;
    const policies = this.#policies.get(who) ?? [];
    return policies.some(({ snapshot: one, from }, nth) => {
      const until = policies[nth + 1]?.from ?? Number.POSITIVE_INFINITY;
      return one === snapshot && from - slackMs <= at && at <= until + slackMs;
    });
  }

  /** What is in a batch beside jobs. */
  observe(batch: Batch, fail: (says: string) => void): void {
    for (const change of batch.changes) {
      if (change.do === "append" && change.log.log === AUDIT_LOG) {
        const { action, of } = parseAuditEntry(change.entry);
        this.#audited.add(`${action} ${of.id}`);
      }
      if (change.do === "delete" && change.key.kind === DEAD_LETTER_KIND) this.discarded.add(change.key.id);
    }
    this.locks.observe(batch, this.#now(), fail);
    this.keys.observe(batch, this.#now());
    this.drains.observe(batch, this.#now());
  }

  /** Before what the store has kept is observed again. */
  startAnew(): void {
    this.hasFailedOver = true;
    this.histories.clear();
    this.discarded.clear();
    this.#audited.clear();
    this.#repeated.clear();
    this.locks.forget();
    this.keys.forget();
    this.drains.forget();
  }

  /** Somebody was told that it is done: then it is in the audit. */
  confirmDeed(action: string, id: string, fail: (says: string) => void): void {
    this.count(action);
    if (!this.#audited.has(`${action} ${id}`) && !this.hasFailedOver)
      fail(`G16: ${action} of ${id} was confirmed and is not in the audit`);
  }

  /** G15. */
  noteRepeated(how: "retried" | "remediated", jobId: string, newId: string, fail: (says: string) => void): void {
    this.accepted.add(newId);
    this.count(how);
    const known = this.#repeated.get(`${how} ${jobId}`);
    this.#repeated.set(`${how} ${jobId}`, newId);
    if (how === "retried" && known !== undefined && known !== newId && !this.hasFailedOver)
      fail(`G15: ${jobId} was retried as ${known} and as ${newId}`);
  }

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
