// Dead letters over HTTP.
// Owns:          the two lists, which differ in their envelope alone.
// Must not know: why a job ended there.

import { Type } from "@fastify/type-provider-typebox";
import type { Static } from "typebox";
import { DEAD_LETTER_INDEX, type DeadLetter } from "../../dead-letters/dead-letter.ts";
import { listDeadLetters } from "../../dead-letters/list-dead-letters.ts";
import type { State } from "../../ports/state.ts";
import type { App } from "../app.ts";
import { parseCursor } from "../cursor.ts";
import { filled } from "../filled.ts";
import { announceNext } from "../link.ts";
import { fillPage, type PageSource } from "../paging.ts";
import { queryLimit, queryText } from "../query.ts";
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
});

const LIST_PRESET = 100;
const CURSOR_CHARS_MAX = 1_024;
const LEADS = [DEAD_LETTER_INDEX.byTenant] as const;
const tags = ["dead letters"];

export function deadLetterRoutes(app: App, { jobParts, deadline }: RouteParts): void {
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

function deadLetterView(letter: DeadLetter): Static<typeof DeadLetterSchema> {
  const { topic, status, reason, code, lastState, attempts } = letter;
  return {
    job_id: letter.jobId,
    created_at: new Date(letter.createdAt).toISOString(),
    ...filled({ topic, status, reason, reason_code: code, last_state: lastState, attempts }),
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
