// Reading one job with its bodies.
// Owns:          that a job is read only by its own tenant, with the payloads that are its own.
// Must not know: how a job is shown.

import type { JobRequest } from "@cordum/protocol";
import { Fault } from "../ports/fault.ts";
import type { Job } from "./job.ts";
import type { JobParts } from "./job-parts.ts";
import { requestOf } from "./job-request.ts";
import { ownContextKey, ownResultKey } from "./own-payloads.ts";

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
    loadJson("outcome" in phase ? ownResultKey(jobId, phase.outcome.resultPtr) : undefined, parts, signal),
  ]);
  return { job, request, context, result };
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
