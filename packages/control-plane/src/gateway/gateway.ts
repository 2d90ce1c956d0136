// The gateway: the HTTP door of the control plane.
// Owns:          putting the server together; listening, draining, closing.
// Must not know: adapters, the environment.
// W1. After stopAccepting new requests get 503 with Retry-After, running ones finish; probes go on answering. W2. close ends everything.

import type { InjectOptions, LightMyRequestResponse } from "fastify";
import { type App, createApp, registerRoutes } from "./app.ts";
import { Denials } from "./denials.ts";
import { Flight } from "./flight.ts";
import { approvalRoutes } from "./http/approvals.ts";
import { deadLetterRoutes } from "./http/dead-letters.ts";
import { healthRoutes, metricsRoute } from "./http/health.ts";
import { jobListRoutes } from "./http/job-list.ts";
import { jobRoutes } from "./http/jobs.ts";
import { keyRoutes } from "./http/keys.ts";
import type { RouteParts } from "./http/route-parts.ts";
import { statusRoutes } from "./http/status.ts";
import { workerRoutes } from "./http/workers.ts";
import { describeApi, openapiRoute } from "./openapi.ts";
import type { GatewayParts } from "./parts.ts";
import { createProbe } from "./probe.ts";
import { traceRequests } from "./request-span.ts";

export interface ListenAddress {
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
}

export interface Gateway {
  /** The URL under which this machine reaches it. Rejects when the address is taken. */
  listen(address: ListenAddress): Promise<string>;
  /** A request without a socket, through the real router. */
  inject(options: InjectOptions): Promise<LightMyRequestResponse>;
  /** See W1. True when all running requests have finished before `signal` fired. */
  stopAccepting(signal: AbortSignal): Promise<boolean>;
  close(): Promise<void>;
}

export async function createGateway(parts: GatewayParts): Promise<Gateway> {
  const lifetime = new AbortController();
  const { clock } = parts.jobParts;
  const { auth, log, meter, settings } = parts;
  const flight = new Flight();
  const startedAt = clock.mono();
  const { operatorTenant } = settings;
  const denials = new Denials({ state: parts.jobParts.state, clock, log, operatorTenant });
  const app = createApp({ auth, clock, log, meter, flight, denials, settings });
  traceRequests(app, parts.jobParts.tracing);
  await describeApi(app, parts.build.version);
  const routeParts: RouteParts = {
    ...parts,
    deadline: () => clock.deadline(lifetime.signal, settings.handlerMs),
    vitals: createProbe(parts.probes, clock, log, lifetime.signal),
    isAccepting: () => !flight.isLanding,
    uptimeS: () => Math.floor((clock.mono() - startedAt) / 1000),
  };
  registerRoutes(app, () => {
    openapiRoute(app);
    healthRoutes(app, routeParts);
    for (const register of [
      jobRoutes,
      jobListRoutes,
      approvalRoutes,
      deadLetterRoutes,
      workerRoutes,
      keyRoutes,
      statusRoutes,
    ]) {
      register(app, routeParts);
    }
    if (settings.exposesMetrics) metricsRoute(app, routeParts);
  });
  await app.ready();
  const writing = denials.run(lifetime.signal);
  return doorOf(app, flight, async () => {
    lifetime.abort();
    await app.close();
    await writing;
    await denials.flush(clock.deadline(NEVER, LAST_WRITE_MS));
  });
}

const NEVER = new AbortController().signal;
const LAST_WRITE_MS = 2_000;

/** A server with /metrics and the health pages, for a listener that only operators reach. */
export async function createMetricsServer(parts: GatewayParts): Promise<Gateway> {
  const lifetime = new AbortController();
  const flight = new Flight();
  const { auth, log, meter, settings } = parts;
  const { clock } = parts.jobParts;
  const denials = { note: () => undefined };
  const app = createApp({ auth, clock, log, meter, flight, denials, settings });
  const vitals = createProbe(parts.probes, clock, log, lifetime.signal);
  registerRoutes(app, () => {
    metricsRoute(app, { meter });
    healthRoutes(app, { vitals, isAccepting: () => !flight.isLanding });
  });
  await app.ready();
  return doorOf(app, flight, async () => {
    lifetime.abort();
    await app.close();
  });
}

function doorOf(app: App, flight: Flight, close: () => Promise<void>): Gateway {
  return {
    async listen({ host, port }) {
      const bound = await app.listen({ host, port });
      return urlOf(host, new URL(bound).port);
    },
    inject: (options) => app.inject(options),
    stopAccepting: (signal) => flight.land(signal),
    close,
  };
}

function urlOf(host: string, port: string): string {
  const reachable = host === "" || host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  return `http://${reachable.includes(":") ? `[${reachable}]` : reachable}:${port}`;
}
