// Lists of jobs over HTTP.
// Owns:          the query parameters of the list, and which index leads where a client enters at a time.
// Must not know: how lists are read.

import { Type } from "@fastify/type-provider-typebox";
import { type Job, type JobState, OPEN_STATES, TERMINAL_STATES } from "../../jobs/job.ts";
import { JOB_INDEX } from "../../jobs/job-indexes.ts";
import type { JobParts } from "../../jobs/job-parts.ts";
import { EXAMINED_MAX, type JobQuery, listJobs } from "../../jobs/list-jobs.ts";
import type { App } from "../app.ts";
import { resolveTenant } from "../identity.ts";
import { announceNext } from "../link.ts";
import { type Found, fillPage, type PageSource } from "../paging.ts";
import { queryCursor, queryLimit, queryText, queryTime } from "../query.ts";
import { jobRecordView } from "../views.ts";
import { JobRecordSchema } from "./job-schemas.ts";
import { callerOf, type RouteParts } from "./route-parts.ts";
import { NextCursor, PageQuery, problemResponses } from "./schemas.ts";

const LIST_PRESET = 50;
/** The order is part of integer cursors: append only. */
const LEADS = [JOB_INDEX.byTenant, JOB_INDEX.byState, JOB_INDEX.byTopic, JOB_INDEX.byTeam, JOB_INDEX.byTrace] as const;
const STATES: ReadonlySet<string> = new Set([...OPEN_STATES, ...TERMINAL_STATES]);

export function jobListRoutes(app: App, parts: RouteParts): void {
  const { jobParts, deadline } = parts;
  app.get(
    "/api/v1/jobs",
    {
      config: { permission: "jobs.read" },
      schema: {
        tags: ["jobs"],
        operationId: "listJobs",
        summary: "Jobs of a tenant, newest first",
        description:
          "By last change; where topic, team or trace is the narrowest filter, by acceptance. Times are in seconds, ms or µs, inclusive.",
        querystring: Type.Object({
          ...PageQuery.properties,
          state: Type.Optional(Type.String()),
          topic: Type.Optional(Type.String()),
          team: Type.Optional(Type.String()),
          tenant: Type.Optional(Type.String()),
          trace_id: Type.Optional(Type.String()),
          updated_after: Type.Optional(Type.Integer()),
          updated_before: Type.Optional(Type.Integer()),
        }),
        response: {
          200: Type.Object({ items: Type.Array(JobRecordSchema), next_cursor: NextCursor }),
          ...problemResponses,
        },
      },
    },
    async (request, reply) => {
      const { query } = request;
      const filter = filterOf(query, resolveTenant(callerOf(request), queryText(query, "tenant")));
      if (filter === "nothing") return { items: [], next_cursor: null };
      const start = queryCursor(query, LEADS);
      const page = await fillPage(start, queryLimit(query, LIST_PRESET), jobSource(filter, jobParts, deadline()));
      return { items: page.items.map(jobRecordView), next_cursor: announceNext(request, reply, page.next, LEADS) };
    },
  );
}

type Filter = Omit<JobQuery, "limit" | "after" | "examineMax">;

/** `nothing`: no job can match. */
function filterOf(query: unknown, tenant: string): Filter | "nothing" {
  const state = queryText(query, "state").toUpperCase();
  if (state !== "" && !isState(state)) return "nothing";
  const topic = queryText(query, "topic");
  const team = queryText(query, "team");
  const traceId = queryText(query, "trace_id");
  const updatedAfter = queryTime(query, "updated_after", "lower");
  const updatedBefore = queryTime(query, "updated_before", "upper");
  return {
    tenant,
    ...(state === "" ? {} : { state }),
    ...(topic === "" ? {} : { topic }),
    ...(team === "" ? {} : { team }),
    ...(traceId === "" ? {} : { traceId }),
    ...(updatedAfter === undefined ? {} : { updatedAfter }),
    ...(updatedBefore === undefined ? {} : { updatedBefore }),
  };
}

/** Once: what has been looked at counts for the whole page. */
function jobSource(filter: Filter, parts: JobParts, signal: AbortSignal): PageSource<Job> {
  let left = EXAMINED_MAX;
  return {
    async read(after, limit) {
      const { jobs, next, examined } = await listJobs(
        { ...filter, ...boundOf(filter, after), limit, examineMax: left, ...(after === undefined ? {} : { after }) },
        parts,
        signal,
      );
      left -= examined;
      return { items: jobs, isSpent: left <= 0, ...(next === undefined ? {} : { next }) };
    },
    scoreOf: (job, lead) => (lead === JOB_INDEX.byTenant || lead === JOB_INDEX.byState ? job.updatedAt : job.listedAt),
    idOf: (job) => job.id,
    leadByTime: filter.state === undefined ? JOB_INDEX.byTenant : JOB_INDEX.byState,
  };
}

/** A list that was entered at a time is led by time, and says so by a bound that its place implies anyway. */
function boundOf(filter: Filter, after: Found | undefined): Pick<JobQuery, "updatedBefore"> {
  if (after?.lead !== JOB_INDEX.byTenant || filter.updatedBefore !== undefined) return {};
  return { updatedBefore: after.score };
}

function isState(text: string): text is JobState {
  return STATES.has(text);
}
