// What a job's record says about how it came to be as it is.
// Owns:          that steps, decisions and answers of people explain the state; that a delay is kept.
// Must not know: the store, the bus.
// G14. No job is given to a worker before its time. G16. The event log explains the state: steps are only added, the last one is the state
//      that the record has, each follows from the one before; who cancelled or answered is in the audit. An answer of a person is written
//      upon a question, once.

import { type Job, type JobState, STEPS_MAX } from "../../jobs/job.ts";

/** By state: what may come next. A step may be left out where a commit passed several states at once. */
const NEXT: { readonly [state in JobState]?: readonly JobState[] } = {
  PENDING: ["PENDING", "APPROVAL_REQUIRED", "SCHEDULED", "DENIED", "CANCELLED", "TIMEOUT", "FAILED"],
  APPROVAL_REQUIRED: ["APPROVAL_REQUIRED", "PENDING", "SCHEDULED", "DENIED", "CANCELLED", "TIMEOUT"],
  SCHEDULED: [
    ...(["SCHEDULED", "PENDING", "APPROVAL_REQUIRED", "DISPATCHED", "DENIED", "CANCELLED", "TIMEOUT"] as const),
    ...(["FAILED", "SUCCEEDED"] as const),
  ],
  DISPATCHED: ["RUNNING", "SCHEDULED", "SUCCEEDED", "FAILED", "CANCELLED", "TIMEOUT", "DENIED"],
  RUNNING: ["SCHEDULED", "SUCCEEDED", "FAILED", "CANCELLED", "TIMEOUT", "DENIED"],
};

/** Says what the record does not explain. */
export function unexplained(before: Job | undefined, job: Job): string | undefined {
  const { steps, phase } = job;
  const last = steps.at(-1);
  if (last?.state !== phase.state) return `G16: ${job.id} is ${phase.state}, its last step is ${last?.state}`;
  for (const [at, step] of steps.entries()) {
    const from = steps[at - 1];
    if (from !== undefined && NEXT[from.state]?.includes(step.state) !== true)
      return `G16: ${job.id} went from ${from.state} to ${step.state}`;
  }
  if (before === undefined)
    return steps[0]?.why === "accepted" ? undefined : `G16: ${job.id} begins with ${steps[0]?.why}`;
  return stepsAreKept(before, job) ?? answerIsToAQuestion(before, job);
}

/** A record that is full has dropped its oldest. */
function stepsAreKept(before: Job, { id, steps }: Job): string | undefined {
  if (steps.length < before.steps.length) return `G16: steps of ${id} are gone`;
  if (before.steps.length === STEPS_MAX) return undefined;
  for (const [at, step] of before.steps.entries()) {
    const kept = steps[at];
    if (kept?.state !== step.state || kept.why !== step.why || kept.at !== step.at)
      return `G16: step ${at} of ${id} was ${step.state} ${step.why} and is ${kept?.state} ${kept?.why}`;
  }
  return undefined;
}

function answerIsToAQuestion(before: Job, { id, approval, hash }: Job): string | undefined {
  if (approval === undefined || JSON.stringify(approval) === JSON.stringify(before.approval)) return undefined;
  if (before.phase.state !== "APPROVAL_REQUIRED")
    return `G16: ${id} was ${before.phase.state} and is ${approval.answer}`;
  const { ask } = before.phase;
  if (approval.jobHash !== hash || approval.ruleHash !== ask.ruleHash)
    return `G16: ${id} is ${approval.answer} for another request or rule than was asked about`;
  return undefined;
}
