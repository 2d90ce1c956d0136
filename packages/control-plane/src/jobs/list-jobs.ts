// Listing jobs, newest first.
// Owns:          which index leads, and that a page looks at a bounded number of members.
// Must not know: HTTP, cursors' spelling.
// Q1. A list belongs to one tenant. Q2. The lead is chosen once and travels in the cursor, so all pages of a list have one order:
//     by last change where tenant or state leads, by acceptance where topic, team or trace does.
// Q3. The job that began a trace is in no index of it: it comes last, as the oldest.
// Q4. A page looks at `examineMax` members at most, over all partitions, and reads no more records than it may show. A filter that finds
//     less within that gives a short page, perhaps an empty one, and a place where the next goes on.
// Q5. Times bound the index where it is scored by last change. Where an index that holds no more than a page leads, they are compared
//     with the records instead, which are read anyway.

import { Fault } from "../ports/fault.ts";
import type { EpochMs } from "../ports/time.ts";
import { countAcross, type IndexName, listAcross } from "../records/across-partitions.ts";
import type { Job, JobState } from "./job.ts";
import { JOB_INDEX } from "./job-indexes.ts";
import type { JobParts } from "./job-parts.ts";

export interface JobQuery {
  readonly tenant: string;
  readonly state?: JobState;
  readonly topic?: string;
  readonly team?: string;
  readonly traceId?: string;
  /** Inclusive. */
  readonly updatedAfter?: EpochMs;
  readonly updatedBefore?: EpochMs;
  /** 1 … 500. */
  readonly limit: number;
  readonly after?: JobCursor;
  /** Members to look at; EXAMINED_MAX when absent. */
  readonly examineMax?: number;
}

export interface JobCursor {
  readonly lead: string;
  readonly score: number;
  readonly member: string;
}
export interface JobPage {
  readonly jobs: readonly Job[];
  readonly next?: JobCursor;
  readonly examined: number;
}

/** Members looked at for one page. A member test costs a store 0.5 to 4 µs (bench/lists.ts). */
export const EXAMINED_MAX = 4_000;
/** An index with no more members than this leads even where times are asked for that it does not know, see Q5. */
const SMALL = 500;

export async function listJobs(query: JobQuery, parts: JobParts, signal: AbortSignal): Promise<JobPage> {
  const until = parts.clock.deadline(signal, parts.settings.storeTimeoutMs);
  const names = indexesOf(query);
  const lead = await leadOf(query, names, parts, until);
  const after = query.after === undefined ? {} : { after: { score: query.after.score, member: query.after.member } };
  const page = await listAcross(
    parts.state,
    {
      lead,
      alsoIn: names.filter((name) => name !== lead && name.index !== JOB_INDEX.byTenant), // where every job is
      order: "down",
      limit: query.limit,
      examineMax: Math.ceil((query.examineMax ?? EXAMINED_MAX) / parts.state.traits.partitions),
      ...boundsOf(query, lead),
      ...after,
    },
    until,
  );
  const seen = await parts.jobs.loadMany(
    page.entries.map(({ member }) => member),
    until,
  );
  // Between the index and the record a job may have moved on: what is shown is what was asked for.
  const isByRecord = !isByChange(lead);
  const jobs = seen.flatMap((found) =>
    found === undefined || !isIn(found.record, query) || (isByRecord && !isInTime(found.record, query))
      ? []
      : [found.record],
  );
  let { next } = page;
  if (next === undefined && query.traceId !== undefined) {
    const beginner = await beginnerOf(query.traceId, query, parts, until);
    if (jobs.length < query.limit) jobs.push(...beginner);
    else if (beginner.length > 0) next = page.entries.at(-1);
  }
  return { jobs, examined: page.examined, ...(next === undefined ? {} : { next: { lead: lead.index, ...next } }) };
}

function isByChange({ index }: IndexName): boolean {
  return index === JOB_INDEX.byTenant || index === JOB_INDEX.byState;
}

/** Nothing has changed before it was accepted: the upper bound holds for both kinds of scores. */
function boundsOf({ updatedAfter, updatedBefore }: JobQuery, lead: IndexName): { min?: number; max?: number } {
  return {
    ...(updatedAfter === undefined || !isByChange(lead) ? {} : { min: updatedAfter }),
    ...(updatedBefore === undefined ? {} : { max: updatedBefore }),
  };
}

function isIn(job: Job, { state }: JobQuery): boolean {
  return state === undefined || job.phase.state === state;
}

function isInTime(job: Job, { updatedAfter, updatedBefore }: JobQuery): boolean {
  return (
    (updatedAfter === undefined || job.updatedAt >= updatedAfter) &&
    (updatedBefore === undefined || job.updatedAt <= updatedBefore)
  );
}

async function beginnerOf(
  traceId: string,
  query: JobQuery,
  parts: JobParts,
  signal: AbortSignal,
): Promise<readonly Job[]> {
  const job = (await parts.jobs.load(traceId, signal))?.record;
  if (job === undefined || job.traceId !== job.id) return [];
  const { tenant, topic, team } = query;
  const matches =
    job.tenant === tenant &&
    isIn(job, query) &&
    isInTime(job, query) &&
    (topic === undefined || job.topic === topic) &&
    (team === undefined || job.team === team);
  return matches ? [job] : [];
}

function indexesOf(query: JobQuery): readonly IndexName[] {
  const { tenant, state, topic, team, traceId } = query;
  const names: IndexName[] = [];
  if (state !== undefined) names.push({ index: JOB_INDEX.byState, of: [tenant, state] });
  if (traceId !== undefined) names.push({ index: JOB_INDEX.byTrace, of: [tenant, traceId] });
  if (topic !== undefined) names.push({ index: JOB_INDEX.byTopic, of: [tenant, topic] });
  if (team !== undefined) names.push({ index: JOB_INDEX.byTeam, of: [tenant, team] });
  const isByTime = query.updatedAfter !== undefined || query.updatedBefore !== undefined;
  if (names.length === 0 || (isByTime && state === undefined))
    names.unshift({ index: JOB_INDEX.byTenant, of: [tenant] });
  return names;
}

async function leadOf(
  query: JobQuery,
  names: readonly IndexName[],
  parts: JobParts,
  signal: AbortSignal,
): Promise<IndexName> {
  const [first] = names;
  if (first === undefined) throw new Error("a list has at least one index");
  const isByTime = query.updatedAfter !== undefined || query.updatedBefore !== undefined;
  if (query.after !== undefined) {
    const pinned = names.find((name) => name.index === query.after?.lead);
    if (pinned === undefined) throw new Fault("CURSOR_INVALID", "the cursor belongs to a list with other filters");
    return pinned;
  }
  if (names.length === 1) return first;
  const sizes = await countAcross(parts.state, names, signal);
  const smallest = sizes.indexOf(Math.min(...sizes));
  const name = names[smallest];
  return name === undefined || (isByTime && !isByChange(name) && (sizes[smallest] ?? 0) > SMALL) ? first : name;
}
