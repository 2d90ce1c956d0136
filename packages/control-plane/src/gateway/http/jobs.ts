// Jobs over HTTP.
// Owns:          submit, list, detail, decisions, cancel, the jobs of a trace.
// Must not know: how any of it is done; the use cases in jobs/ do it.
// A job of another tenant is a job that does not exist, in every answer.

import { Type } from "@fastify/type-provider-typebox";
import type { FastifyRequest } from "fastify";
import { cancelJob } from "../../jobs/cancel.ts";
import { loadOwnJob, readJob } from "../../jobs/read-job.ts";
import { submitJob } from "../../jobs/submit.ts";
import { decisionToRest } from "../../policy/decision-forms.ts";
import { Fault } from "../../ports/fault.ts";
import type { App } from "../app.ts";
import { pathId, queryLimit } from "../query.ts";
import { commandOf, type SubmissionHead } from "../submission.ts";
import { jobDetailView } from "../views.ts";
import { DecisionSchema, JobDetailSchema, JobStateSchema, SubmissionSchema } from "./job-schemas.ts";
import { callerOf, type RouteParts } from "./route-parts.ts";
import { LimitQuery, problemResponses } from "./schemas.ts";

const JobParams = Type.Object({ id: Type.String() });
const tags = ["jobs"];
const DECISIONS_PRESET = 50;
const IDEMPOTENCY_HEADERS = ["idempotency-key", "x-idempotency-key"] as const;

export function jobRoutes(app: App, parts: RouteParts): void {
  submitRoute(app, parts);
  readRoutes(app, parts);
  cancelRoute(app, parts);
}

function submitRoute(app: App, { jobParts, deadline }: RouteParts): void {
  app.post(
    "/api/v1/jobs",
    {
      config: { permission: "jobs.write" },
      schema: {
        tags,
        operationId: "submitJob",
        summary: "Submit a job",
        description:
          "The answer is the same whatever policy decides; read the job to learn its state. The same idempotency key with the same body gives the same job.",
        headers: Type.Object({ "idempotency-key": Type.Optional(Type.String()) }),
        body: SubmissionSchema,
        response: { 200: Type.Object({ job_id: Type.String(), trace_id: Type.String() }), ...problemResponses },
      },
    },
    async (request, reply) => {
      const { body } = request;
      if (body === undefined || body === null)
        throw new Fault("INVALID_REQUEST", "invalid json", {
          fields: [{ field: "body", reason: "a JSON object is required" }],
        });
      const command = commandOf(body, headOf(request), callerOf(request));
      const { jobId, traceId } = await submitJob(command, jobParts, deadline());
      reply.header("x-trace-id", traceId);
      return { job_id: jobId, trace_id: traceId };
    },
  );
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
        params: JobParams,
        response: {
          200: Type.Object({ id: Type.String(), state: JobStateSchema, reason: Type.Optional(Type.String()) }),
          ...problemResponses,
        },
      },
    },
    async (request) => {
      const { tenant, identity } = callerOf(request);
      const cancellation = { tenant, by: identity.principal, reason: "cancelled via api" };
      const { job, moved } = await cancelJob(jobIdOf(request), cancellation, jobParts, deadline());
      const { state } = job.phase;
      return moved || state === "CANCELLED"
        ? { id: job.id, state }
        : { id: job.id, state, reason: "job already terminal" };
    },
  );
}

function jobIdOf(request: FastifyRequest): string {
  return pathId(request.params, "id", "JOB_NOT_FOUND", "no such job");
}

function headOf(request: FastifyRequest): SubmissionHead {
  return { idempotencyKey: idempotencyHeader(request), traceparent: request.traceparent };
}

function idempotencyHeader(request: FastifyRequest): string {
  for (const name of IDEMPOTENCY_HEADERS) {
    const value = request.headers[name];
    if (typeof value === "string" && value.trim() !== "") return value.trim();
  }
  return "";
}
