// The context of a job that becomes a dead letter.
// Owns:          that it is kept for as long as the letter.
// Must not know: how letters are stored.
// It is kept before the commit that makes the letter, not after it: a crash in between keeps a context for longer than needed, instead of
// breaking what the letter promises.

import { messageOf } from "../ports/fault.ts";
import { isTerminal, type Job } from "./job.ts";
import { isDeadLetter } from "./job-moves.ts";
import type { JobParts } from "./job-parts.ts";
import { requestOf } from "./job-request.ts";
import { ownContextKey } from "./own-payloads.ts";

export function needsKeeping(before: Job, next: Job): boolean {
  return isDeadLetter(next) && !isTerminal(before);
}

/** A payload store that does not answer holds up nobody's end: then a late retry may find the context gone. */
export async function keepForRetry(next: Job, parts: JobParts, signal: AbortSignal): Promise<void> {
  const key = ownContextKey(next, requestOf(next));
  if (key === undefined) return;
  try {
    await parts.payloads.keep(key, parts.jobs.deadLetterKeepMs, signal);
  } catch (error) {
    parts.log.warn("context.not_kept", {
      jobId: next.id,
      reason: messageOf(error),
    });
  }
}
