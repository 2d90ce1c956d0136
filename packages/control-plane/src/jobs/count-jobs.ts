// How many jobs a tenant has, by state.
// Owns:          the counts.
// Must not know: HTTP.
// By index alone: one count for each state and partition, whatever there is.

import { countAcross } from "../records/across-partitions.ts";
import { type JobState, OPEN_STATES, TERMINAL_STATES } from "./job.ts";
import { JOB_INDEX } from "./job-indexes.ts";
import type { JobParts } from "./job-parts.ts";

const STATES = [...OPEN_STATES, ...TERMINAL_STATES] as const;

export interface JobCounts {
  readonly byState: ReadonlyMap<JobState, number>;
  readonly open: number;
  readonly ended: number;
}

export async function countJobs(tenant: string, parts: JobParts, signal: AbortSignal): Promise<JobCounts> {
  const names = STATES.map((state) => ({ index: JOB_INDEX.byState, of: [tenant, state] }));
  const until = parts.clock.deadline(signal, parts.settings.storeTimeoutMs);
  const counts = await countAcross(parts.state, names, until);
  const sum = (some: readonly number[]): number => some.reduce((total, count) => total + count, 0);
  return {
    byState: new Map(STATES.map((state, at) => [state, counts[at] ?? 0])),
    open: sum(counts.slice(0, OPEN_STATES.length)),
    ended: sum(counts.slice(OPEN_STATES.length)),
  };
}
