// The jobs of one worker over HTTP.
// Owns:          the route.
// Must not know: how jobs came to it, which workers there are.
// Of the jobs of a worker that serves all tenants, those of the caller's tenant are shown.

import { Type } from "@fastify/type-provider-typebox";
import { listJobsOfWorker } from "../../jobs/list-jobs-of-worker.ts";
import type { App } from "../app.ts";
import { queryLimit } from "../query.ts";
import { jobRecordView } from "../views.ts";
import { JobRecordSchema } from "./job-schemas.ts";
import { callerOf, type RouteParts } from "./route-parts.ts";
import { LimitQuery, problemResponses } from "./schemas.ts";
import { findWorker } from "./workers.ts";

const JOBS_PRESET = 20;
const JOBS_MAX = 100;

export function workerJobsRoute(app: App, parts: RouteParts): void {
  app.get(
    "/api/v1/workers/:id/jobs",
    {
      config: { permission: "workers.read" },
      schema: {
        tags: ["workers"],
        operationId: "listWorkerJobs",
        summary: "Jobs that are out with a worker, the one that it got last first",
        description: `At most ${JOBS_MAX}.`,
        params: Type.Object({ id: Type.String() }),
        querystring: LimitQuery,
        response: { 200: Type.Object({ items: Type.Array(JobRecordSchema) }), ...problemResponses },
      },
    },
    async (request) => {
      const { id } = findWorker(request, parts);
      const limit = Math.min(JOBS_MAX, queryLimit(request.query, JOBS_PRESET));
      const { tenant } = callerOf(request);
      const jobs = await listJobsOfWorker({ workerId: id, tenant, limit }, parts.jobParts, parts.deadline());
      return { items: jobs.map(jobRecordView) };
    },
  );
}
