// The status page.
// Owns:          /api/v1/status.
// Must not know: how states are stored.

import { Type } from "@fastify/type-provider-typebox";
import { OPEN_STATES, TERMINAL_STATES } from "../../jobs/job.ts";
import { JOB_INDEX } from "../../jobs/job-indexes.ts";
import { countAcross } from "../../records/across-partitions.ts";
import { servesTenant } from "../../scheduling/registry.ts";
import type { App } from "../app.ts";
import type { Caller } from "../identity.ts";
import { callerOf, type RouteParts } from "./route-parts.ts";
import { problemResponses } from "./schemas.ts";

const StatusSchema = Type.Object({
  time: Type.String({ description: "RFC 3339." }),
  uptime_seconds: Type.Integer(),
  build: Type.Object({ version: Type.String(), commit: Type.String(), date: Type.String() }),
  nats: Type.Object({
    connected: Type.Boolean(),
    status: Type.String(),
    url: Type.String(),
    reconnects: Type.Integer(),
  }),
  nats_status: Type.String(),
  redis: Type.Object({ ok: Type.Boolean(), error: Type.String(), status: Type.String() }),
  workers: Type.Object({ count: Type.Integer() }),
  pipeline: Type.Optional(
    Type.Record(Type.String(), Type.Integer(), { description: "Jobs of the caller's tenant by state." }),
  ),
});

const STATES = [...OPEN_STATES, ...TERMINAL_STATES] as const;

export function statusRoutes(app: App, parts: RouteParts): void {
  const { jobParts, build } = parts;
  app.get(
    "/api/v1/status",
    {
      config: { permission: "status.read" },
      schema: {
        tags: ["status"],
        operationId: "getStatus",
        summary: "Parts, workers and jobs at a glance",
        response: { 200: StatusSchema, ...problemResponses },
      },
    },
    async (request) => {
      const now = jobParts.clock.now();
      const { store } = await parts.vitals();
      const { connected, reconnects } = parts.probes.bus();
      const status = connected ? "CONNECTED" : "RECONNECTING";
      const isStoreThere = store === "ok";
      return {
        time: `${new Date(now).toISOString().slice(0, 19)}Z`,
        uptime_seconds: parts.uptimeS(),
        build: { ...build },
        nats: { connected, status, url: "", reconnects },
        nats_status: status,
        redis: { ok: isStoreThere, error: isStoreThere ? "" : "unavailable", status: store },
        workers: { count: aliveFor(callerOf(request), parts) },
        ...(isStoreThere ? { pipeline: await pipelineOf(callerOf(request).tenant, parts) } : {}),
      };
    },
  );
}

/** Those that the caller's tenant can have; all for one who may cross tenants and names none. */
function aliveFor({ identity, namesTenant, tenant }: Caller, { jobParts }: RouteParts): number {
  const alive = jobParts.registry.alive(jobParts.clock.now());
  if (identity.allowCrossTenant && !namesTenant) return alive.length;
  return alive.filter((worker) => servesTenant(worker, tenant)).length;
}

async function pipelineOf(tenant: string, { jobParts, deadline }: RouteParts): Promise<Record<string, number>> {
  const names = STATES.map((state) => ({ index: JOB_INDEX.byState, of: [tenant, state] }));
  const counts = await countAcross(
    jobParts.state,
    names,
    jobParts.clock.deadline(deadline(), jobParts.settings.storeTimeoutMs),
  );
  return Object.fromEntries(STATES.map((state, at) => [state.toLowerCase(), counts[at] ?? 0]));
}
