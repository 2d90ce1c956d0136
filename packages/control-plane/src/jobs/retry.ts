// Submitting the job of a dead letter once more.
// Owns:          the request of the new job, its id, and the order of the steps.
// Must not know: HTTP; how dead letters are stored.
// T1. The new id is derived from the dead letter: a repeat, or two at once, make one job. T2. First the job is created, then the dead letter
//     is marked; after a crash in between the next call finds the job and marks. T3. All that policy and placement looked at is carried over
//     from the letter: it can be retried for as long as it is kept, whatever became of the job's record.

import type { Actor } from "../audit/audit-entry.ts";
import type { DeadLetter } from "../dead-letters/dead-letter.ts";
import { loadDeadLetter, markRetried } from "../dead-letters/resolve.ts";
import { Fault } from "../ports/fault.ts";
import { derivedUuid } from "./ids.ts";
import type { DeedOf } from "./job-audit.ts";
import type { JobParts } from "./job-parts.ts";
import { readRequest, requestOf } from "./job-request.ts";
import { type Repetition, repeatJob, requestOfRepeat } from "./repeat-job.ts";

export interface Retrier {
  readonly tenant: string;
  readonly actor: Actor;
  readonly reason?: string;
}

export interface Retried {
  readonly jobId: string;
  /** Undefined for a repeat. */
  readonly traceId?: string;
}

/** Faults: DEAD_LETTER_NOT_FOUND, JOB_NOT_RETRYABLE, PAYLOAD_TOO_LARGE, JOB_CONTENDED, STATE_*, PAYLOADS_UNAVAILABLE. */
export async function retryDeadLetter(
  jobId: string,
  { tenant, actor, reason = "" }: Retrier,
  parts: JobParts,
  signal: AbortSignal,
): Promise<Retried> {
  const within = () => parts.clock.deadline(signal, parts.settings.storeTimeoutMs);
  const seen = await loadDeadLetter(jobId, tenant, parts.state, within());
  if (seen.letter.retriedAs !== undefined) return { jobId: seen.letter.retriedAs };
  const newId = retryIdOf(seen.letter);
  const deedOf: DeedOf = () => ({
    ...{ actor, action: "dlq.retry", reason, of: { kind: "dead_letter", id: jobId } },
    facts: { code: seen.letter.code, retriedAs: newId },
  });
  const before = await parts.jobs.load(newId, within());
  const made = before?.record ?? (await repeatJob(repetitionOf(seen.letter), { parts, deedOf }, signal));
  if (made.tenant !== tenant || requestOf(made).parentJobId !== jobId)
    throw new Fault("JOB_NOT_RETRYABLE", "another job has the id that the retry would have");
  await markRetried(seen, newId, parts, within());
  parts.log.info("job.retried", { jobId, tenant, by: actor.principal, retriedAs: newId });
  return { jobId: newId, traceId: made.traceId };
}

/** The id of the job that a retry makes. */
export function retryIdOf({ jobId, createdAt }: Pick<DeadLetter, "jobId" | "createdAt">): string {
  return derivedUuid("retry", jobId, String(createdAt));
}

function repetitionOf(letter: DeadLetter): Repetition {
  const { jobId: oldId, tenant, origin } = letter;
  const newId = retryIdOf(letter);
  const marks = { retry: "true", dlq_entry: oldId, retry_of_job: oldId };
  const request = requestOfRepeat(
    readRequest(origin.request),
    { oldId, newId, ownsContext: origin.contextKey !== "" },
    (labels) => Object.assign(labels, marks),
  );
  return { newId, tenant, from: origin, request };
}
