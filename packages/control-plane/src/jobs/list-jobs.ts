// Listing jobs, newest first.
// Owns:          which index leads, and that a page looks at a bounded number of members.
// Must not know: HTTP, cursors' spelling.
// Q1. A list belongs to one tenant. Q2. The lead is chosen once and travels in the cursor, so all pages of a list have one order:
//     by last change where tenant or state leads, by acceptance where topic, team or trace does.
// Q3. The job that began a trace is in no index of it: it comes last, as the oldest.

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
  /** Inclusive; both need an order by last change, hence tenant or state leads. */
  readonly updatedAfter?: EpochMs;
  readonly updatedBefore?: EpochMs;
  /** 1 … 500. */
  readonly limit: number;
  readonly after?: JobCursor;
}

export interface JobCursor {
  readonly lead: string;
  readonly score: number;
  readonly member: string;
}
export interface JobPage {
  readonly jobs: readonly Job[];
  readonly next?: JobCursor;
}

/** Members looked at per partition and page, for each job asked for; a page may be short when filters are rare. */
const EXAMINED_PER_JOB = 20;
const EXAMINED_MAX = 2_000;

export async function listJobs(query: JobQuery, parts: JobParts, signal: AbortSignal): Promise<JobPage> {
  const until = parts.clock.deadline(signal, parts.settings.storeTimeoutMs);
  const names = indexesOf(query);
  const lead = await leadOf(query, names, parts, until);
  const after = query.after === undefined ? {} : { after: { score: query.after.score, member: query.after.member } };
  const page = await listAcross(
    parts.state,
    {
      lead,
      alsoIn: names.filter((name) => name !== lead),
      order: "down",
      limit: query.limit,
      examineMax: Math.min(EXAMINED_MAX, query.limit * EXAMINED_PER_JOB),
      ...(query.updatedAfter === undefined ? {} : { min: query.updatedAfter }),
      ...(query.updatedBefore === undefined ? {} : { max: query.updatedBefore }),
      ...after,
    },
    until,
  );
  const seen = await parts.jobs.loadMany(
    page.entries.map(({ member }) => member),
    until,
  );
  // Between the index and the record a job may have moved on: what is shown is what was asked for.
  const { state } = query;
  const jobs = seen.flatMap((found) =>
    found === undefined || (state !== undefined && found.record.phase.state !== state) ? [] : [found.record],
  );
  let { next } = page;
  if (next === undefined && query.traceId !== undefined) {
    const beginner = await beginnerOf(query.traceId, query, parts, until);
    if (jobs.length < query.limit) jobs.push(...beginner);
    else if (beginner.length > 0) next = page.entries.at(-1);
  }
  return { jobs, ...(next === undefined ? {} : { next: { lead: lead.index, ...next } }) };
}

async function beginnerOf(
  traceId: string,
  query: JobQuery,
  parts: JobParts,
  signal: AbortSignal,
): Promise<readonly Job[]> {
  const job = (await parts.jobs.load(traceId, signal))?.record;
  if (job === undefined || job.traceId !== job.id) return [];
  const { tenant, state, topic, team, updatedAfter, updatedBefore } = query;
  const matches =
    job.tenant === tenant &&
    (state === undefined || job.phase.state === state) &&
    (topic === undefined || job.topic === topic) &&
    (team === undefined || job.team === team) &&
    (updatedAfter === undefined || job.updatedAt >= updatedAfter) &&
    (updatedBefore === undefined || job.updatedAt <= updatedBefore);
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
    if (pinned === undefined || (isByTime && pinned !== first))
      throw new Fault("CURSOR_INVALID", "the cursor belongs to a list with other filters");
    return pinned;
  }
  if (names.length === 1 || isByTime) return first;
  const sizes = await countAcross(parts.state, names, signal);
  return names.reduce((best, name, at) => ((sizes[at] ?? 0) < (sizes[names.indexOf(best)] ?? 0) ? name : best), first);
}
