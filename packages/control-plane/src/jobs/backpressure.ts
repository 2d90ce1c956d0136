// How many open jobs a tenant may have by its configuration.
// Owns:          refusing one more.
// Must not know: how limits are spelled (config/), HTTP.
// Q1. Counted by index, not reserved: jobs that are submitted at the same moment may go past the limit by as many. What runs at once is
//     limited exactly by policy (job-slots.ts); this keeps the line of those that wait from growing without an end.
// Q2. Where no limit is set, that costs a look at what is configured, and no wait.

import type { Effective } from "../config/effective.ts";
import { Fault } from "../ports/fault.ts";
import { countJobs } from "./count-jobs.ts";
import { subjectOf } from "./job-config.ts";
import type { JobParts } from "./job-parts.ts";
import type { PayloadOfJob } from "./job-schemas.ts";

type Submission = Pick<PayloadOfJob, "tenant" | "team" | "request">;

/** Undefined: there is room, as far as that is known without asking. Rejects with BACKPRESSURE, STATE_*. */
export function makeRoom(submission: Submission, parts: JobParts, signal: AbortSignal): undefined | Promise<void> {
  const { configs } = parts;
  const known = configs.findPlain(submission.tenant) ?? configs.find(subjectOf(submission, submission.request));
  if (known !== undefined && known.limits.openJobsMax === undefined) return undefined;
  return refuseBeyond(known, submission, parts, signal);
}

async function refuseBeyond(
  known: Effective | undefined,
  submission: Submission,
  parts: JobParts,
  signal: AbortSignal,
): Promise<void> {
  const config = known ?? (await parts.configs.load(subjectOf(submission, submission.request)));
  const { openJobsMax } = config.limits;
  if (openJobsMax === undefined) return;
  const { open } = await countJobs(submission.tenant, parts, signal);
  if (open < openJobsMax) return;
  throw new Fault("BACKPRESSURE", `${open} jobs of the tenant are open, at most ${openJobsMax} are allowed`);
}
