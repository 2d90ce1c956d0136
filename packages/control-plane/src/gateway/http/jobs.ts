// Jobs over HTTP.
// Owns:          detail, decisions, cancel.
// Must not know: how any of it is done; the use cases in jobs/ do it.
// A job of another tenant is a job that does not exist, in every answer.

import { Type } from "@fastify/type-provider-typebox";
import type { FastifyRequest } from "fastify";
import { cancelJob } from "../../jobs/cancel.ts";
import { loadOwnJob, readJob } from "../../jobs/read-job.ts";
import { decisionToRest } from "../../policy/decision-forms.ts";
import type { App } from "../app.ts";
import { actorOf } from "../identity.ts";
import { StopSchema, stopView } from "../job-asides.ts";
import { pathId, queryLimit } from "../query.ts";
import { jobDetailView } from "../views.ts";
import { DecisionSchema, JobDetailSchema, JobStateSchema } from "./job-schemas.ts";
import { callerOf, type RouteParts } from "./route-parts.ts";
import { LimitQuery, problemResponses } from "./schemas.ts";

const JobParams = Type.Object({ id: Type.String() });
const tags = ["jobs"];
const DECISIONS_PRESET = 50;

export function jobRoutes(app: App, parts: RouteParts): void {
  readRoutes(app, parts);
  cancelRoute(app, parts);
}

function readRoutes(app: App, { jobParts, deadline }: RouteParts): void {
  app.get(
    "/api/v1/jobs/:id",
    {
      config: { permission: "jobs.read" },
      schema: {
        tags,
        operationId: "getJob",
        summary: "One job with its context and result",
        params: JobParams,
        response: { 200: JobDetailSchema, ...problemResponses },
      },
    },
    async (request) => jobDetailView(await readJob(jobIdOf(request), callerOf(request).tenant, jobParts, deadline())),
  );
  app.get(
    "/api/v1/jobs/:id/decisions",
    {
      config: { permission: "jobs.read" },
      schema: {
        tags,
        operationId: "listJobDecisions",
        summary: "What policy decided about a job, newest first",
        params: JobParams,
        querystring: LimitQuery,
        response: { 200: Type.Array(DecisionSchema), ...problemResponses },
      },
    },
    async (request) => {
      const job = await loadOwnJob(jobIdOf(request), callerOf(request).tenant, jobParts, deadline());
      return job.decisions
        .toReversed()
        .slice(0, queryLimit(request.query, DECISIONS_PRESET))
        .map((record) => decisionToRest(record, job.id));
    },
  );
}

function cancelRoute(app: App, { jobParts, deadline }: RouteParts): void {
  app.post(
    "/api/v1/jobs/:id/cancel",
    {
      config: { permission: "jobs.cancel" },
      schema: {
        tags,
        operationId: "cancelJob",
        summary: "Cancel a job",
        description:
          "The job is cancelled with the answer. Where a worker had it, the worker is told to stop, and `stop` of the job says later whether it did.",
        params: JobParams,
        response: {
          200: Type.Object({
            id: Type.String(),
            state: JobStateSchema,
            reason: Type.Optional(Type.String()),
            stop: Type.Optional(StopSchema),
          }),
          ...problemResponses,
        },
      },
    },
    async (request) => {
      const caller = callerOf(request);
      const cancellation = { tenant: caller.tenant, by: actorOf(caller), reason: "cancelled via api" };
      const { job, moved } = await cancelJob(jobIdOf(request), cancellation, jobParts, deadline());
      const { state } = job.phase;
      const answer = { id: job.id, state, ...(job.stop === undefined ? {} : { stop: stopView(job.stop) }) };
      return moved || state === "CANCELLED" ? answer : { ...answer, reason: "job already terminal" };
    },
  );
}

function jobIdOf(request: FastifyRequest): string {
  return pathId(request.params, "id", "JOB_NOT_FOUND", "no such job");
}
