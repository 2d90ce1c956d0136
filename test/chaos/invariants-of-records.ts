// What must hold of the records of jobs and of everything that is stored beside them.
// Owns:          these invariants.
// Must not know: what workers did.

import { AUDIT_LOG, parseAuditEntry } from "@cordum/control-plane/audit/audit-entry";
import { isTerminalState, type Job, type JobState } from "@cordum/control-plane/jobs/job";
import { SLOT_KIND } from "@cordum/control-plane/scheduling/slots";
import { disagreements } from "@cordum/control-plane/testing/records-agree";
import type { Invariant, RoundFacts } from "./facts.ts";
import type { Deed } from "./ledger.ts";

const ENDS: readonly JobState[] = ["SUCCEEDED", "FAILED", "CANCELLED", "TIMEOUT", "DENIED"];
/** Which state may follow which, written down a second time. */
const MAY_FOLLOW: { readonly [state: string]: readonly JobState[] } = {
  PENDING: ["PENDING", "APPROVAL_REQUIRED", "SCHEDULED", ...ENDS.filter((end) => end !== "SUCCEEDED")],
  APPROVAL_REQUIRED: ["APPROVAL_REQUIRED", "SCHEDULED", "PENDING", "DENIED", "CANCELLED", "TIMEOUT"],
  // A late result of an attempt that was given up ends a job that waits for the next one.
  SCHEDULED: ["SCHEDULED", "PENDING", "APPROVAL_REQUIRED", "DISPATCHED", ...ENDS],
  DISPATCHED: ["RUNNING", "SCHEDULED", ...ENDS],
  RUNNING: ["SCHEDULED", ...ENDS],
};
/** Processes' clocks follow the store's, over connections that are slow at times. */
const CLOCKS_MS = 2_500;

const kept: Invariant = {
  name: "kept",
  says: "Every job that was accepted is stored.",
  check: (round) => {
    const { accepted } = round.facts.ledger;
    const missing = [...accepted.values()].filter(({ id }) => !round.jobs.has(id));
    const faults = missing.filter(({ id }) => !round.isTouched(id));
    return {
      looked: accepted.size,
      faults: faults.map(({ id, kind }) => `${id} (${kind}) was accepted and is not stored`),
    };
  },
};

const endedOnce: Invariant = {
  name: "ended once",
  says: "Every stored job has ended, once, and the states that it passed explain how.",
  check: ({ jobs }) => ({ looked: jobs.size, faults: [...jobs.values()].flatMap(faultsOfLife) }),
};

function faultsOfLife(job: Job): readonly string[] {
  const { id, phase, steps } = job;
  const faults: string[] = [];
  const ends = steps.filter(({ state }) => isTerminalState(state));
  if (!("outcome" in phase)) faults.push(`${id} has not ended: ${JSON.stringify(phase)} ${JSON.stringify(job.wakes)}`);
  else if (ends.length !== 1) faults.push(`${id} has ended ${ends.length} times: ${JSON.stringify(steps)}`);
  if (steps.at(-1)?.state !== phase.state) faults.push(`${id} is ${phase.state}, its last step says otherwise`);
  for (const [at, step] of steps.entries()) {
    const before = steps[at - 1];
    if (before === undefined) continue;
    if (MAY_FOLLOW[before.state]?.includes(step.state) !== true)
      faults.push(`${id} went from ${before.state} to ${step.state}`);
    if (before.at > step.at + CLOCKS_MS) faults.push(`${id} was ${step.state} before it was ${before.state}`);
  }
  return faults;
}

const agree: Invariant = {
  name: "records agree",
  says: "Records, indexes, waiting lanes, alarms, slots and dead letters agree.",
  check: ({ facts }) => {
    const { records, indexes } = facts.dump;
    const entries = indexes.reduce((sum, index) => sum + index.entries.length, 0);
    return { looked: records.length + entries, faults: disagreements(facts.dump, facts.now) };
  },
};

const slots: Invariant = {
  name: "slots given back",
  says: "No slot of a limit is held once all jobs have ended.",
  check: ({ facts, jobs }) => {
    const held = facts.dump.records.filter(({ stored }) => stored.key.kind === SLOT_KIND);
    return { looked: jobs.size, faults: held.map(({ stored }) => `slot ${stored.key.id} is still held`) };
  },
};

const deedsStand: Invariant = {
  name: "deeds stand",
  says: "What a person was told is done (approved, rejected, cancelled) is in the job's record and, once, in the audit.",
  check: (round) => {
    const { deeds } = round.facts.ledger;
    const audited = auditOf(round);
    const faults = deeds
      .filter(({ jobId }) => !round.isTouched(jobId))
      .flatMap((deed) => faultsOfDeed(deed, round, audited));
    return { looked: deeds.length, faults };
  },
};

function faultsOfDeed(deed: Deed, { jobs }: RoundFacts, audited: ReadonlyMap<string, number>): readonly string[] {
  const { jobId, action, by } = deed;
  const job = jobs.get(jobId);
  const faults: string[] = [];
  const says = `${action} of ${jobId} by ${by}`;
  const answer = action === "job.approve" ? "approved" : "rejected";
  const stands =
    action === "job.cancel"
      ? job?.phase.state === "CANCELLED"
      : job?.approval?.answer === answer && job.approval.by === by;
  if (!stands)
    faults.push(`${says} was confirmed, the record says ${job?.phase.state} ${JSON.stringify(job?.approval)}`);
  const times = audited.get(`${action} ${jobId} ${by}`) ?? 0;
  if (times !== 1) faults.push(`${says} is in the audit ${times} times`);
  return faults;
}

function auditOf({ facts }: RoundFacts): ReadonlyMap<string, number> {
  const times = new Map<string, number>();
  for (const { key, entries } of facts.dump.logs) {
    if (key.log !== AUDIT_LOG) continue;
    for (const { action, of, actor } of entries.map(parseAuditEntry)) {
      const name = `${action} ${of.id} ${actor.principal}`;
      times.set(name, (times.get(name) ?? 0) + 1);
    }
  }
  return times;
}

const oneForOne: Invariant = {
  name: "one job for one key",
  says: "The same idempotency key names the same job; two keys never do.",
  check: ({ facts }) => {
    const keyed = [...facts.ledger.accepted.values()].filter(({ idempotencyKey }) => idempotencyKey !== "");
    const faults = [...Map.groupBy(keyed, ({ idempotencyKey }) => idempotencyKey)]
      .filter(([, jobs]) => jobs.length > 1)
      .map(([key, jobs]) => `${key} names ${jobs.map(({ id }) => id).join(" and ")}`);
    return { looked: keyed.length, faults };
  },
};

const tenants: Invariant = {
  name: "tenants apart",
  says: "Every job is of the tenant and topic for which it was accepted, in its record and on every list that was read.",
  check: ({ facts, jobs }) => {
    const faults = [...facts.ledger.accepted.values()].flatMap(({ id, tenant, topic }) => {
      const job = jobs.get(id);
      const isSame = job === undefined || (job.tenant === tenant && job.topic === topic);
      return isSame ? [] : [`${id} of ${tenant} on ${topic} is stored as of ${job.tenant} on ${job.topic}`];
    });
    return { looked: facts.ledger.accepted.size, faults };
  },
};

export const RECORD_INVARIANTS: readonly Invariant[] = [kept, endedOnce, agree, slots, deedsStand, oneForOne, tenants];
