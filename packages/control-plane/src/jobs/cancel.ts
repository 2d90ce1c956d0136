// Cancelling a job.
// Owns:          who is told what when a job is cancelled.
// Must not know: how workers stop.

import type { Actor } from "../audit/audit-entry.ts";
import { Fault } from "../ports/fault.ts";
import { capText } from "./cap-text.ts";
import { type Changed, changeSeen } from "./change.ts";
import { isTerminal } from "./job.ts";
import { moveOf } from "./job-audit.ts";
import type { JobParts } from "./job-parts.ts";

export interface Cancellation {
  /** The caller's tenant; jobs of others do not exist for it. Undefined: from the bus, where the job's own tenant counts. */
  readonly tenant: string | undefined;
  /** What a credential stands for; or, for a packet on the bus, the name that it gives. Only the former is a person's or a key's deed. */
  readonly by: Actor | string;
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
  const { tenant } = cancellation;
  const by = typeof cancellation.by === "string" ? cancellation.by : cancellation.by.principal;
  const seen = await parts.jobs.load(jobId, parts.clock.deadline(signal, parts.settings.storeTimeoutMs));
  if (seen === undefined || (tenant !== undefined && seen.record.tenant !== tenant))
    throw new Fault("JOB_NOT_FOUND", "job not found");
  const reason = capText(cancellation.reason, REASON_CHARS_MAX);
  const event = { kind: "cancelled", by, reason } as const;
  const deedOf =
    typeof cancellation.by === "string" ? undefined : moveOf({ actor: cancellation.by, action: "job.cancel", reason });
  const changed = await changeSeen(seen, (job) => (isTerminal(job) ? undefined : event), parts, signal, deedOf);
  if (changed === undefined) throw new Fault("JOB_NOT_FOUND", "job not found");
  if (changed.moved) parts.log.info("job.cancelled", { jobId, tenant: changed.job.tenant, by });
  return changed;
}
