// What has changed since a moment: the jobs of a tenant by last change, oldest first.
// Owns:          reading that order from the index, and the records as they are now.
// Must not know: who follows, transports.
// L1. A record may be newer than its place in the index was: it comes again at its new place, or has come already. Whoever follows drops what
//     is strictly older than what it has.

import type { Position } from "../ports/state.ts";
import type { EpochMs } from "../ports/time.ts";
import { listAcross } from "../records/across-partitions.ts";
import type { Job } from "./job.ts";
import { JOB_INDEX } from "./job-indexes.ts";
import type { JobParts } from "./job-parts.ts";

/** A job as it was written. `version` names the writing. */
export interface JobChange {
  readonly job: Job;
  readonly version: string;
}

export interface ChangedQuery {
  readonly tenant: string;
  /** Inclusive. */
  readonly since: EpochMs;
  readonly after?: Position;
  readonly limit: number;
}

export interface ChangedPage<T> {
  readonly entries: readonly T[];
  readonly next?: Position;
}

export interface ChangeAt extends JobChange {
  /** Where the index had it. */
  readonly at: EpochMs;
}

type Reading = Pick<JobParts, "state" | "jobs" | "clock" | "settings">;

/** Ids and times alone. Faults: STATE_*. */
export async function placesSince(
  query: ChangedQuery,
  parts: Reading,
  signal: AbortSignal,
): Promise<ChangedPage<Position>> {
  const { tenant, since, after, limit } = query;
  const page = await listAcross(
    parts.state,
    {
      lead: { index: JOB_INDEX.byTenant, of: [tenant] },
      alsoIn: [],
      order: "up",
      min: since,
      limit,
      examineMax: limit,
      ...(after === undefined ? {} : { after }),
    },
    parts.clock.deadline(signal, parts.settings.storeTimeoutMs),
  );
  return { entries: page.entries, ...(page.next === undefined ? {} : { next: page.next }) };
}

/** Faults: STATE_*. */
export async function changedSince(
  query: ChangedQuery,
  parts: Reading,
  signal: AbortSignal,
): Promise<ChangedPage<ChangeAt>> {
  const { entries, next } = await placesSince(query, parts, signal);
  const changes = await loadChanges(
    query.tenant,
    entries.map(({ member }) => member),
    parts,
    signal,
  );
  const found = entries.flatMap(({ member, score }) => {
    const change = changes.get(member);
    return change === undefined ? [] : [{ ...change, at: score }];
  });
  return { entries: found, ...(next === undefined ? {} : { next }) };
}

/** Those of the jobs that are the tenant's. The record says whose a job is, nobody else. Faults: STATE_*. */
export async function loadChanges(
  tenant: string,
  ids: readonly string[],
  parts: Reading,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, JobChange>> {
  const seen = await parts.jobs.loadMany(ids, parts.clock.deadline(signal, parts.settings.storeTimeoutMs));
  const changes = new Map<string, JobChange>();
  for (const found of seen)
    if (found?.record.tenant === tenant) changes.set(found.record.id, { job: found.record, version: found.version });
  return changes;
}
