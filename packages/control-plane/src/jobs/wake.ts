// A job's alarm rang: do what is due.
// Owns:          which wake means what.
// Must not know: who takes alarms (alarms.ts), how often.

import { parsePointer } from "@cordum/protocol";
import { WORKER_TTL_MS } from "../scheduling/registry.ts";
import { changeSeen, followThrough } from "./change.ts";
import { retryDelayMs } from "./effects.ts";
import { isTerminal, type Job } from "./job.ts";
import type { JobEvent } from "./job-event.ts";
import type { JobParts } from "./job-parts.ts";
import { requestOf } from "./job-request.ts";
import type { SeenJob } from "./job-store.ts";
import { isDue, isLost } from "./transition.ts";

/** Safe to call at any time and as often as one likes. Faults: STATE_*, JOB_CONTENDED; the alarm then rings again. */
export async function wakeJob(jobId: string, parts: JobParts, signal: AbortSignal): Promise<void> {
  const seen = await parts.jobs.load(jobId, parts.clock.deadline(signal, parts.settings.storeTimeoutMs));
  if (seen === undefined) return;
  if (isTerminal(seen.record)) return lookAtItsStop(seen, parts, signal);
  if (isDue(seen.record, "upkeep", parts.clock.now()) && !isOver(seen.record, parts))
    await keepContext(seen.record, parts, signal);
  let event: JobEvent | "pull" | undefined;
  const decide = (job: Job): typeof event => {
    event = eventFor(job, parts);
    return event;
  };
  const changed = await changeSeen(seen, decide, parts, signal);
  if (changed?.moved && isRing(event)) await ringAgain(changed.job, parts, signal);
}

function isRing(event: JobEvent | "pull" | undefined): boolean {
  return typeof event === "object" && event.kind === "rung_again";
}

async function ringAgain(job: Job, parts: JobParts, signal: AbortSignal): Promise<void> {
  if (!("dispatch" in job.phase)) return;
  const { dispatch } = job.phase;
  const { id: dispatchId, workerId } = dispatch;
  parts.registry.adopt({ workerId, jobId: job.id, dispatchId }, parts.clock.now());
  parts.log.info("dispatch.rung_again", { jobId: job.id, workerId, attempt: job.attempts });
  const effects = [{ kind: "deliver", dispatch }] as const;
  await followThrough({ next: job, effects }, parts, signal, { maybeBefore: true });
}

/** Its worker has not said yet what became of a job that was ended under its hands. */
async function lookAtItsStop(seen: SeenJob, parts: JobParts, signal: AbortSignal): Promise<void> {
  const isAwaited = (job: Job): boolean => isDue(job, "stop", parts.clock.now());
  const changed = await changeSeen(seen, (job) => (isAwaited(job) ? { kind: "woke" } : undefined), parts, signal);
  const { stop: order, id } = changed?.job ?? {};
  if (changed?.moved !== true || order?.answer.kind !== "unknown") return;
  parts.meter.count("cordum_scheduler_job_stops_total", { outcome: "unknown" });
  parts.log.warn("job.stop_unanswered", { jobId: id, workerId: order.dispatch.workerId });
}

const ENDS = ["deadline", "timeout", "approval", "waited_too_long"] as const;

/** A time has come that ends the job. */
function isOver(job: Job, parts: JobParts): boolean {
  const now = parts.clock.now();
  return ENDS.some((name) => isDue(job, name, now));
}

/** A context lives as long as its job is unfinished. */
async function keepContext(job: Job, parts: JobParts, signal: AbortSignal): Promise<void> {
  const pointer = parsePointer(requestOf(job).contextPtr);
  if (pointer.kind !== "key" || pointer.family !== "context") return;
  await parts.payloads.keep(
    pointer.fallbackKey ?? pointer.key,
    parts.settings.contextKeepMs,
    parts.clock.deadline(signal, parts.settings.storeTimeoutMs),
  );
}

/** A worker that nobody hears of is lost, once this process has listened for long enough to say so. */
function lookAtWorker(job: Job, parts: JobParts): JobEvent | undefined {
  if (!("dispatch" in job.phase)) return undefined;
  const { workerId } = job.phase.dispatch;
  const now = parts.clock.now();
  const instanceNow = parts.registry.find(workerId, now)?.heartbeat.instance;
  const maySay = instanceNow !== undefined || parts.registry.hasListenedFor(WORKER_TTL_MS, now);
  if (!maySay || !isLost(job, instanceNow)) return { kind: "worker_alive", workerId };
  return { kind: "worker_lost", workerId, instanceNow, retryAfterMs: retryDelayMs(job.attempts, parts.clock.random()) };
}

function eventFor(job: Job, parts: JobParts): JobEvent | "pull" | undefined {
  const now = parts.clock.now();
  if (isOver(job, parts)) return { kind: "woke" };
  if (isDue(job, "place", now)) return "pull";
  if (isDue(job, "worker", now)) return lookAtWorker(job, parts);
  if (isDue(job, "decide", now) || isDue(job, "upkeep", now)) return { kind: "woke" };
  if (isDue(job, "doorbell", now) && "dispatch" in job.phase) {
    const { id } = job.phase.dispatch;
    return { kind: parts.outbound.vouchesFor(job.id, id) ? "heard" : "rung_again", dispatchId: id };
  }
  return undefined;
}
