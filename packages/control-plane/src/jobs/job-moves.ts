// The moves of which the life of a job is made.
// Owns:          how a record goes on to its next phase: steps, wakes, the outcome, what an end sets off.
// Must not know: which event leads to which move (transition.ts).

import { assert } from "../ports/fault.ts";
import type { EpochMs } from "../ports/time.ts";
import {
  type Dispatch,
  isTerminal,
  type Job,
  type JobOutcome,
  type JobStep,
  type Phase,
  STEPS_MAX,
  type TerminalState,
  type WakeName,
  type Wakes,
} from "./job.ts";
import type { Effect, Report } from "./job-event.ts";
import { orderToStop, STOP_AGAIN_MS } from "./stop-order.ts";

export interface Transition {
  readonly next: Job;
  readonly effects: readonly Effect[];
}

export type Ending = { readonly code: string; readonly message: string; readonly by: string } & Partial<Report>;

export function end(job: Job, state: TerminalState, now: EpochMs, ending: Ending): Transition {
  const { phase } = job;
  const isOut = phase.state === "DISPATCHED" || phase.state === "RUNNING";
  const byWorker = ending.reported !== undefined; // not by its name: a person may have that one, too
  const outcome: JobOutcome = {
    at: now,
    code: ending.code,
    message: ending.message,
    resultPtr: ending.resultPtr ?? "",
    workerId: ending.workerId || (isOut ? phase.dispatch.workerId : ""),
    executionMs: ending.executionMs ?? 0,
    artifactPtrs: ending.artifactPtrs ?? [],
    reported: ending.reported ?? "",
    by: ending.by,
  };
  const effects: Effect[] = [];
  const mustStop = isOut && !byWorker;
  if (mustStop) effects.push(stopWorker(outcome));
  if (!byWorker) effects.push({ kind: "announce_end" });
  const next = advance(job, { state, outcome }, mustStop ? { stop: now + STOP_AGAIN_MS } : {}, now, ending.code);
  if (isDeadLetter(next)) effects.push({ kind: "announce_dead_letter" });
  const stop = mustStop ? { stop: orderToStop(phase.dispatch, now) } : {};
  return { next: { ...next, ...stop, listedAt: listedAtOfEnd(job, now) }, effects };
}

export function stopWorker({ message, code, by }: JobOutcome): Effect & { readonly kind: "stop_worker" } {
  return { kind: "stop_worker", reason: message === "" ? code : message, by };
}

/** Ended jobs that somebody should look at: all but the successful ones and those that were cancelled by somebody other
 *  than their worker. */
export function isDeadLetter(job: Job): boolean {
  const { phase } = job;
  if (!isTerminal(job) || phase.state === "SUCCEEDED") return false;
  return phase.state !== "CANCELLED" || ("outcome" in phase && phase.outcome.reported !== "");
}

const RELISTED_AFTER_MS = 3_600_000;

/** A job that was open for long is listed by its end, so that its index entries live as long as its record. */
function listedAtOfEnd(job: Job, now: EpochMs): EpochMs {
  return now - job.listedAt > RELISTED_AFTER_MS ? now : job.listedAt;
}

export function dispatchOf(job: Job, dispatchId: string): Dispatch | undefined {
  const { phase } = job;
  if (phase.state !== "DISPATCHED" && phase.state !== "RUNNING") return undefined;
  return phase.dispatch.id === dispatchId ? phase.dispatch : undefined;
}

export function move(job: Job, phase: Phase, wakes: Wakes, now: EpochMs, why: string): Transition {
  return { next: advance(job, phase, wakes, now, why), effects: [] };
}

function advance(job: Job, phase: Phase, wakes: Wakes, now: EpochMs, why: string): Job {
  const lasting = "outcome" in phase ? {} : pick(job.wakes, mayWait(phase) ? LASTING_WHILE_WAITING : LASTING);
  const next: Job = {
    ...job,
    phase,
    wakes: { ...lasting, ...wakes },
    updatedAt: Math.max(now, job.updatedAt),
    steps: withStep(job.steps, { at: now, state: phase.state, why }),
  };
  assert("outcome" in phase || Object.keys(next.wakes).length > 0, "an unfinished job has a wake", {
    jobId: job.id,
    state: phase.state,
  });
  return next;
}

const LASTING = ["deadline", "upkeep"] as const;
const LASTING_WHILE_WAITING = [...LASTING, "waited_too_long"] as const;

/** A job that is out may come back unbegun: then it has been waiting all the time. */
function mayWait(phase: Phase): boolean {
  return phase.state === "SCHEDULED" || phase.state === "DISPATCHED";
}

/** Waiting for the same reason again is no step. */
function withStep(steps: readonly JobStep[], step: JobStep): readonly JobStep[] {
  const last = steps.at(-1);
  if (last?.state === step.state && last.why === step.why) return steps;
  return steps.length < STEPS_MAX ? [...steps, step] : [...steps.slice(1 - STEPS_MAX), step];
}

export function update(job: Job, phase: Phase, wakes: Wakes, now: EpochMs): Transition {
  return { next: { ...job, phase, wakes, updatedAt: Math.max(now, job.updatedAt) }, effects: [] };
}

export function without(wakes: Wakes, name: WakeName): Wakes {
  const { [name]: _, ...rest } = wakes;
  return rest;
}

function pick(wakes: Wakes, names: readonly WakeName[]): Wakes {
  const kept: { [name in WakeName]?: EpochMs } = {};
  for (const name of names) {
    const at = wakes[name];
    if (at !== undefined) kept[name] = at;
  }
  return kept;
}

export function stay(job: Job): Transition {
  return { next: job, effects: [] };
}
