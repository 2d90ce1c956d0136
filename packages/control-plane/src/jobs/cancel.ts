// Cancelling a job.
// Owns:          who is told what when a job is cancelled.
// Must not know: how workers stop.

import { Fault } from "../ports/fault.ts";
import { capText } from "./cap-text.ts";
import { type Changed, changeSeen } from "./change.ts";
import { isTerminal } from "./job.ts";
import type { JobParts } from "./job-parts.ts";

export interface Cancellation {
  /** The caller's tenant; jobs of others do not exist for it. Undefined: from the bus, where the job's own tenant counts. */
  readonly tenant: string | undefined;
  readonly by: string;
  readonly reason: string;
}

const REASON_CHARS_MAX = 512;

/** `moved` is false when the job had ended before. Faults: JOB_NOT_FOUND, STATE_*. */
export async function cancelJob(
  jobId: string,
  cancellation: Cancellation,
  parts: JobParts,
  signal: AbortSignal,
): Promise<Changed> {
  const { tenant, by } = cancellation;
  const seen = await parts.jobs.load(jobId, parts.clock.deadline(signal, parts.settings.storeTimeoutMs));
  if (seen === undefined || (tenant !== undefined && seen.record.tenant !== tenant))
    throw new Fault("JOB_NOT_FOUND", "job not found");
  const event = { kind: "cancelled", by, reason: capText(cancellation.reason, REASON_CHARS_MAX) } as const;
  const changed = await changeSeen(seen, (job) => (isTerminal(job) ? undefined : event), parts, signal);
  if (changed === undefined) throw new Fault("JOB_NOT_FOUND", "job not found");
  if (changed.moved) parts.log.info("job.cancelled", { jobId, tenant: changed.job.tenant, by });
  return changed;
}
