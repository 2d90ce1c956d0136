// Workers over HTTP.
// Owns:          the list of workers that this process has heard of in the last 30 s.
// Must not know: how workers are chosen.

import { Type } from "@fastify/type-provider-typebox";
import type { Static } from "typebox";
import type { EpochMs } from "../../ports/time.ts";
import { servesTenant, type Worker } from "../../scheduling/registry.ts";
import type { App } from "../app.ts";
import { filled } from "../filled.ts";
import { callerOf, type RouteParts } from "./route-parts.ts";
import { problemResponses, TextMap } from "./schemas.ts";

const optional = {
  text: Type.Optional(Type.String()),
  number: Type.Optional(Type.Number()),
  integer: Type.Optional(Type.Integer()),
  flag: Type.Optional(Type.Boolean()),
  texts: Type.Optional(Type.Array(Type.String())),
};
const WorkerSchema = Type.Object({
  worker_id: Type.String(),
  pool: optional.text,
  region: optional.text,
  type: optional.text,
  active_jobs: optional.integer,
  max_parallel_jobs: optional.integer,
  cpu_load: optional.number,
  gpu_utilization: optional.number,
  memory_load: optional.number,
  capabilities: optional.texts,
  labels: Type.Optional(TextMap),
  topics: optional.texts,
  online: optional.flag,
  draining: optional.flag,
  session_valid: optional.flag,
  session_state: optional.text,
  last_heartbeat: optional.text,
  last_heartbeat_at: optional.text,
  heartbeat_age_seconds: optional.integer,
});
type WorkerView = Static<typeof WorkerSchema>;

export function workerRoutes(app: App, { jobParts }: RouteParts): void {
  app.get(
    "/api/v1/workers",
    {
      config: { permission: "workers.read" },
      schema: {
        tags: ["workers"],
        operationId: "listWorkers",
        summary: "Workers heard of in the last 30 s",
        description:
          "An array; in `{items}` for requests that name their tenant in a header. Workers serve all tenants, except those that are connected to a gateway with an API key: they are listed for their own tenant.",
        response: {
          200: Type.Union([Type.Array(WorkerSchema), Type.Object({ items: Type.Array(WorkerSchema) })]),
          ...problemResponses,
        },
      },
    },
    async (request) => {
      const now = jobParts.clock.now();
      const { tenant, namesTenant } = callerOf(request);
      const alive = jobParts.registry.alive(now).filter((worker) => servesTenant(worker, tenant));
      const workers = alive.toSorted((a, b) => (a.id < b.id ? -1 : 1));
      if (namesTenant) return { items: workers.map((worker) => fullView(worker, now)) };
      return workers.map((worker) => shortView(worker, now));
    },
  );
}

/** Clients of the later generation expect every member. */
function fullView(worker: Worker, now: EpochMs): WorkerView {
  const { heartbeat, seenAt } = worker;
  const seen = new Date(seenAt).toISOString();
  return {
    worker_id: worker.id,
    pool: heartbeat.pool,
    region: heartbeat.region,
    type: heartbeat.type,
    active_jobs: worker.busy,
    max_parallel_jobs: Math.max(0, heartbeat.capacity),
    cpu_load: heartbeat.cpuLoad,
    gpu_utilization: heartbeat.gpuUtilization,
    memory_load: heartbeat.memoryLoad,
    capabilities: [...heartbeat.capabilities],
    labels: heartbeat.labels,
    topics: [...(worker.topics ?? [])].sort(),
    online: true,
    draining: worker.isDraining,
    session_valid: true,
    session_state: "not_required",
    last_heartbeat: seen,
    last_heartbeat_at: seen,
    heartbeat_age_seconds: Math.max(0, Math.floor((now - seenAt) / 1000)),
  };
}

/** Clients of the original expect no empty ones. */
function shortView(worker: Worker, now: EpochMs): WorkerView {
  const { worker_id, labels, draining, ...rest } = fullView(worker, now);
  return {
    worker_id,
    ...filled(rest),
    ...(Object.keys(labels ?? {}).length === 0 ? {} : { labels }),
    ...(draining === true ? { draining } : {}),
  };
}
