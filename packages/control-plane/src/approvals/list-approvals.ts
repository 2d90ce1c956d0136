// Jobs that wait for a person, newest question first.
// Owns:          the listing.
// Must not know: how an answer is given.

import type { Job } from "../jobs/job.ts";
import { JOB_INDEX } from "../jobs/job-indexes.ts";
import type { JobParts } from "../jobs/job-parts.ts";
import type { Position } from "../ports/state.ts";
import { listAcross } from "../records/across-partitions.ts";

export interface ApprovalsQuery {
  readonly tenant: string;
  /** 1 … 500. */
  readonly limit: number;
  readonly after?: Position;
}
export interface ApprovalsPage {
  readonly jobs: readonly Job[];
  readonly next?: Position;
}

export async function listApprovals(
  query: ApprovalsQuery,
  parts: JobParts,
  signal: AbortSignal,
): Promise<ApprovalsPage> {
  const until = parts.clock.deadline(signal, parts.settings.storeTimeoutMs);
  const lead = { index: JOB_INDEX.byState, of: [query.tenant, "APPROVAL_REQUIRED"] };
  const after = query.after === undefined ? {} : { after: query.after };
  const page = await listAcross(
    parts.state,
    { lead, alsoIn: [], order: "down", limit: query.limit, examineMax: query.limit * 2, ...after },
    until,
  );
  const seen = await parts.jobs.loadMany(
    page.entries.map(({ member }) => member),
    until,
  );
  const jobs = seen.flatMap((found) => (found?.record.phase.state === "APPROVAL_REQUIRED" ? [found.record] : []));
  return { jobs, ...(page.next === undefined ? {} : { next: page.next }) };
}
