// Reading one job with its bodies.
// Owns:          that a job is read only by its own tenant, and which payloads belong to it.
// Must not know: how a job is shown.

import { contextKey, type JobRequest, parsePointer, resultKey } from "@cordum/protocol";
import { Fault } from "../ports/fault.ts";
import type { Job } from "./job.ts";
import type { JobParts } from "./job-parts.ts";
import { contextKeyFor, requestOf } from "./job-request.ts";

export interface JobWithBodies {
  readonly job: Job;
  readonly request: JobRequest;
  /** Parsed JSON; null when it is missing, expired or no JSON. */
  readonly context: unknown;
  readonly result: unknown;
}

/** Fault JOB_NOT_FOUND, for foreign jobs too. */
export async function loadOwnJob(jobId: string, tenant: string, parts: JobParts, signal: AbortSignal): Promise<Job> {
  const seen = await parts.jobs.load(jobId, parts.clock.deadline(signal, parts.settings.storeTimeoutMs));
  if (seen === undefined || seen.record.tenant !== tenant) throw new Fault("JOB_NOT_FOUND", "job not found");
  return seen.record;
}

export async function readJob(
  jobId: string,
  tenant: string,
  parts: JobParts,
  signal: AbortSignal,
): Promise<JobWithBodies> {
  const job = await loadOwnJob(jobId, tenant, parts, signal);
  const { phase } = job;
  const request = requestOf(job);
  const [context, result] = await Promise.all([
    loadJson(ownContextKey(job, request), parts, signal),
    loadJson("outcome" in phase ? ownKey(phase.outcome.resultPtr, [resultKey(jobId)]) : undefined, parts, signal),
  ]);
  return { job, request, context, result };
}

/** Where the job's own context lies; undefined when it has none, or points at what is not its own. */
export function ownContextKey(job: Job, request: JobRequest): string | undefined {
  return ownKey(request.contextPtr, [contextKey(job.id), contextKeyFor(job.id, job.bodyHash)]);
}

/** A pointer is a worker's or client's word: only the job's own keys are read for it, so nobody reads what is another's. Ids may hold dots:
 *  a key that merely begins with the job's may belong to another job. */
function ownKey(pointer: string, own: readonly string[]): string | undefined {
  const parsed = parsePointer(pointer);
  if (parsed.kind !== "key") return undefined;
  const key = parsed.fallbackKey ?? parsed.key;
  return own.includes(key) ? key : undefined;
}

async function loadJson(key: string | undefined, parts: JobParts, signal: AbortSignal): Promise<unknown> {
  if (key === undefined) return null;
  const bytes = await parts.payloads.get(key, parts.clock.deadline(signal, parts.settings.storeTimeoutMs));
  if (bytes === undefined) return null;
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch {
    return null;
  }
}
