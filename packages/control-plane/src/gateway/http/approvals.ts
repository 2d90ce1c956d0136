// Approvals over HTTP.
// Owns:          the list of waiting questions, and the two answers.
// Must not know: what an answer is bound to (approvals/answer.ts).

import { Type } from "@fastify/type-provider-typebox";
import { type Answer, approveJob, rejectJob } from "../../approvals/answer.ts";
import { listApprovals } from "../../approvals/list-approvals.ts";
import type { Job } from "../../jobs/job.ts";
import { JOB_INDEX } from "../../jobs/job-indexes.ts";
import type { JobParts } from "../../jobs/job-parts.ts";
import type { App } from "../app.ts";
import { actorOf, type Caller } from "../identity.ts";
import { announceNext } from "../link.ts";
import { fillPage, type PageSource } from "../paging.ts";
import { pathId, queryCursor, queryLimit } from "../query.ts";
import { approvalView, toMicros } from "../views.ts";
import { AnswerSchema, ApprovalSchema, ApprovedSchema, RejectedSchema } from "./approval-schemas.ts";
import { callerOf, type RouteParts } from "./route-parts.ts";
import { NextCursor, PageQuery, problemResponses } from "./schemas.ts";

const LIST_PRESET = 100;
const LEADS = [JOB_INDEX.byState] as const;
const tags = ["approvals"];
const params = Type.Object({ job_id: Type.String() });

export function approvalRoutes(app: App, parts: RouteParts): void {
  listRoute(app, parts);
  answerRoutes(app, parts);
}

function listRoute(app: App, { jobParts, deadline }: RouteParts): void {
  app.get(
    "/api/v1/approvals",
    {
      config: { permission: "approvals.read" },
      schema: {
        tags,
        operationId: "listApprovals",
        summary: "Jobs that wait for a person, newest question first",
        querystring: PageQuery,
        response: {
          200: Type.Object({ items: Type.Array(ApprovalSchema), next_cursor: NextCursor }),
          ...problemResponses,
        },
      },
    },
    async (request, reply) => {
      const start = queryCursor(request.query, LEADS);
      const source = approvalSource(callerOf(request).tenant, jobParts, deadline());
      const page = await fillPage(start, queryLimit(request.query, LIST_PRESET), source);
      return { items: page.items.map(approvalView), next_cursor: announceNext(request, reply, page.next, LEADS) };
    },
  );
}

function answerRoutes(app: App, { jobParts, deadline }: RouteParts): void {
  app.post(
    "/api/v1/approvals/:job_id/approve",
    {
      config: { permission: "approvals.answer" },
      schema: {
        tags,
        operationId: "approveJob",
        summary: "Let a waiting job run",
        params,
        body: AnswerSchema,
        response: { 200: ApprovedSchema, ...problemResponses },
      },
    },
    async (request) => {
      const { job, moved } = await approveJob(
        jobIdOf(request.params),
        answerOf(request.body, callerOf(request)),
        jobParts,
        deadline(),
      );
      const { id, traceId, approval } = job;
      if (moved || approval === undefined) return { job_id: id, trace_id: traceId };
      return {
        job_id: id,
        trace_id: traceId,
        status: "already_approved",
        approved_by: approval.by,
        approved_at: toMicros(approval.at),
      };
    },
  );
  app.post(
    "/api/v1/approvals/:job_id/reject",
    {
      config: { permission: "approvals.answer" },
      schema: {
        tags,
        operationId: "rejectJob",
        summary: "Deny a waiting job",
        params,
        body: AnswerSchema,
        response: { 200: RejectedSchema, ...problemResponses },
      },
    },
    async (request) => {
      const { job, moved } = await rejectJob(
        jobIdOf(request.params),
        answerOf(request.body, callerOf(request)),
        jobParts,
        deadline(),
      );
      const { id, approval } = job;
      if (moved || approval === undefined) return { job_id: id };
      return { job_id: id, status: "already_rejected", rejected_by: approval.by, rejected_at: toMicros(approval.at) };
    },
  );
}

type AnswerBody = { readonly reason?: string | null; readonly note?: string | null } | undefined | null;

function answerOf(body: AnswerBody, caller: Caller): Answer {
  return { tenant: caller.tenant, actor: actorOf(caller), reason: body?.reason ?? "", note: body?.note ?? "" };
}

function jobIdOf(from: unknown): string {
  return pathId(from, "job_id", "JOB_NOT_FOUND", "no such job");
}

function approvalSource(tenant: string, parts: JobParts, signal: AbortSignal): PageSource<Job> {
  return {
    async read(after, limit) {
      const { jobs, next } = await listApprovals(
        { tenant, limit, ...(after === undefined ? {} : { after }) },
        parts,
        signal,
      );
      return { items: jobs, ...(next === undefined ? {} : { next: { lead: JOB_INDEX.byState, ...next } }) };
    },
    scoreOf: (job) => job.updatedAt,
    idOf: (job) => job.id,
    leadByTime: JOB_INDEX.byState,
  };
}
