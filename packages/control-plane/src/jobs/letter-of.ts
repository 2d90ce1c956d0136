// The dead letter of a job.
// Owns:          what of a job goes into its letter.
// Must not know: how letters are stored and listed.
// A letter outlives its job's record by weeks: it holds the request itself, so that a retry needs nothing else (but the context, see
// keep-for-retry.ts).

import type { NewDeadLetter } from "../dead-letters/dead-letter.ts";
import { signatureOf } from "../dead-letters/signature.ts";
import type { Job, JobOutcome } from "./job.ts";
import { requestOf } from "./job-request.ts";
import { ownContextKey } from "./own-payloads.ts";

export function letterOf(job: Job, outcome: JobOutcome): NewDeadLetter {
  const { tenant, topic, phase, traceId, team, principal, priority, request } = job;
  const { code, message, reported } = outcome;
  return {
    shape: 1,
    jobId: job.id,
    tenant,
    topic,
    status: reported === "" ? `JOB_STATUS_${phase.state}` : reported,
    code,
    reason: message,
    lastState: job.steps.at(-2)?.state ?? phase.state,
    attempts: job.attempts,
    createdAt: outcome.at,
    ...signatureOf({ code, topic, message }),
    origin: { request, traceId, team, principal, priority, contextKey: ownContextKey(job, requestOf(job)) ?? "" },
  };
}
