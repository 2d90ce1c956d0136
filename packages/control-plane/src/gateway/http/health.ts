// Health pages, for load balancers and schedulers of containers.
// Owns:          /health, /healthz, /livez, /readyz, /api/v1/health, /metrics.
// Must not know: jobs.
// E1. Alive says nothing about others: a store that is away must not get this process restarted. E2. Ready means that requests can be
//     served: the store answers, the bus is connected, no drain has begun.

import { Type } from "@fastify/type-provider-typebox";
import type { App } from "../app.ts";
import type { RouteParts } from "./route-parts.ts";
import { problemResponses } from "./schemas.ts";

const Checks = Type.Object({ status: Type.String(), checks: Type.Record(Type.String(), Type.String()) });
const Health = Type.Object({
  status: Type.String(),
  nats: Type.String(),
  redis: Type.String(),
  error: Type.Optional(Type.String()),
});

/** A page of a strange origin is told so by probes, too. */
const refused = { "4xx": problemResponses["4xx"] };
const plainText = { content: { "text/plain": { schema: Type.String() } } };

const LIVENESS = [
  ["/healthz", "getLiveness", "Is this process alive? In JSON"],
  ["/livez", "getStartup", "The same as /healthz"],
] as const;

export function healthRoutes(app: App, parts: Pick<RouteParts, "vitals" | "isAccepting">): void {
  const probe = { permission: "probe" } as const;
  const about = { tags: ["health"], security: [] };
  app.get(
    "/health",
    {
      config: probe,
      schema: {
        ...about,
        operationId: "getAlive",
        summary: "Is this process alive?",
        response: { 200: plainText, ...refused },
      },
    },
    async (_, reply) => reply.type("text/plain; charset=utf-8").send("ok"),
  );
  const ok = async () => ({ status: "ok", checks: {} });
  for (const [path, operationId, summary] of LIVENESS) {
    const schema = { ...about, operationId, summary, response: { 200: Checks, ...refused } };
    app.get(path, { config: probe, schema }, ok);
  }
  app.get(
    "/readyz",
    {
      config: probe,
      schema: {
        ...about,
        operationId: "getReadiness",
        summary:
          "May this process be sent requests? 503 while the store or the bus does not answer, or a drain has begun",
        response: { 200: Checks, 503: Checks, ...refused },
      },
    },
    async (_, reply) => {
      const { store, bus } = await parts.vitals();
      const accepting = parts.isAccepting() ? "ok" : "draining";
      const isReady = store === "ok" && bus === "ok" && accepting === "ok";
      reply.code(isReady ? 200 : 503);
      return { status: isReady ? "ok" : "unavailable", checks: { redis: store, nats: bus, accepting } };
    },
  );
  app.get(
    "/api/v1/health",
    {
      config: probe,
      schema: {
        ...about,
        operationId: "getHealth",
        summary: "Do the store and the bus answer?",
        response: { 200: Health, 503: Health, ...refused },
      },
    },
    async (_, reply) => {
      const { store, bus } = await parts.vitals();
      const isHealthy = store === "ok" && bus === "ok";
      reply.code(isHealthy ? 200 : 503);
      return {
        status: isHealthy ? "healthy" : "unhealthy",
        nats: bus,
        redis: store,
        ...(isHealthy ? {} : { error: "a part is unavailable" }),
      };
    },
  );
}

export function metricsRoute(app: App, parts: Pick<RouteParts, "meter">): void {
  app.get(
    "/metrics",
    {
      config: { permission: "probe" },
      schema: {
        tags: ["health"],
        security: [],
        operationId: "getMetrics",
        summary: "Numbers of this process for Prometheus",
        response: { 200: plainText, ...refused },
      },
    },
    async (_, reply) => reply.type(parts.meter.contentType).send(await parts.meter.text()),
  );
}
