// Decide and place, in memory, as far as a job can get right now.
// Owns:          the order: policy first, then placement; and that no decision of another policy or another request is used.
// Must not know: State, Bus: the caller commits what comes out, once.
// E1. A job is placed only under a decision for exactly this request by the policy that is loaded now; after a change of policy it is
//     judged again first. So it is when what is configured for it now would deny it; configuration can only tighten.
// E2. No policy loaded, or configuration that is not known, means waiting.

import { directSubject } from "@cordum/protocol";
import type { Effective } from "../config/effective.ts";
import type { Decision, DecisionRecord } from "../policy/decision.ts";
import { constraintsOf } from "../policy/decision-forms.ts";
import { restricts } from "../policy/effective-config.ts";
import type { EpochMs, Ms } from "../ports/time.ts";
import { place } from "../scheduling/placement.ts";
import { limitsFor } from "../scheduling/routing.ts";
import { type Limit, ruleLimit, tenantLimit } from "../scheduling/slots.ts";
import { isTerminal, type Job } from "./job.ts";
import { configOf } from "./job-config.ts";
import type { Effect, JobEvent } from "./job-event.ts";
import type { Transition } from "./job-moves.ts";
import type { JobParts } from "./job-parts.ts";
import { needsOf, policyInputOf } from "./job-request.ts";
import { holdsApproval, isDue, transition } from "./transition.ts";

/** Each round decides or places; more than this many in a row would be a loop. */
const ROUNDS_MAX = 8;

export interface Settling {
  readonly now: EpochMs;
  readonly parts: JobParts;
  /** What is configured for the job; undefined: what is in memory, if it comes to that. */
  readonly config: Effective | undefined;
  /** A limit that is reached: then the job is held back instead of placed. */
  readonly full?: Limit | undefined;
}

/** Applies the event and settles. `pull`: a worker has a free slot, so try to place a job that waits. */
export function changeAndSettle(job: Job, event: JobEvent | "pull", settling: Settling): Transition {
  const { now, parts, full } = settling;
  const first: Transition =
    event === "pull" ? { next: pulled(job, now), effects: [] } : transition(job, event, now, parts.settings);
  let { next } = first;
  let effects: readonly Effect[] = first.effects;
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const wanted = nextEvent(next, settling, event === "pull");
    if (wanted === undefined) break;
    const step = wanted.kind === "placed" && full !== undefined ? heldBack(full, parts) : wanted;
    const moved = transition(next, step, now, parts.settings);
    if (moved.next === next) break;
    next = moved.next;
    effects = [...effects, ...moved.effects];
  }
  return event === "pull" && isSameWait(job, next, now) ? { next: job, effects: [] } : { next, effects };
}

/** A pull that found no place writes nothing. */
function isSameWait(before: Job, after: Job, now: EpochMs): boolean {
  const [from, to] = [before.phase, after.phase];
  if (from.state !== "SCHEDULED" || to.state !== "SCHEDULED" || isDue(before, "place", now)) return false;
  return from.waiting === to.waiting && from.limit === to.limit && from.pools.join("\n") === to.pools.join("\n");
}

const HELD_BACK_MS = 30_000;

/** Whoever gives a slot back pulls the next job; the wake is for the case that this is lost. */
function heldBack(limit: Limit, parts: JobParts): JobEvent {
  return { kind: "held_back", limit, retryAfterMs: Math.round(HELD_BACK_MS * (0.5 + parts.clock.random() / 2)) };
}

/** The limits that a job under this decision counts against. */
export function limitsOnConcurrency(job: Job, decision: Decision, parts: Pick<JobParts, "policy">): readonly Limit[] {
  const ofTenant = parts.policy.concurrentJobsMax(job.tenant);
  const ofRule = constraintsOf(decision)?.budgets?.maxConcurrentJobs ?? 0;
  return [
    ...(ofTenant > 0 ? [tenantLimit(job.tenant, ofTenant)] : []),
    ...(ofRule > 0 ? [ruleLimit(job.tenant, decision.ruleId, ofRule)] : []),
  ];
}

/** The decision under which the job may be placed now, or undefined when it must be judged (again) first. */
export function standingDecision(job: Job, snapshot: string): Decision | undefined {
  const record = job.decisions.at(-1);
  if (record === undefined || record.jobHash !== job.hash || record.decision.snapshot !== snapshot) return undefined;
  return allows(job, record) ? record.decision : undefined;
}

function pulled(job: Job, now: EpochMs): Job {
  const { phase } = job;
  if (phase.state === "SCHEDULED") return { ...job, wakes: { ...job.wakes, place: now } };
  const isUnjudged = phase.state === "PENDING" && phase.waiting === "placing";
  return isUnjudged ? { ...job, wakes: { ...job.wakes, decide: now } } : job;
}

function nextEvent(job: Job, settling: Settling, isItsTurn: boolean): JobEvent | undefined {
  const { now, parts } = settling;
  if (isTerminal(job)) return undefined;
  const isToJudge = job.phase.state === "PENDING" && isDue(job, "decide", now);
  const isToPlace = job.phase.state === "SCHEDULED" && isDue(job, "place", now);
  if (!isToJudge && !isToPlace) return undefined;
  if (!parts.drives) return isToJudge ? { kind: "handed_over", ringAgainMs: parts.settings.doorbellMs } : undefined;
  const config = settling.config ?? configOf(job, parts);
  if (config === undefined) return { kind: "policy_unavailable", retryAfterMs: policyRetryMs(job, now, parts) };
  if (isToJudge) return judge(job, config, settling);
  const decision = standingDecision(job, parts.policy.snapshot());
  if (decision === undefined || isForbiddenNow(job, config, parts)) return judge(job, config, settling);
  return placing(job, decision, { now, parts, isItsTurn });
}

/** See E1. What was allowed may have been configured away since. */
function isForbiddenNow(job: Job, { forWorkers }: Effective, parts: JobParts): boolean {
  if (!restricts(forWorkers)) return false;
  const decision = parts.policy.decide(policyInputOf(job, forWorkers));
  return decision !== "unavailable" && decision.kind === "deny";
}

function judge(job: Job, { forWorkers }: Effective, { now, parts }: Settling): JobEvent {
  const decision = parts.policy.decide(policyInputOf(job, forWorkers));
  if (decision === "unavailable") return { kind: "policy_unavailable", retryAfterMs: policyRetryMs(job, now, parts) };
  return { kind: "decided", decided: { at: now, jobHash: job.hash, decision } };
}

const POLICY_RETRY_MAX_MS = 60_000;

/** The longer a job waits already, the longer until the next look. */
function policyRetryMs(job: Job, now: EpochMs, parts: JobParts): Ms {
  return Math.min(POLICY_RETRY_MAX_MS, Math.max(parts.settings.policyRetryMs, (now - job.acceptedAt) / 2));
}

function allows(job: Job, record: DecisionRecord): boolean {
  const { kind } = record.decision;
  return (
    kind === "allow" || kind === "allow_with_constraints" || (kind === "require_approval" && holdsApproval(job, record))
  );
}

interface Turn {
  readonly now: EpochMs;
  readonly parts: JobParts;
  /** False for a job that has not waited yet: where others wait, it gets in line. */
  readonly isItsTurn: boolean;
}

function placing(job: Job, decision: Decision, { now, parts, isItsTurn }: Turn): JobEvent {
  const { routing, timeouts } = parts.scheduling.current;
  const placement = place(needsOf(job), routing, parts.registry.alive(now), () => parts.clock.random());
  if (placement.kind !== "placed") return placement;
  const { worker, pool, pools } = placement;
  if (!isItsTurn && pools.some((one) => parts.congestion.has(one)))
    return { kind: "unplaced", waiting: "pool_overloaded", pools };
  const direct = worker.listens === "directly";
  const limits = limitsFor(timeouts, job.topic);
  const budgets = constraintsOf(decision)?.budgets;
  return {
    kind: "placed",
    dispatch: {
      id: parts.clock.id(),
      workerId: worker.id,
      instance: worker.heartbeat.instance,
      pool,
      subject: direct ? directSubject(worker.id) : job.topic,
      direct,
      at: now,
      limits: limitsOnConcurrency(job, decision, parts).map(({ id }) => id),
      heard: false,
    },
    timeoutMs: smaller(limits.timeoutMs, budgets?.maxRuntimeMs),
    attemptsMax: 1 + retriesOf(limits.maxRetries, budgets?.maxRetries),
  };
}

/** The topic's setting is a wish, the policy's a bound; alone, each is what holds. */
function retriesOf(wished: number, bound: number | undefined): number {
  if (bound === undefined) return wished;
  return wished === 0 ? bound : Math.min(wished, bound);
}

function smaller(a: Ms, b: Ms | undefined): Ms {
  return b === undefined || b <= 0 ? a : Math.min(a, b);
}
