// Submitting the job of a dead letter once more.
// Owns:          the request of the new job, its id, and the order of the steps.
// Must not know: HTTP; how dead letters are stored.
// T1. The new id is derived from the dead letter: a repeat, or two at once, make one job. T2. First the job is created, then the dead letter
//     is marked; after a crash in between the next call finds the job and marks. T3. All that policy and placement looked at is carried over;
//     approvals are not, so the job is judged like any submit. T4. Without its context a job would be another one: it is refused.

import { contextKey, encodeJobRequest, type JobRequest, pointerTo } from "@cordum/protocol";
import type { Actor } from "../audit/audit-entry.ts";
import type { DeadLetter } from "../dead-letters/dead-letter.ts";
import { loadDeadLetter, markRetried } from "../dead-letters/resolve.ts";
import { Fault } from "../ports/fault.ts";
import { derivedUuid } from "./ids.ts";
import type { Job } from "./job.ts";
import type { DeedOf } from "./job-audit.ts";
import type { JobParts } from "./job-parts.ts";
import { REQUEST_BYTES_MAX, RESERVED_ENV, RESERVED_LABELS, requestOf, withoutKeys } from "./job-request.ts";
import { ownContextKey } from "./read-job.ts";
import { createJob } from "./submit.ts";

export interface Retrier {
  readonly tenant: string;
  readonly actor: Actor;
}

export interface Retried {
  readonly jobId: string;
  /** Undefined for a repeat. */
  readonly traceId?: string;
}

/** Faults: DEAD_LETTER_NOT_FOUND, JOB_NOT_RETRYABLE, PAYLOAD_TOO_LARGE, JOB_CONTENDED, STATE_*, PAYLOADS_UNAVAILABLE. */
export async function retryDeadLetter(
  jobId: string,
  { tenant, actor }: Retrier,
  parts: JobParts,
  signal: AbortSignal,
): Promise<Retried> {
  const within = () => parts.clock.deadline(signal, parts.settings.storeTimeoutMs);
  const seen = await loadDeadLetter(jobId, tenant, parts.state, within());
  if (seen.letter.retriedAs !== undefined) return { jobId: seen.letter.retriedAs };
  const newId = retryIdOf(seen.letter);
  const before = await parts.jobs.load(newId, within());
  const deedOf: DeedOf = () => ({
    actor,
    action: "dlq.retry",
    reason: "",
    of: { kind: "dead_letter", id: jobId },
    facts: { code: seen.letter.code, retriedAs: newId },
  });
  const made =
    before?.record ?? (await repeatJob(await originalOf(seen.letter, parts, within()), newId, { parts, deedOf }, signal));
  if (made.tenant !== tenant || requestOf(made).parentJobId !== jobId)
    throw new Fault("JOB_NOT_RETRYABLE", "another job has the id that the retry would have");
  await markRetried(seen, newId, parts, within());
  parts.log.info("job.retried", { jobId, tenant, by: actor.principal, retriedAs: newId });
  return { jobId: newId, traceId: made.traceId };
}

function retryIdOf({ jobId, createdAt }: DeadLetter): string {
  return derivedUuid("retry", jobId, String(createdAt));
}

async function originalOf(letter: DeadLetter, parts: JobParts, signal: AbortSignal): Promise<Job> {
  const original = await parts.jobs.load(letter.jobId, signal);
  if (original === undefined || original.record.tenant !== letter.tenant)
    throw new Fault("JOB_NOT_RETRYABLE", "the job's record is no longer kept");
  return original.record;
}

/** The new job, or the one that has its id already. */
async function repeatJob(
  original: Job,
  newId: string,
  { parts, deedOf }: { readonly parts: JobParts; readonly deedOf: DeedOf },
  signal: AbortSignal,
): Promise<Job> {
  const old = requestOf(original);
  const from = ownContextKey(original, old);
  const request = requestOfRetry(old, original.id, newId, from === undefined ? old.contextPtr : undefined);
  const encoded = encodeJobRequest(request);
  if (encoded.byteLength > REQUEST_BYTES_MAX)
    throw new Fault(
      "PAYLOAD_TOO_LARGE",
      `with the labels of a retry the request takes more than ${REQUEST_BYTES_MAX} bytes`,
    );
  if (from !== undefined) await copyContext(from, contextKey(newId), parts, signal);
  const deadlineMs = Math.max(0, Number(old.budget?.deadlineMs ?? 0));
  const { tenant, topic, traceId, team, principal, priority } = original;
  const draft = {
    ...{ jobId: newId, tenant, topic, traceId, team, principal, priority, request, encoded },
    bodyHash: "",
    deadlineMs: Number.isSafeInteger(deadlineMs) ? deadlineMs : 0,
  };
  const created = await createJob(draft, parts, signal, deedOf);
  return created.kind === "created" ? created.job : created.seen.record;
}

/** `foreignPtr`: a context that is not the job's own is pointed at as before. */
function requestOfRetry(old: JobRequest, oldId: string, newId: string, foreignPtr: string | undefined): JobRequest {
  const ofRetry = { retry: "true", dlq_entry: oldId, retry_of_job: oldId };
  const marked = (labels: JobRequest["labels"]) => Object.assign(withoutKeys(labels, RESERVED_LABELS), ofRetry);
  const { meta } = old;
  return {
    ...old,
    jobId: newId,
    parentJobId: oldId,
    contextPtr: foreignPtr ?? pointerTo(contextKey(newId)),
    env: withoutKeys(old.env, RESERVED_ENV),
    labels: marked(old.labels),
    meta: meta === undefined ? undefined : { ...meta, idempotencyKey: "", labels: marked(meta.labels) },
  };
}

async function copyContext(from: string, to: string, parts: JobParts, signal: AbortSignal): Promise<void> {
  const within = () => parts.clock.deadline(signal, parts.settings.storeTimeoutMs);
  const bytes = await parts.payloads.get(from, within());
  if (bytes === undefined) throw new Fault("JOB_NOT_RETRYABLE", "the job's context is no longer kept");
  await parts.payloads.put(to, bytes, parts.settings.contextKeepMs, within());
}
