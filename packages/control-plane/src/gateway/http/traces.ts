// Traces over HTTP.
// Owns:          the route, and its Link to the next page.
// Must not know: how a trace is read.
// The answer is a bare list, as with the original: the next page is in the Link header alone.

import { Type } from "@fastify/type-provider-typebox";
import { JOB_INDEX } from "../../jobs/job-indexes.ts";
import { listTrace } from "../../jobs/list-trace.ts";
import type { App } from "../app.ts";
import { announceNext } from "../link.ts";
import { LIMIT_MAX, queryCursor, queryLimit, queryText } from "../query.ts";
import { jobRecordView } from "../views.ts";
import { JobRecordSchema } from "./job-schemas.ts";
import { callerOf, type RouteParts } from "./route-parts.ts";
import { PageQuery, problemResponses } from "./schemas.ts";

const LEADS = [JOB_INDEX.byTrace] as const;

export function traceRoutes(app: App, { jobParts, deadline }: RouteParts): void {
  app.get(
    "/api/v1/traces/:id",
    {
      config: { permission: "jobs.read" },
      schema: {
        tags: ["jobs"],
        operationId: "getTrace",
        summary: "The jobs of a trace in the order in which they were accepted",
        description: `At most ${LIMIT_MAX} at once; the Link header says where more are.`,
        params: Type.Object({ id: Type.String() }),
        querystring: PageQuery,
        response: { 200: Type.Array(JobRecordSchema), ...problemResponses },
      },
    },
    async (request, reply) => {
      const traceId = queryText(request.params, "id");
      const start = queryCursor(request.query, LEADS);
      const limit = queryLimit(request.query, LIMIT_MAX);
      const after = start.kind === "behind" ? { after: { score: start.score, member: start.member } } : {};
      const { tenant } = callerOf(request);
      const { jobs, next } = await listTrace({ tenant, traceId, limit, ...after }, jobParts, deadline());
      if (next !== undefined) {
        const place = { lead: JOB_INDEX.byTrace, ...next, shown: 0 };
        announceNext(request, reply, place, LEADS, `/api/v1/traces/${encodeURIComponent(traceId)}`);
      }
      return jobs.map(jobRecordView);
    },
  );
}
