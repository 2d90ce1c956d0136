// What happened to a job, why it waits, how many there are, over HTTP.
// Owns:          the three routes and their shapes.
// Must not know: how any of it is found; jobs/ does it.
// A job of another tenant is a job that does not exist.

import { Type } from "@fastify/type-provider-typebox";
import type { FastifyRequest } from "fastify";
import { countJobs } from "../../jobs/count-jobs.ts";
import { eventLogOf, type LoggedEvent } from "../../jobs/event-log.ts";
import type { Job, StopOrder } from "../../jobs/job.ts";
import { loadOwnJob } from "../../jobs/read-job.ts";
import { type WhyWaiting, whyWaiting } from "../../jobs/why-waiting.ts";
import { REST_DECISIONS } from "../../policy/decision-forms.ts";
import type { App } from "../app.ts";
import { resolveTenant } from "../identity.ts";
import { stopView, strayView } from "../job-asides.ts";
import { pathId, queryText } from "../query.ts";
import { toMicros } from "../views.ts";
import { JobStateSchema } from "./job-schemas.ts";
import { callerOf, type RouteParts } from "./route-parts.ts";
import { problemResponses } from "./schemas.ts";

const tags = ["jobs"];
const JobParams = Type.Object({ id: Type.String() });
const text = Type.Optional(Type.String());
const moment = Type.Integer({ description: "Unix microseconds." });

const EventsSchema = Type.Object({
  id: Type.String(),
  complete: Type.Boolean({ description: "False when the record no longer holds how it began." }),
  items: Type.Array(
    Type.Object({
      at: moment,
      kind: Type.String({ description: "`state`, `decision`, `approval`, `stop` or `stray_result`." }),
      state: Type.Optional(JobStateSchema),
      why: text,
      decision: text,
      reason: text,
      rule_id: text,
      policy_snapshot: text,
      by: text,
      role: text,
      outcome: Type.Optional(Type.String({ description: "Of `stop`: `acknowledged` or `outcome_unknown`." })),
      reported: text,
      via: text,
      dispatch_id: text,
      code: text,
    }),
    { description: "Oldest first." },
  ),
});

const WhySchema = Type.Object({
  id: Type.String(),
  state: JobStateSchema,
  reason: Type.String({
    description: "A wait reason, or `approval_required`, `with_worker`, `running`, `ended`. Stable; branch on it.",
  }),
  explanation: Type.String(),
  since: moment,
  freed_by: Type.String({ description: "What would free it; empty when nothing has to." }),
  who_can_act: Type.Array(Type.String(), {
    description: "`approver`, `operator`, `submitter`, `worker`; `time` and `system` need nobody.",
  }),
  queues: Type.Array(
    Type.Object({
      pool: Type.String(),
      priority: Type.String(),
      ahead: Type.Integer({ description: "Jobs of the tenant that come first. Between tenants turns are taken." }),
      waiting: Type.Integer({ description: "Jobs of the tenant that wait there, this one among them." }),
      workers: Type.Integer(),
      free_slots: Type.Integer(),
    }),
    { description: "One for each pool that the job may run on, at most 8." },
  ),
  limit: Type.Optional(
    Type.Object({ used: Type.Integer(), max: Type.Optional(Type.Integer()), ahead: Type.Integer() }),
  ),
  next_look_at: Type.Optional(moment),
  ends_at: Type.Optional(Type.Integer({ description: "When the wait ends the job; Unix microseconds." })),
});

const CountsSchema = Type.Object({
  tenant: Type.String(),
  at: moment,
  states: Type.Record(Type.String(), Type.Integer()),
  open: Type.Integer({ description: "Jobs that have not ended." }),
  ended: Type.Integer({ description: "Jobs that have ended and are still kept." }),
});

export function jobReadingRoutes(app: App, parts: RouteParts): void {
  eventsRoute(app, parts);
  whyRoute(app, parts);
  countsRoute(app, parts);
}

function eventsRoute(app: App, parts: RouteParts): void {
  app.get(
    "/api/v1/jobs/:id/events",
    {
      config: { permission: "jobs.read" },
      schema: {
        tags,
        operationId: "listJobEvents",
        summary: "What happened to a job: states, decisions, answers of people, what workers said, oldest first",
        params: JobParams,
        response: { 200: EventsSchema, ...problemResponses },
      },
    },
    async (request) => {
      const job = await ownJob(request, parts);
      const { events, isComplete } = eventLogOf(job);
      return { id: job.id, complete: isComplete, items: events.map(eventView) };
    },
  );
}

function whyRoute(app: App, parts: RouteParts): void {
  app.get(
    "/api/v1/jobs/:id/why",
    {
      config: { permission: "jobs.read" },
      schema: {
        tags,
        operationId: "explainJob",
        summary: "Why a job does not run: reason, place in the queue, what would free it, and who can act",
        params: JobParams,
        response: { 200: WhySchema, ...problemResponses },
      },
    },
    async (request) => {
      const signal = parts.deadline();
      const job = await ownJob(request, parts, signal);
      return whyView(job.id, await whyWaiting(job, parts.jobParts, signal));
    },
  );
}

function countsRoute(app: App, { jobParts, deadline }: RouteParts): void {
  app.get(
    "/api/v1/jobs/counts",
    {
      config: { permission: "jobs.read" },
      schema: {
        tags,
        operationId: "countJobs",
        summary: "How many jobs a tenant has, by state",
        querystring: Type.Object({ tenant: text }),
        response: { 200: CountsSchema, ...problemResponses },
      },
    },
    async (request) => {
      const tenant = resolveTenant(callerOf(request), queryText(request.query, "tenant"));
      const { byState, open, ended } = await countJobs(tenant, jobParts, deadline());
      return { tenant, at: toMicros(jobParts.clock.now()), states: Object.fromEntries(byState), open, ended };
    },
  );
}

function ownJob(
  request: FastifyRequest,
  { jobParts, deadline }: RouteParts,
  signal: AbortSignal = deadline(),
): Promise<Job> {
  const jobId = pathId(request.params, "id", "JOB_NOT_FOUND", "no such job");
  return loadOwnJob(jobId, callerOf(request).tenant, jobParts, signal);
}

function eventView(event: LoggedEvent) {
  const { kind } = event;
  const at = toMicros(event.at);
  switch (event.kind) {
    case "state":
      return { at, kind, state: event.step.state, why: event.step.why };
    case "decision": {
      const { decision } = event.decided;
      return {
        at,
        kind,
        decision: REST_DECISIONS[decision.kind],
        reason: decision.reason,
        rule_id: decision.ruleId,
        policy_snapshot: decision.snapshot,
      };
    }
    case "stop":
      return { at, kind, ...stopEvent(event.order) };
    case "stray_result": {
      const { at: _, worker_id, ...said } = strayView(event.stray);
      return { at, kind, by: worker_id, ...said };
    }
    default: {
      const { answer, by, role, reason, snapshot } = event.answer;
      const decision = answer === "approved" ? "approve" : "reject";
      return { at, kind, decision, reason, by, role, policy_snapshot: snapshot };
    }
  }
}

function stopEvent(order: StopOrder) {
  const { status, worker_id, reported } = stopView(order);
  return { by: worker_id, outcome: status, ...(reported === undefined ? {} : { reported }) };
}

function whyView(id: string, why: WhyWaiting) {
  return {
    id,
    state: why.state,
    reason: why.reason,
    explanation: why.explanation,
    since: toMicros(why.since),
    freed_by: why.freedBy,
    who_can_act: [...why.whoCanAct],
    queues: why.queues.map(({ freeSlots, ...place }) => ({ ...place, free_slots: freeSlots })),
    ...(why.limit === undefined ? {} : { limit: why.limit }),
    ...(why.nextLookAt === undefined ? {} : { next_look_at: toMicros(why.nextLookAt) }),
    ...(why.endsAt === undefined ? {} : { ends_at: toMicros(why.endsAt) }),
  };
}
