// Dead letters over HTTP.
// Owns:          the two lists, which differ in their envelope alone; the groups; one dead letter, its retry and its removal.
// Must not know: why a job ended there; many letters at once (dead-letter-bulk.ts).

import { Type } from "@fastify/type-provider-typebox";
import type { FastifyRequest } from "fastify";
import { DEAD_LETTER_INDEX, type DeadLetter } from "../../dead-letters/dead-letter.ts";
import { GROUPS_MAX, groupDeadLetters } from "../../dead-letters/group-dead-letters.ts";
import { type DeadLetterFilter, listDeadLetters } from "../../dead-letters/list-dead-letters.ts";
import { discardDeadLetter, loadDeadLetter } from "../../dead-letters/resolve.ts";
import { retryDeadLetter } from "../../jobs/retry.ts";
import type { State } from "../../ports/state.ts";
import type { App } from "../app.ts";
import { CURSOR_CHARS_MAX } from "../cursor.ts";
import { actorOf } from "../identity.ts";
import { announceNext } from "../link.ts";
import { fillPage, type PageSource } from "../paging.ts";
import { pathId, queryCursor, queryLimit, queryText } from "../query.ts";
import { cursorOf, filterOf, LEADS, placeOf } from "./dead-letter-filter.ts";
import {
  DeadLetterSchema,
  deadLetterView,
  FilterQuery,
  GroupsQuery,
  GroupsSchema,
  rfc3339,
} from "./dead-letter-schemas.ts";
import { callerOf, type RouteParts } from "./route-parts.ts";
import { NextCursor, problemResponses } from "./schemas.ts";

const LetterParams = Type.Object({ job_id: Type.String() });

const LIST_PRESET = 100;
const GROUPS_PRESET = 50;
const tags = ["dead letters"];

export function deadLetterRoutes(app: App, parts: RouteParts): void {
  listRoutes(app, parts);
  groupsRoute(app, parts);
  letterRoutes(app, parts);
  retryRoute(app, parts);
}

function listRoutes(app: App, { jobParts, deadline }: RouteParts): void {
  const read = (query: unknown, tenant: string) => {
    const start = queryCursor(query, LEADS);
    const source = deadLetterSource(filterOf(query, tenant), jobParts.state, deadline());
    return fillPage(start, queryLimit(query, LIST_PRESET), source);
  };
  app.get(
    "/api/v1/dlq",
    {
      config: { permission: "dlq.read" },
      schema: {
        tags,
        operationId: "listDeadLetters",
        summary: "Dead letters, newest first",
        description:
          "An array; in `{items}` for requests that name their tenant in a header. The Link header leads on.",
        querystring: FilterQuery,
        response: {
          200: Type.Union([Type.Array(DeadLetterSchema), Type.Object({ items: Type.Array(DeadLetterSchema) })]),
          ...problemResponses,
        },
      },
    },
    async (request, reply) => {
      const { tenant, namesTenant } = callerOf(request);
      const page = await read(request.query, tenant);
      announceNext(request, reply, page.next, LEADS);
      const items = page.items.map(deadLetterView);
      return namesTenant ? { items } : items;
    },
  );
  app.get(
    "/api/v1/dlq/page",
    {
      config: { permission: "dlq.read" },
      schema: {
        tags,
        operationId: "pageDeadLetters",
        summary: "Dead letters, newest first, page by page",
        querystring: FilterQuery,
        response: {
          200: Type.Object({ items: Type.Array(DeadLetterSchema), next_cursor: NextCursor }),
          ...problemResponses,
        },
      },
    },
    async (request, reply) => {
      const page = await read(request.query, callerOf(request).tenant);
      return { items: page.items.map(deadLetterView), next_cursor: announceNext(request, reply, page.next, LEADS) };
    },
  );
}

function groupsRoute(app: App, { jobParts, deadline }: RouteParts): void {
  app.get(
    "/api/v1/dlq/groups",
    {
      config: { permission: "dlq.read" },
      schema: {
        tags,
        operationId: "groupDeadLetters",
        summary: "Dead letters by what they died of, newest first",
        description:
          "Numbers, ids and quoted texts do not count: letters of one topic with the same code and otherwise the same reason have one signature, by which POST /api/v1/dlq/retry takes them all.",
        querystring: GroupsQuery,
        response: { 200: GroupsSchema, ...problemResponses },
      },
    },
    async (request) => {
      const { query } = request;
      const { signature: _, ...filter } = filterOf(query, callerOf(request).tenant);
      const after = placeOf(queryText(query, "cursor", CURSOR_CHARS_MAX));
      const limit = Math.min(GROUPS_MAX, queryLimit(query, GROUPS_PRESET));
      const from = after === undefined ? {} : { after };
      const page = await groupDeadLetters(jobParts.state, { ...filter, limit, ...from }, deadline());
      return {
        groups: page.groups.map(({ signature, count, example }) => ({
          signature,
          pattern: example.pattern,
          reason_code: example.code,
          topic: example.topic,
          count,
          newest_at: rfc3339(example.createdAt),
          example: deadLetterView(example),
        })),
        next_cursor: cursorOf(page.next),
      };
    },
  );
}

function letterRoutes(app: App, { jobParts, deadline }: RouteParts): void {
  app.get(
    "/api/v1/dlq/:job_id",
    {
      config: { permission: "dlq.read" },
      schema: {
        tags,
        operationId: "getDeadLetter",
        summary: "The dead letter of one job, retried or not",
        params: LetterParams,
        response: { 200: DeadLetterSchema, ...problemResponses },
      },
    },
    async (request) => {
      const { tenant } = callerOf(request);
      return deadLetterView((await loadDeadLetter(jobIdOf(request), tenant, jobParts.state, deadline())).letter);
    },
  );
  app.delete(
    "/api/v1/dlq/:job_id",
    {
      config: { permission: "dlq.write" },
      schema: {
        tags,
        operationId: "deleteDeadLetter",
        summary: "Remove a dead letter",
        description: "The job's own record stays. Removing what is not there is no error.",
        params: LetterParams,
        response: { 204: Type.Null(), ...problemResponses },
      },
    },
    async (request, reply) => {
      const caller = callerOf(request);
      const by = { tenant: caller.tenant, actor: actorOf(caller) };
      await discardDeadLetter(jobIdOf(request), by, jobParts, deadline());
      return reply.code(204).send(null);
    },
  );
}

function retryRoute(app: App, { jobParts, deadline }: RouteParts): void {
  app.post(
    "/api/v1/dlq/:job_id/retry",
    {
      config: { permission: "dlq.write" },
      schema: {
        tags,
        operationId: "retryDeadLetter",
        summary: "Submit the job of a dead letter once more",
        description:
          "A new job of the same request, which policy judges anew, for as long as the dead letter is kept. It leaves the lists and names the new job. A repeated call gives the same job.",
        params: LetterParams,
        response: { 200: Type.Object({ job_id: Type.String() }), ...problemResponses },
      },
    },
    async (request, reply) => {
      const caller = callerOf(request);
      const by = { tenant: caller.tenant, actor: actorOf(caller) };
      const { jobId, traceId } = await retryDeadLetter(jobIdOf(request), by, jobParts, deadline());
      if (traceId !== undefined) reply.header("x-trace-id", traceId);
      return { job_id: jobId };
    },
  );
}

function jobIdOf(request: FastifyRequest): string {
  return pathId(request.params, "job_id", "DEAD_LETTER_NOT_FOUND", "dlq entry not found");
}

function deadLetterSource(filter: DeadLetterFilter, state: State, signal: AbortSignal): PageSource<DeadLetter> {
  return {
    async read(after, limit) {
      const { letters, next } = await listDeadLetters(
        state,
        { ...filter, limit, ...(after === undefined ? {} : { after }) },
        signal,
      );
      return { items: letters, ...(next === undefined ? {} : { next: { lead: DEAD_LETTER_INDEX.byTenant, ...next } }) };
    },
    scoreOf: (letter) => letter.createdAt,
    idOf: (letter) => letter.jobId,
    leadByTime: DEAD_LETTER_INDEX.byTenant,
  };
}
