// Remediation over HTTP: a job that policy held back, in a form that policy offers instead.
// Owns:          the route.
// Must not know: which offers there are.

import { Type } from "@fastify/type-provider-typebox";
import { remediateJob } from "../../jobs/remediate.ts";
import type { App } from "../app.ts";
import { actorOf } from "../identity.ts";
import { pathId } from "../query.ts";
import { callerOf, type RouteParts } from "./route-parts.ts";
import { maybe, problemResponses } from "./schemas.ts";

const RemediationBody = Type.Object(
  { remediation_id: maybe(Type.String({ description: "May be left out where there is only one." })) },
  { "x-invalid": "body" },
);

export function remediationRoute(app: App, { jobParts, deadline }: RouteParts): void {
  app.post(
    "/api/v1/jobs/:id/remediate",
    {
      config: { permission: "jobs.remediate" },
      schema: {
        tags: ["jobs"],
        operationId: "remediateJob",
        summary: "Submit a job that policy held back in the form that policy offers",
        description:
          "A new job with the topic, capability and labels of the offer, which policy judges anew. A repeated call gives the same job.",
        params: Type.Object({ id: Type.String() }),
        body: RemediationBody,
        response: { 200: Type.Object({ job_id: Type.String(), trace_id: Type.String() }), ...problemResponses },
      },
    },
    async (request, reply) => {
      const caller = callerOf(request);
      const remediationId = (request.body?.remediation_id ?? "").trim();
      const wish = { tenant: caller.tenant, actor: actorOf(caller), remediationId };
      const id = pathId(request.params, "id", "JOB_NOT_FOUND", "no such job");
      const { jobId, traceId } = await remediateJob(id, wish, jobParts, deadline());
      reply.header("x-trace-id", traceId);
      return { job_id: jobId, trace_id: traceId };
    },
  );
}
