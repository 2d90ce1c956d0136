// The jobs of a trace, in the order in which they were accepted.
// Owns:          where the job that began it stands, and what a page holds.
// Must not know: HTTP, cursors' spelling.
// The job that began a trace is in no index of it (job-indexes.ts): it is the first of the first page.

import type { Position } from "../ports/state.ts";
import { listAcross } from "../records/across-partitions.ts";
import type { Job } from "./job.ts";
import { JOB_INDEX } from "./job-indexes.ts";
import type { JobParts } from "./job-parts.ts";

export interface TraceQuery {
  readonly tenant: string;
  readonly traceId: string;
  /** From 1. */
  readonly limit: number;
  readonly after?: Position;
}
export interface TracePage {
  readonly jobs: readonly Job[];
  readonly next?: Position;
}

/** Before everything that was ever accepted. */
const START: Position = { score: 0, member: "" };

/** Empty for a trace that nobody of the tenant began. */
export async function listTrace(query: TraceQuery, parts: JobParts, signal: AbortSignal): Promise<TracePage> {
  const until = parts.clock.deadline(signal, parts.settings.storeTimeoutMs);
  const { tenant, traceId, after = START } = query;
  const beginner = query.after === undefined ? await beginnerOf(query, parts, until) : [];
  const limit = query.limit - beginner.length;
  if (limit === 0) return { jobs: beginner, next: START };
  const page = await listAcross(
    parts.state,
    {
      lead: { index: JOB_INDEX.byTrace, of: [tenant, traceId] },
      alsoIn: [],
      order: "up",
      after,
      limit,
      examineMax: limit,
    },
    until,
  );
  const seen = await parts.jobs.loadMany(
    page.entries.map(({ member }) => member),
    until,
  );
  const jobs = [...beginner, ...seen.flatMap((found) => (found === undefined ? [] : [found.record]))];
  return { jobs, ...(page.next === undefined ? {} : { next: page.next }) };
}

async function beginnerOf(
  { traceId, tenant }: TraceQuery,
  parts: JobParts,
  signal: AbortSignal,
): Promise<readonly Job[]> {
  const job = (await parts.jobs.load(traceId, signal))?.record;
  return job !== undefined && job.tenant === tenant && job.traceId === job.id ? [job] : [];
}
