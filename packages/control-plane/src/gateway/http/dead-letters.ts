// Dead letters over HTTP.
// Owns:          the two lists, which differ in their envelope alone; one dead letter, its retry and its removal.
// Must not know: why a job ended there.

import { Type } from "@fastify/type-provider-typebox";
import type { FastifyRequest } from "fastify";
import type { Static } from "typebox";
import { DEAD_LETTER_INDEX, type DeadLetter } from "../../dead-letters/dead-letter.ts";
import { listDeadLetters } from "../../dead-letters/list-dead-letters.ts";
import { discardDeadLetter, loadDeadLetter } from "../../dead-letters/resolve.ts";
import { retryDeadLetter } from "../../jobs/retry.ts";
import type { State } from "../../ports/state.ts";
import type { App } from "../app.ts";
import { parseCursor } from "../cursor.ts";
import { filled } from "../filled.ts";
import { actorOf } from "../identity.ts";
import { announceNext } from "../link.ts";
import { fillPage, type PageSource } from "../paging.ts";
import { pathId, queryLimit, queryText } from "../query.ts";
import { callerOf, type RouteParts } from "./route-parts.ts";
import { NextCursor, PageQuery, problemResponses } from "./schemas.ts";

const text = Type.Optional(Type.String());
const DeadLetterSchema = Type.Object({
  job_id: Type.String(),
  created_at: Type.String({ description: "RFC 3339." }),
  topic: text,
  status: text,
  reason: text,
  reason_code: text,
  last_state: text,
  attempts: Type.Optional(Type.Integer()),
  retried_as: Type.Optional(Type.String({ description: "The job that repeats this one." })),
});
const LetterParams = Type.Object({ job_id: Type.String() });

const LIST_PRESET = 100;
const CURSOR_CHARS_MAX = 1_024;
const LEADS = [DEAD_LETTER_INDEX.byTenant] as const;
const tags = ["dead letters"];

export function deadLetterRoutes(app: App, parts: RouteParts): void {
  listRoutes(app, parts);
  letterRoutes(app, parts);
  retryRoute(app, parts);
}

function listRoutes(app: App, { jobParts, deadline }: RouteParts): void {
  const read = (query: unknown, tenant: string) => {
    const start = parseCursor(queryText(query, "cursor", CURSOR_CHARS_MAX), LEADS);
    return fillPage(start, queryLimit(query, LIST_PRESET), deadLetterSource(tenant, jobParts.state, deadline()));
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
        querystring: PageQuery,
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
        querystring: PageQuery,
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
          "A new job of the same request, which policy judges anew. The dead letter leaves the lists and names the new job. A repeated call gives the same job.",
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

function deadLetterView(letter: DeadLetter): Static<typeof DeadLetterSchema> {
  const { topic, status, reason, code, lastState, attempts } = letter;
  return {
    job_id: letter.jobId,
    created_at: new Date(letter.createdAt).toISOString(),
    ...filled({
      topic,
      status,
      reason,
      reason_code: code,
      last_state: lastState,
      attempts,
      retried_as: letter.retriedAs,
    }),
  };
}

function deadLetterSource(tenant: string, state: State, signal: AbortSignal): PageSource<DeadLetter> {
  return {
    async read(after, limit) {
      const { letters, next } = await listDeadLetters(
        state,
        { tenant, limit, ...(after === undefined ? {} : { after }) },
        signal,
      );
      return { items: letters, ...(next === undefined ? {} : { next: { lead: DEAD_LETTER_INDEX.byTenant, ...next } }) };
    },
    scoreOf: (letter) => letter.createdAt,
    idOf: (letter) => letter.jobId,
    leadByTime: DEAD_LETTER_INDEX.byTenant,
  };
}
