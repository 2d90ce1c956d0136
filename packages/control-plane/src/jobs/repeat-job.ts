// A job that is made of another one.
// Owns:          the copy of the context, the request's limits, the draft of the new job.
// Must not know: why it is made (retry.ts, remediate.ts), how dead letters are stored.
// P1. The new job is judged like any submit: approvals, and what the control plane told the first worker, are not carried over. P2. Who asked
//     stays who asked: whoever has it repeated is in the audit. P3. Without its context a job would be another one: it is refused.

import { contextKey, encodeJobRequest, type JobRequest, pointerTo } from "@cordum/protocol";
import type { Origin } from "../dead-letters/dead-letter.ts";
import { Fault } from "../ports/fault.ts";
import type { Job } from "./job.ts";
import type { DeedOf } from "./job-audit.ts";
import type { JobParts } from "./job-parts.ts";
import { REQUEST_BYTES_MAX, RESERVED_ENV, RESERVED_LABELS, withoutKeys } from "./job-request.ts";
import { payloadFault } from "./job-schemas.ts";
import { createJob } from "./submit.ts";

export interface Repetition {
  readonly newId: string;
  readonly tenant: string;
  readonly from: Omit<Origin, "request">;
  /** As made by `requestOfRepeat`. */
  readonly request: JobRequest;
}

/** The new job, or the one that has its id already. Faults: JOB_NOT_RETRYABLE, PAYLOAD_TOO_LARGE, SCHEMA_*, JOB_CONTENDED, STATE_*,
 *  PAYLOADS_UNAVAILABLE. */
export async function repeatJob(
  { newId, tenant, from, request }: Repetition,
  { parts, deedOf }: { readonly parts: JobParts; readonly deedOf: DeedOf },
  signal: AbortSignal,
): Promise<Job> {
  const encoded = encodeJobRequest(request);
  if (encoded.byteLength > REQUEST_BYTES_MAX)
    throw new Fault("PAYLOAD_TOO_LARGE", `with its new labels the request takes more than ${REQUEST_BYTES_MAX} bytes`);
  // A context that is not the job's own is not read, so that no schema can ask questions about it.
  const context =
    from.contextKey === "" ? undefined : await copyContext(from.contextKey, contextKey(newId), parts, signal);
  const deadlineMs = Math.max(0, Number(request.budget?.deadlineMs ?? 0));
  const { traceId, team, principal, priority } = from;
  const draft = {
    ...{ jobId: newId, tenant, topic: request.topic, traceId, team, principal, priority, request, encoded },
    bodyHash: "",
    deadlineMs: Number.isSafeInteger(deadlineMs) ? deadlineMs : 0,
  };
  const fault = await payloadFault({ ...draft, load: async () => context }, parts, signal);
  if (fault !== undefined) throw fault;
  const created = await createJob(draft, parts, signal, deedOf);
  return created.kind === "created" ? created.job : created.seen.record;
}

/** A context that is not the job's own is pointed at as before. `labelsOf` is given what a client may set. */
export function requestOfRepeat(
  old: JobRequest,
  ids: { readonly oldId: string; readonly newId: string; readonly ownsContext: boolean },
  labelsOf: (labels: Record<string, string>) => Record<string, string>,
): JobRequest {
  const labels = (from: JobRequest["labels"]) => labelsOf(withoutKeys(from, RESERVED_LABELS));
  const { meta } = old;
  return {
    ...old,
    jobId: ids.newId,
    parentJobId: ids.oldId,
    contextPtr: ids.ownsContext ? pointerTo(contextKey(ids.newId)) : old.contextPtr,
    env: withoutKeys(old.env, RESERVED_ENV),
    labels: labels(old.labels),
    meta: meta === undefined ? undefined : { ...meta, idempotencyKey: "", labels: labels(meta.labels) },
  };
}

/** What was copied. */
async function copyContext(from: string, to: string, parts: JobParts, signal: AbortSignal): Promise<Uint8Array> {
  const within = () => parts.clock.deadline(signal, parts.settings.storeTimeoutMs);
  const bytes = await parts.payloads.get(from, within());
  if (bytes === undefined) throw new Fault("JOB_NOT_RETRYABLE", "the job's context is no longer kept");
  await parts.payloads.put(to, bytes, parts.settings.contextKeepMs, within());
  return bytes;
}
