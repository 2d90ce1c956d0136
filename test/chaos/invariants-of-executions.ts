// What must hold of what workers really did.
// Owns:          these invariants.
// Must not know: how executions were written down.
// X1. A job whose tries may have been forgotten by Redis (facts.ts, isTouched) may be done again; what policy forbids is not done even then.

import type { Job } from "@cordum/control-plane/jobs/job";
import type { Execution } from "./effects.ts";
import type { Finding, Invariant, RoundFacts } from "./facts.ts";
import { ATTEMPTS_MAX, expectedOf, LIMITS, type Topic } from "./house-rules.ts";

const CLOCKS_MS = 2_500;

const allowed: Invariant = {
  name: "only what is allowed",
  says: "Nothing is executed without an allowing decision for exactly this request, and where a person must look, a yes of somebody else.",
  check: (round) => ({
    looked: round.facts.executions.length,
    faults: round.facts.executions.flatMap((execution) => whyForbidden(execution, round) ?? []),
  }),
};

function whyForbidden({ job: id, topic, start }: Execution, round: RoundFacts): string | undefined {
  if (topic === "job.no") return `${id} was executed, which every policy denies`;
  if (topic === "job.ask" && !round.facts.ledger.approvals.has(id)) return `${id} was executed, and nobody said yes`;
  const job = round.jobs.get(id);
  if (round.isTouched(id)) return undefined;
  if (job === undefined) return `${id} was executed and is not stored`;
  if (topic === "job.ask" && (job.approval?.answer !== "approved" || job.approval.by === job.principal))
    return `${id} was executed, its record has no approval by somebody else`;
  const before = job.decisions.filter(({ at, jobHash }) => at <= start + CLOCKS_MS && jobHash === job.hash);
  const isAllowed = before.some(
    ({ decision }) => expectedOf(decision.snapshot, topic) !== "deny" && decision.kind !== "deny",
  );
  return isAllowed ? undefined : `${id} was executed, its decisions are ${JSON.stringify(job.decisions)}`;
}

const asPromised: Invariant = {
  name: "executed as promised",
  says: "An attempt is executed once, and again only where its worker died; no more attempts than the job may have; success only where a worker finished.",
  check: (round) => {
    const faults: string[] = [];
    for (const [id, executions] of round.executionsOf) faults.push(...faultsOfAttempts(id, executions, round));
    for (const job of round.jobs.values()) faults.push(...faultsOfSuccess(job, round));
    return { looked: round.facts.executions.length, faults };
  },
};

function faultsOfAttempts(id: string, executions: readonly Execution[], round: RoundFacts): readonly string[] {
  const { ledger } = round.facts;
  const faults: string[] = [];
  const job = round.jobs.get(id);
  const attempts = Map.groupBy(executions, ({ attempt }) => attempt);
  if (round.isTouched(id)) {
    ledger.count("executed again after Redis lost its newest writes", executions.length - attempts.size);
    return faults;
  }
  const topic = executions[0]?.topic as Topic;
  const highest = Math.max(...attempts.keys());
  if (attempts.size > ATTEMPTS_MAX[topic]) faults.push(`${id} on ${topic} was tried ${attempts.size} times`);
  if (highest > (job?.attempts ?? 0))
    faults.push(`${id}: attempt ${highest} was executed, the record has ${job?.attempts}`);
  for (const same of attempts.values()) {
    for (const [at, again] of same.entries()) {
      const before = same[at - 1];
      if (before === undefined) continue;
      if (before.life !== again.life && hasDied(before, again.start, round))
        ledger.count("executed again after its worker died");
      else
        faults.push(
          `${id}: attempt ${again.attempt} was executed by ${before.life} at ${before.start} and by ${again.life} at ${again.start}`,
        );
    }
  }
  return faults;
}

function hasDied({ worker, start }: Execution, before: number, { facts }: RoundFacts): boolean {
  return facts.deaths.some((death) => death.worker === worker && death.at >= start && death.at <= before);
}

function faultsOfSuccess({ id, phase }: Job, round: RoundFacts): readonly string[] {
  if (phase.state !== "SUCCEEDED") return [];
  const isDone = round.executions(id).some(({ how }) => how === "done");
  return isDone ? [] : [`${id} is SUCCEEDED, and no worker has finished it`];
}

const notBefore: Invariant = {
  name: "not too early",
  says: "A delayed job is not executed before its time.",
  check: (round) => {
    const delayed = [...round.jobs.values()].flatMap(({ id, notBefore: at }) => (at === undefined ? [] : [{ id, at }]));
    const faults = delayed.flatMap(({ id, at }) => {
      const early = round.executions(id).find(({ start }) => start < at - CLOCKS_MS);
      return early === undefined ? [] : [`${id} was executed ${at - early.start} ms too early`];
    });
    return { looked: delayed.length, faults };
  },
};

const limits: Invariant = {
  name: "limits kept",
  says: "Never do more jobs of a rule or a tenant run at once than it may have, nor are more slots taken.",
  check: (round) => {
    const found = LIMITS.map((limit) => findingOfLimit(limit, round));
    return { looked: found.reduce((sum, each) => sum + each.looked, 0), faults: found.flatMap(({ faults }) => faults) };
  },
};

/** Those alone that were out from start to end for certain: they ended by a report, while they were out with a worker. */
function findingOfLimit({ says, topic, tenant, max }: (typeof LIMITS)[number], round: RoundFacts): Finding {
  const spans: { readonly id: string; readonly start: number; readonly end: number }[] = [];
  for (const job of round.jobs.values()) {
    if (job.tenant !== tenant || (topic !== undefined && job.topic !== topic) || round.isTouched(job.id)) continue;
    const last = round.executions(job.id).findLast(({ attempt, how }) => attempt === job.attempts && how === "done");
    const isOwn = "outcome" in job.phase && job.phase.outcome.reported !== "";
    const wasOut = ["DISPATCHED", "RUNNING"].includes(job.steps.at(-2)?.state ?? "");
    if (last?.end !== undefined && isOwn && wasOut) spans.push({ id: job.id, start: last.start, end: last.end });
  }
  const faults: string[] = [];
  for (const { start } of spans) {
    const out = spans.filter((span) => span.start <= start && span.end > start);
    if (out.length > max) faults.push(`${says}: at ${start} ran ${out.map(({ id }) => id).join(", ")}; ${max} may`);
  }
  return { looked: spans.length, faults };
}

export const EXECUTION_INVARIANTS: readonly Invariant[] = [allowed, asPromised, notBefore, limits];
