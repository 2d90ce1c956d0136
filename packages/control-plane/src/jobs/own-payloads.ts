// Which payloads are a job's own.
// Owns:          the rule. A pointer is a worker's or client's word: only the job's own keys are read for it, so nobody reads what is
//                another's. Ids may hold dots: a key that merely begins with the job's may belong to another job.
// Must not know: payload stores.

import { contextKey, type JobRequest, parsePointer, resultKey } from "@cordum/protocol";
import type { Job } from "./job.ts";
import { contextKeyFor } from "./job-request.ts";

/** Where the job's own context lies; undefined when it has none, or points at what is not its own. */
export function ownContextKey(
  job: Pick<Job, "id" | "bodyHash">,
  request: Pick<JobRequest, "contextPtr">,
): string | undefined {
  return ownKey(request.contextPtr, [contextKey(job.id), contextKeyFor(job.id, job.bodyHash)]);
}

export function ownResultKey(jobId: string, pointer: string): string | undefined {
  return ownKey(pointer, [resultKey(jobId)]);
}

function ownKey(pointer: string, own: readonly string[]): string | undefined {
  const parsed = parsePointer(pointer);
  if (parsed.kind !== "key") return undefined;
  const key = parsed.fallbackKey ?? parsed.key;
  return own.includes(key) ? key : undefined;
}
