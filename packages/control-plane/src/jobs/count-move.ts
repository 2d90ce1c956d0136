// What the meter learns from a committed change of a job.
// Owns:          which metrics follow from a job's record before and after.
// Must not know: why the change happened; how metrics are shown.

import type { Meter } from "../ports/telemetry.ts";
import { isTerminal, type Job } from "./job.ts";
import { isDeadLetter } from "./job-moves.ts";

/** Precondition: `before` had not ended. */
export function countMove(before: Job, next: Job, meter: Meter): void {
  const { phase, topic } = next;
  const isSame = "dispatch" in before.phase && "dispatch" in phase && before.phase.dispatch.id === phase.dispatch.id;
  if ("dispatch" in phase && !isSame) countDispatch(next, phase, meter);
  if (before.phase.state === "APPROVAL_REQUIRED" && phase.state !== "APPROVAL_REQUIRED")
    countAnswer(before, before.phase.ask.at, next, meter);
  if (phase.state === "PENDING" && phase.waiting === "policy_unavailable")
    meter.count("cordum_scheduler_safety_unavailable_total");
  if (!isTerminal(next)) return;
  const status = `JOB_STATUS_${phase.state}`;
  meter.count("cordum_scheduler_jobs_completed_total", { topic, status });
  meter.observe("cordum_scheduler_job_duration_seconds", (next.updatedAt - next.acceptedAt) / 1000, { status });
  if (phase.state === "DENIED") meter.count("cordum_scheduler_safety_denied_total", { topic });
  if (isDeadLetter(next)) meter.count("cordum_scheduler_dead_letters_total", { topic });
}

function countDispatch(next: Job, phase: Extract<Job["phase"], { readonly dispatch: unknown }>, meter: Meter): void {
  if (phase.state !== "DISPATCHED" || phase.dispatch.heard) return;
  if (next.attempts === 1)
    meter.observe("cordum_scheduler_dispatch_latency_seconds", (phase.dispatch.at - next.acceptedAt) / 1000);
  else meter.count("cordum_scheduler_job_retries_total", { topic: next.topic });
}

/** A job that left its question: a person answered it, its time was up, or somebody cancelled the job. */
function countAnswer(before: Job, askedAt: number, next: Job, meter: Meter): void {
  const { approval, phase } = next;
  if (approval !== undefined && approval !== before.approval) {
    meter.count("cordum_approval_decisions_total", { decision: approval.answer });
    meter.observe("cordum_approval_latency_seconds", (approval.at - askedAt) / 1000);
  } else if ("outcome" in phase && phase.outcome.code === "approval_expired")
    meter.count("cordum_approval_expired_total");
}
