// The whole life of a job: same job, event and time, same result on every machine.
// Owns:          which state follows which, wakes, attempts, steps.
// Must not know: State, Bus, the clock, chance: what of these matters comes with the event.
// T1. A terminal job stays as it is, whatever comes (J1); what is noted beside is in stop-order.ts. T2. `next === job` means: nothing to write.
// T3. Only "placed" leads to DISPATCHED, and only from SCHEDULED, which only an allowing decision or a person's yes leads to.
// T4. An attempt counts from its placing; it is given back only when certainly nobody heard of it: a dispatch is delivered again only after
//     the record says so, so that who heard nobody the first time finds out.

import type { DecisionRecord } from "../policy/decision.ts";
import { unreachable } from "../ports/fault.ts";
import type { EpochMs, Ms } from "../ports/time.ts";
import { DECISIONS_MAX, type Dispatch, isTerminal, type Job, type Phase, type WakeName } from "./job.ts";
import type { JobEvent, Report } from "./job-event.ts";
import { dispatchOf, end, move, stay, stopWorker, type Transition, update, without } from "./job-moves.ts";
import { answers, lookAtStop, noteAnswer, noteStray, noteUnsent } from "./stop-order.ts";

/** Why a job waits that came when its tenant had submitted as many as it may. */
export const SUBMIT_RATE = "submit_rate";

/** Limits of a job's life, in milliseconds. */
export interface JobLimits {
  /** A dispatch that the process which published it has not vouched for by then is delivered again. */
  readonly doorbellMs: Ms;
  readonly approvalTtlMs: Ms;
  /** How long a job may wait for a worker. */
  readonly backlogMaxMs: Ms;
  /** How long the worker of a job that was ended under its hands has to say what became of it; at least STOP_AGAIN_MS. */
  readonly stopGraceMs: Ms;
  /** How often an open job is looked after: its context is kept alive, and it is listed anew before its index entries would expire. */
  readonly upkeepMs: Ms;
  readonly relistMs: Ms;
}

export function transition(job: Job, event: JobEvent, now: EpochMs, limits: JobLimits): Transition {
  if (isTerminal(job)) return afterItsEnd(job, event, now, limits);
  switch (event.kind) {
    case "decided":
      return onDecided(job, event.decided, now, limits);
    case "policy_unavailable":
      return job.phase.state === "PENDING" || job.phase.state === "SCHEDULED"
        ? wait(job, event.retryAfterMs, now)
        : stay(job);
    case "placed":
      return onPlaced(job, event, now, limits);
    case "unplaced":
      return onUnplaced(job, event, now, limits);
    case "handed_over":
      return onHandedOver(job, event.ringAgainMs, now);
    case "held_back":
      if (job.phase.state !== "SCHEDULED") return stay(job);
      return move(
        job,
        { state: "SCHEDULED", waiting: event.limit.waiting, pools: [], limit: event.limit.id },
        { place: now + event.retryAfterMs, waited_too_long: waitEndsAt(job, now, limits) },
        now,
        event.limit.waiting,
      );
    case "paced":
      if (job.phase.state !== "PENDING") return stay(job);
      return move(job, { state: "PENDING", waiting: "throttled" }, { decide: event.until }, now, SUBMIT_RATE);
    case "unroutable":
    case "refused":
      return onHopeless(job, event, now);
    case "undelivered":
      return onUndelivered(job, event, now, limits);
    case "heard":
      return onHeard(job, event.dispatchId, now);
    case "rung_again":
      return onRungAgain(job, event.dispatchId, now, limits);
    case "progressed":
      return onProgressed(job, event, now);
    case "reported":
      return onReported(job, event, now, limits);
    case "worker_lost":
      return onWorkerLost(job, event, now);
    case "worker_alive":
      return "dispatch" in job.phase
        ? update(job, job.phase, { ...job.wakes, worker: nextLookAtWorker(job.phase.dispatch, now) }, now)
        : stay(job);
    case "cancelled":
      return end(job, "CANCELLED", now, { code: "cancelled", message: event.reason, by: event.by });
    case "approved":
      return onApproved(job, event.answer, now);
    case "rejected":
      if (job.phase.state !== "APPROVAL_REQUIRED") return stay(job);
      return end({ ...job, approval: event.answer }, "DENIED", now, {
        code: "approval_rejected",
        message: event.answer.reason === "" ? "approval rejected" : event.answer.reason,
        by: event.answer.by,
      });
    case "asked_again":
      return job.phase.state === "APPROVAL_REQUIRED" ? onDecided(job, event.decided, now, limits) : stay(job);
    case "stop_unsent":
    case "stop_answered":
      return stay(job);
    case "strayed":
      return { next: noteStray(job, event.stray), effects: [] };
    case "woke":
      return onWoke(job, now, limits);
    default:
      return unreachable(event);
  }
}

/** What is noted beside a job that has ended, see stop-order.ts. */
function afterItsEnd(job: Job, event: JobEvent, now: EpochMs, limits: JobLimits): Transition {
  switch (event.kind) {
    case "stop_unsent":
      return { next: noteUnsent(job, now), effects: [] };
    case "stop_answered":
      return { next: noteAnswer(job, event.workerId, event.reported, now), effects: [] };
    case "strayed":
      return { next: noteStray(job, event.stray), effects: [] };
    case "woke": {
      if (!isDue(job, "stop", now) || !("outcome" in job.phase)) return stay(job);
      const { next, isToRepeat } = lookAtStop(job, now, limits.stopGraceMs);
      return { next, effects: isToRepeat ? [stopWorker(job.phase.outcome)] : [] };
    }
    default:
      return stay(job);
  }
}

/** It can never run: it was made so, or no configuration has a place for it. */
function onHopeless(job: Job, event: JobEvent & { kind: "unroutable" | "refused" }, now: EpochMs): Transition {
  const where = event.kind === "refused" ? "PENDING" : "SCHEDULED";
  if (job.phase.state !== where) return stay(job);
  return end(job, "FAILED", now, { code: event.code, message: event.message, by: "scheduler" });
}

/** Is this wake due? */
export function isDue(job: Job, name: WakeName, now: EpochMs): boolean {
  const at = job.wakes[name];
  return at !== undefined && at <= now;
}

function onDecided(job: Job, decided: DecisionRecord, now: EpochMs, limits: JobLimits): Transition {
  if (job.phase.state === "DISPATCHED" || job.phase.state === "RUNNING") return stay(job);
  const { decision } = decided;
  const judged: Job = { ...job, decisions: withDecision(job.decisions, decided) };
  switch (decision.kind) {
    case "allow":
    case "allow_with_constraints":
      return begin(judged, now);
    case "throttle":
      return move(
        judged,
        { state: "PENDING", waiting: "throttled" },
        { decide: now + decision.retryAfterMs },
        now,
        "throttled",
      );
    case "require_approval":
      if (holdsApproval(judged, decided)) return begin(judged, now);
      return move(
        judged,
        {
          state: "APPROVAL_REQUIRED",
          ask: {
            at: now,
            jobHash: decided.jobHash,
            ruleId: decision.ruleId,
            ruleHash: decision.ruleHash,
            snapshot: decision.snapshot,
            reason: decision.reason,
          },
        },
        { approval: now + limits.approvalTtlMs },
        now,
        decision.ruleId,
      );
    case "deny":
      return end(judged, "DENIED", now, { code: "safety_denied", message: decision.reason, by: "policy" });
    default:
      return unreachable(decision);
  }
}

/** The same answer again takes the place of the last one: a throttled job does not fill its record. */
function withDecision(decisions: readonly DecisionRecord[], decided: DecisionRecord): readonly DecisionRecord[] {
  const last = decisions.at(-1);
  const isSame =
    last?.jobHash === decided.jobHash &&
    last.decision.kind === decided.decision.kind &&
    last.decision.snapshot === decided.decision.snapshot &&
    last.decision.ruleHash === decided.decision.ruleHash;
  return [...(isSame ? decisions.slice(0, -1) : decisions), decided].slice(-DECISIONS_MAX);
}

/** A person's yes to this request and this rule: it stays valid whatever else in the policy changes. */
export function holdsApproval(job: Job, decided: DecisionRecord): boolean {
  const { approval } = job;
  return (
    approval?.answer === "approved" &&
    approval.jobHash === decided.jobHash &&
    approval.ruleHash === decided.decision.ruleHash
  );
}

function wait(job: Job, retryAfterMs: Ms, now: EpochMs): Transition {
  return move(
    job,
    { state: "PENDING", waiting: "policy_unavailable" },
    { decide: now + retryAfterMs },
    now,
    "policy_unavailable",
  );
}

/** It may run: at once, or when its time has come. */
function begin(job: Job, now: EpochMs): Transition {
  const { notBefore = now } = job;
  return notBefore > now ? schedule(job, "not_before", notBefore, now) : schedule(job, "placing", now, now);
}

function schedule(
  job: Job,
  waiting: "placing" | "retry_backoff" | "no_listener" | "not_before",
  placeAt: EpochMs,
  now: EpochMs,
): Transition {
  return move(job, { state: "SCHEDULED", waiting, pools: [] }, { place: placeAt }, now, waiting);
}

/** The wake that was due becomes one for the case that nobody hears the ring. A job that is to be placed keeps its wake: it is due. */
function onHandedOver(job: Job, ringAgainMs: Ms, now: EpochMs): Transition {
  if (job.phase.state !== "PENDING") return stay(job);
  return { next: { ...job, wakes: { ...job.wakes, decide: now + ringAgainMs } }, effects: [{ kind: "ring" }] };
}

function onPlaced(job: Job, event: JobEvent & { kind: "placed" }, now: EpochMs, limits: JobLimits): Transition {
  if (job.phase.state !== "SCHEDULED") return stay(job);
  const { dispatch } = event;
  const placed: Job = { ...job, attempts: job.attempts + 1, attemptsMax: event.attemptsMax };
  const wakes = { doorbell: now + limits.doorbellMs, timeout: now + event.timeoutMs };
  const { next } = move(placed, { state: "DISPATCHED", dispatch, percent: 0 }, wakes, now, dispatch.workerId);
  return { next, effects: [{ kind: "deliver", dispatch }] };
}

function onUnplaced(job: Job, event: JobEvent & { kind: "unplaced" }, now: EpochMs, limits: JobLimits): Transition {
  if (job.phase.state !== "SCHEDULED") return stay(job);
  const { waiting, pools } = event;
  const endsAt = waitEndsAt(job, now, limits);
  const waitedMs = now - (endsAt - limits.backlogMaxMs);
  const lookAgainMs = Math.min(LOOK_AGAIN_MS.max, Math.max(LOOK_AGAIN_MS.min, waitedMs));
  const wakes = { waited_too_long: endsAt, place: now + lookAgainMs };
  const phase: Phase = { state: "SCHEDULED", waiting, pools };
  const isWaitingAlready = job.phase.pools.length > 0;
  return isWaitingAlready ? update(job, phase, { ...job.wakes, ...wakes }, now) : move(job, phase, wakes, now, waiting);
}

/** Free slots pull waiting jobs; these looks are for jobs that nobody pulls, since routing has changed while no process ran. */
const LOOK_AGAIN_MS = { min: 60_000, max: 3_600_000 } as const;

/** A wait for a worker goes on, whatever it waits for, until a worker has begun. */
function waitEndsAt(job: Job, now: EpochMs, limits: JobLimits): EpochMs {
  return job.wakes.waited_too_long ?? now + limits.backlogMaxMs;
}

function onUndelivered(
  job: Job,
  event: JobEvent & { kind: "undelivered" },
  now: EpochMs,
  limits: JobLimits,
): Transition {
  const dispatch = dispatchOf(job, event.dispatchId);
  // Who says that it was heard knows better than who heard nothing: a look may have brought it to its worker (jobs/out-with-worker.ts).
  if (dispatch === undefined || dispatch.heard || job.phase.state === "RUNNING") return stay(job);
  if (event.maybeBefore || event.doorbell !== job.wakes.doorbell) return lose(job, dispatch, event.retryAfterMs, now);
  return schedule(unbegun(job, now, limits), "no_listener", now, now);
}

function onRungAgain(job: Job, dispatchId: string, now: EpochMs, limits: JobLimits): Transition {
  const dispatch = dispatchOf(job, dispatchId);
  if (dispatch === undefined || dispatch.heard || job.phase.state !== "DISPATCHED") return stay(job);
  return { next: { ...job, wakes: { ...job.wakes, doorbell: now + limits.doorbellMs } }, effects: [] };
}

function onHeard(job: Job, dispatchId: string, now: EpochMs): Transition {
  const dispatch = dispatchOf(job, dispatchId);
  if (dispatch === undefined || dispatch.heard || job.phase.state !== "DISPATCHED") return stay(job);
  const wakes = { ...without(job.wakes, "doorbell"), worker: nextLookAtWorker(dispatch, now) };
  return update(job, { ...job.phase, dispatch: { ...dispatch, heard: true } }, wakes, now);
}

function onProgressed(job: Job, event: JobEvent & { kind: "progressed" }, now: EpochMs): Transition {
  const { phase } = job;
  if (phase.state !== "DISPATCHED" && phase.state !== "RUNNING") return stay(job);
  if (!answers(phase.dispatch, event)) return stay(job);
  const percent = Math.max(phase.percent, event.percent);
  const message = event.message === "" ? (phase.progress?.message ?? "") : event.message;
  const isNews = percent !== phase.percent || message !== (phase.progress?.message ?? "");
  const progress = isNews ? { progress: { message, at: event.at } } : {};
  if (phase.state === "RUNNING")
    return isNews ? update(job, { ...phase, percent, ...progress }, job.wakes, now) : stay(job);
  // On a topic another worker than the one that was guessed may have taken it.
  const isOther = event.workerId !== "" && event.workerId !== phase.dispatch.workerId;
  const claimer = isOther ? { workerId: event.workerId, instance: event.instance } : {};
  const dispatch = { ...phase.dispatch, ...claimer, heard: true };
  const wakes = { ...without(job.wakes, "doorbell"), worker: nextLookAtWorker(dispatch, now) };
  return move(job, { state: "RUNNING", dispatch, percent, ...progress }, wakes, now, dispatch.workerId);
}

function onReported(job: Job, event: JobEvent & { kind: "reported" }, now: EpochMs, limits: JobLimits): Transition {
  const { report, retryAfterMs } = event;
  if (!acceptsReport(job, report)) return stay(job);
  if (report.ends === "retry" && job.attempts < job.attemptsMax) return tryAgain(job, retryAfterMs, now);
  if (report.ends === "returned") return schedule(unbegun(job, now, limits), "retry_backoff", now + retryAfterMs, now);
  const state = report.ends === "retry" ? "FAILED" : report.ends;
  return end(job, state, now, { ...report, by: "worker" });
}

/** May this report end the job? Late ones of an earlier attempt may, if the job has been out before and nobody else has it now. */
export function acceptsReport(job: Job, report: Report): boolean {
  const { phase } = job;
  if (phase.state === "SCHEDULED") return job.attempts > 0 && report.ends !== "retry" && report.ends !== "returned";
  return (phase.state === "DISPATCHED" || phase.state === "RUNNING") && answers(phase.dispatch, report);
}

function onWorkerLost(job: Job, event: JobEvent & { kind: "worker_lost" }, now: EpochMs): Transition {
  const { phase } = job;
  if (phase.state !== "DISPATCHED" && phase.state !== "RUNNING") return stay(job);
  if (phase.dispatch.workerId !== event.workerId || !isLost(job, event.instanceNow)) return stay(job);
  return lose(job, phase.dispatch, event.retryAfterMs, now);
}

/** Is the job lost when its worker is now `instanceNow` (undefined: gone)? Not when it was sent to its topic and nobody claimed it: then the
 *  worker in the record is a guess, and whoever has the job may be well. */
export function isLost(job: Job, instanceNow: string | undefined): boolean {
  const { phase } = job;
  if (phase.state !== "DISPATCHED" && phase.state !== "RUNNING") return false;
  const isGuess = !phase.dispatch.direct && phase.state === "DISPATCHED";
  if (isGuess) return false;
  const { instance } = phase.dispatch;
  return instanceNow === undefined || (instance !== null && instance !== instanceNow);
}

const WORKER_LOOK_MS = { min: 60_000, max: 600_000 } as const;

/** A loss is noticed by the silence of the worker; these looks are for losses that nobody was there to notice. */
function nextLookAtWorker(dispatch: Dispatch, now: EpochMs): EpochMs {
  return now + Math.min(WORKER_LOOK_MS.max, Math.max(WORKER_LOOK_MS.min, now - dispatch.at));
}

/** Nobody has begun it: no attempt is lost, and its wait for a worker goes on. */
function unbegun(job: Job, now: EpochMs, limits: JobLimits): Job {
  return {
    ...job,
    attempts: job.attempts - 1,
    wakes: { ...job.wakes, waited_too_long: waitEndsAt(job, now, limits) },
  };
}

/** Another attempt waits anew. */
function tryAgain(job: Job, retryAfterMs: Ms, now: EpochMs): Transition {
  const begun = { ...job, wakes: without(job.wakes, "waited_too_long") };
  return schedule(begun, "retry_backoff", now + retryAfterMs, now);
}

function lose(job: Job, dispatch: Dispatch, retryAfterMs: Ms, now: EpochMs): Transition {
  if (job.attempts < job.attemptsMax) return tryAgain(job, retryAfterMs, now);
  const message = `worker ${dispatch.workerId} was lost; attempt ${job.attempts} of ${job.attemptsMax}`;
  return end(job, "TIMEOUT", now, { code: "worker_lost", message, workerId: dispatch.workerId, by: "scheduler" });
}

function onApproved(job: Job, answer: NonNullable<Job["approval"]>, now: EpochMs): Transition {
  if (job.phase.state !== "APPROVAL_REQUIRED") return stay(job);
  return begin({ ...job, approval: answer }, now);
}

function onWoke(job: Job, now: EpochMs, limits: JobLimits): Transition {
  const by = "scheduler";
  if (isDue(job, "deadline", now))
    return end(job, "TIMEOUT", now, { code: "deadline_exceeded", message: "the job's deadline has passed", by });
  if (isDue(job, "timeout", now))
    return end(job, "TIMEOUT", now, { code: "running_timeout", message: "no result within the time allowed", by });
  if (isDue(job, "approval", now))
    return end(job, "TIMEOUT", now, { code: "approval_expired", message: "nobody answered the approval", by });
  if (isDue(job, "waited_too_long", now) && job.phase.state === "SCHEDULED") {
    return end(job, "FAILED", now, {
      code: job.phase.waiting,
      message: `waited too long for a worker${job.phase.pools.length > 0 ? ` of ${job.phase.pools.join(", ")}` : ""}`,
      by,
    });
  }
  if (isDue(job, "waited_too_long", now)) {
    // It is out. Should it come back unbegun, it ends a little later.
    const endsAt = now + Math.min(limits.backlogMaxMs, LOOK_AGAIN_MS.max);
    return update(job, job.phase, { ...job.wakes, waited_too_long: endsAt }, now);
  }
  if (isDue(job, "upkeep", now)) {
    const wakes = { ...job.wakes, upkeep: now + limits.upkeepMs };
    const isOld = now - Math.min(job.listedAt, job.updatedAt) > limits.relistMs;
    return { next: isOld ? { ...job, wakes, listedAt: now, updatedAt: now } : { ...job, wakes }, effects: [] };
  }
  return stay(job);
}
