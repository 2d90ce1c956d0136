// The jobs that are out with a worker.
// Owns:          the walk through the index of what it has.
// Must not know: HTTP; whether the worker is alive.

import { listAcross } from "../records/across-partitions.ts";
import type { Job } from "./job.ts";
import { JOB_INDEX } from "./job-indexes.ts";
import type { JobParts } from "./job-parts.ts";

export interface WorkerJobsQuery {
  readonly workerId: string;
  readonly tenant: string;
  /** From 1. */
  readonly limit: number;
}

/** Members looked at; a worker has seldom more slots. */
const EXAMINED_MAX = 2_000;

/** Those of the tenant, newest dispatch first. */
export async function listJobsOfWorker(
  { workerId, tenant, limit }: WorkerJobsQuery,
  parts: JobParts,
  signal: AbortSignal,
): Promise<readonly Job[]> {
  const until = parts.clock.deadline(signal, parts.settings.storeTimeoutMs);
  const page = await listAcross(
    parts.state,
    {
      lead: { index: JOB_INDEX.busyOfWorker, of: [workerId] },
      alsoIn: [{ index: JOB_INDEX.byTenant, of: [tenant] }],
      order: "down",
      limit,
      examineMax: Math.ceil(EXAMINED_MAX / parts.state.traits.partitions),
    },
    until,
  );
  const seen = await parts.jobs.loadMany(
    page.entries.map(({ member }) => member),
    until,
  );
  return seen.flatMap((found) => (found === undefined || found.record.tenant !== tenant ? [] : [found.record]));
}
