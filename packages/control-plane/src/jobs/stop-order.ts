// What is noted about a job beside its course: what became of the order to stop, and results that did not count.
// Owns:          which report answers the order; when that is given up; why a result is stray, and how many are kept.
// Must not know: State, Bus, the clock.
// S1. None of it changes a job's state, outcome, dead letter or place in a list. S2. The order is sent again until its worker answers or the
//     grace is over. The grace counts from when it could be sent: a worker that nobody could tell has not been silent. S3. Whoever speaks
//     without end writes STRAYS_MAX times.

import type { EpochMs, Ms } from "../ports/time.ts";
import {
  type Dispatch,
  type Job,
  STRAYS_MAX,
  type StopOrder,
  type StrayReason,
  type StrayResult,
  type Wakes,
} from "./job.ts";
import type { Report } from "./job-event.ts";

/** A worker that goes on with a job that was cancelled is what nobody may rely on one publish for. */
export const STOP_AGAIN_MS: Ms = 5_000;

export function orderToStop({ id, workerId, direct }: Dispatch, now: EpochMs): StopOrder {
  return { dispatch: { id, workerId, direct }, since: now, answer: { kind: "awaited" } };
}

/** The wake was due: ask again, or give up. `isToRepeat` says which. */
export function lookAtStop(job: Job, now: EpochMs, graceMs: Ms): { readonly next: Job; readonly isToRepeat: boolean } {
  const { stop: order } = job;
  const isOpen = order !== undefined && order.answer.kind === "awaited";
  if (!isOpen) return { next: { ...job, wakes: NO_WAKES }, isToRepeat: false };
  const endsAt = order.since + graceMs;
  if (now >= endsAt)
    return {
      next: { ...job, wakes: NO_WAKES, stop: { ...order, answer: { kind: "unknown", at: now } } },
      isToRepeat: false,
    };
  const againAt = now + Math.max(STOP_AGAIN_MS, now - order.since);
  return { next: { ...job, wakes: { stop: Math.min(endsAt, againAt) } }, isToRepeat: true };
}

/** The bus did not take it: the grace begins anew. */
export function noteUnsent(job: Job, now: EpochMs): Job {
  const { stop: order } = job;
  if (order?.answer.kind !== "awaited") return job;
  return { ...job, wakes: { stop: now + STOP_AGAIN_MS }, stop: { ...order, since: now } };
}

export function noteAnswer(job: Job, workerId: string, reported: string, now: EpochMs): Job {
  const { stop: order } = job;
  if (order === undefined || order.answer.kind === "acknowledged") return job;
  return { ...job, wakes: NO_WAKES, stop: { ...order, answer: { kind: "acknowledged", at: now, workerId, reported } } };
}

/** Is this what the order waits for? A late answer is better than none. */
export function answersStop({ stop: order }: Job, report: Pick<Report, "workerId" | "dispatchId">): boolean {
  return order !== undefined && order.answer.kind !== "acknowledged" && answers(order.dispatch, report);
}

/** May this be said about the dispatch by whoever says it? */
export function answers(
  dispatch: StopOrder["dispatch"],
  { workerId, dispatchId }: Pick<Report, "workerId" | "dispatchId">,
): boolean {
  if (dispatchId !== "" && dispatchId !== dispatch.id) return false;
  return !dispatch.direct || workerId === "" || workerId === dispatch.workerId;
}

/** Why a report that may not end the job does not count. */
export function strayReason(job: Job, report: Report): StrayReason {
  const { phase } = job;
  if ("outcome" in phase) {
    const { workerId, reported } = phase.outcome;
    if (reported !== "" && reported === report.reported && workerId === report.workerId) return "repeated";
    return hasHadIt(job, report.workerId) ? "ended" : "not_assigned";
  }
  if (!("dispatch" in phase)) return hasHadIt(job, report.workerId) ? "earlier_attempt" : "not_out";
  if (phase.dispatch.direct && report.workerId !== phase.dispatch.workerId)
    return hasHadIt(job, report.workerId) ? "earlier_attempt" : "not_assigned";
  return job.attempts > 1 ? "earlier_attempt" : "other_dispatch";
}

/** By the steps, which name the worker of each attempt. One that does not say who it is may be anybody. */
function hasHadIt(job: Job, workerId: string): boolean {
  if (workerId === "") return job.attempts > 0;
  if (job.stop?.dispatch.workerId === workerId) return true;
  if ("outcome" in job.phase && job.phase.outcome.workerId === workerId) return true;
  return job.steps.some(({ state, why }) => (state === "DISPATCHED" || state === "RUNNING") && why === workerId);
}

/** `job` itself when it is said already, or enough is kept. */
export function noteStray(job: Job, stray: StrayResult): Job {
  const { strays = [] } = job;
  if (strays.length >= STRAYS_MAX || strays.some((known) => isSame(known, stray))) return job;
  return { ...job, strays: [...strays, stray] };
}

function isSame(one: StrayResult, other: StrayResult): boolean {
  const { at: _, ...said } = one;
  return Object.entries(said).every(([member, value]) => other[member as keyof StrayResult] === value);
}

const NO_WAKES: Wakes = {};
