// Submitting many jobs at once, each by itself.
// Owns:          that one job's fault is nobody else's, and how many are under way at once.
// Must not know: HTTP; what a submit does.
// M1. As many answers as jobs, in their order. M2. All that are under way begin in one turn, so that State takes them together (S8).

import { Fault } from "../ports/fault.ts";
import type { JobParts } from "./job-parts.ts";
import { type Submitted, submitJob } from "./submit.ts";
import type { SubmitCommand } from "./submit-command.ts";

export const BATCH_JOBS_MAX = 1_000;
/** What State takes in one call. */
const UNDER_WAY_MAX = 128;

/** A fault among `commands` is a job that could not be read; it is its own answer. Throws nothing but programmer errors. */
export async function submitBatch(
  commands: readonly (SubmitCommand | Fault)[],
  parts: JobParts,
  signal: AbortSignal,
): Promise<readonly (Submitted | Fault)[]> {
  const answers: (Submitted | Fault)[] = [];
  const rest = commands.entries();
  const lane = async (): Promise<void> => {
    for (const [at, command] of rest) {
      answers[at] = command instanceof Fault ? command : await submitOne(command, parts, signal);
    }
  };
  await Promise.all(Array.from({ length: Math.min(UNDER_WAY_MAX, commands.length) }, lane));
  return answers;
}

async function submitOne(command: SubmitCommand, parts: JobParts, signal: AbortSignal): Promise<Submitted | Fault> {
  try {
    return await submitJob(command, parts, signal, parts.settings.longPatienceMs);
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
}
