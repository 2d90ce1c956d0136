// The gateway: the HTTP door of the control plane.
// Owns:          putting the server together; listening, draining, closing.
// Must not know: adapters, the environment.
// W1. After stopAccepting new requests get 503 with Retry-After, streams and sockets are told and end, running requests finish; probes go on
//     answering. W2. close ends everything.

import type { InjectOptions, LightMyRequestResponse } from "fastify";
import { DEFAULT_SESSION_SETTINGS } from "../worker-sessions/session-parts.ts";
import { WorkerSessions } from "../worker-sessions/sessions.ts";
import { type App, createApp, registerRoutes } from "./app.ts";
import { Denials } from "./denials.ts";
import { Flight } from "./flight.ts";
import { HeldConnections } from "./held-connections.ts";
import { approvalRoutes } from "./http/approvals.ts";
import { artifactRoutes } from "./http/artifacts.ts";
import { configRoutes } from "./http/config.ts";
import { deadLetterBulkRoutes } from "./http/dead-letter-bulk.ts";
import { deadLetterRoutes } from "./http/dead-letters.ts";
import { healthRoutes, metricsRoute } from "./http/health.ts";
import { jobListRoutes } from "./http/job-list.ts";
import { jobReadingRoutes } from "./http/job-reading.ts";
import { streamRoutes } from "./http/job-stream.ts";
import { submitRoutes } from "./http/job-submit.ts";
import { jobRoutes } from "./http/jobs.ts";
import { keyRoutes } from "./http/keys.ts";
import { lockRoutes } from "./http/locks.ts";
import { memoryRoutes } from "./http/memory.ts";
import { remediationRoute } from "./http/remediation.ts";
import type { RouteParts } from "./http/route-parts.ts";
import { schemaRoutes } from "./http/schema-registry.ts";
import { statusRoutes } from "./http/status.ts";
import { traceRoutes } from "./http/traces.ts";
import { workerConnectRoute } from "./http/worker-connect.ts";
import { workerJobsRoute } from "./http/worker-jobs.ts";
import { workerRoutes } from "./http/workers.ts";
import { describeApi, openapiRoute } from "./openapi.ts";
import type { GatewayParts } from "./parts.ts";
import { createProbe } from "./probe.ts";
import { traceRequests } from "./request-span.ts";
import { Sockets } from "./sockets.ts";
import { Streams } from "./streams/streams.ts";

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
  /** The bus was away, or lost messages. */
  catchUp(): void;
  close(): Promise<void>;
}

const RESOURCES: readonly ((app: App, parts: RouteParts) => void)[] = [
  submitRoutes,
  jobRoutes,
  jobListRoutes,
  jobReadingRoutes,
  traceRoutes,
  streamRoutes,
  approvalRoutes,
  remediationRoute,
  deadLetterRoutes,
  deadLetterBulkRoutes,
  workerRoutes,
  workerJobsRoute,
  workerConnectRoute,
  lockRoutes,
  artifactRoutes,
  memoryRoutes,
  configRoutes,
  schemaRoutes,
  keyRoutes,
  statusRoutes,
];

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
  const held = new HeldConnections({ auth, clock, meter }, settings.held);
  const sockets = new Sockets(app, { clock, log, meter }, settings.sockets);
  const workers = new WorkerSessions({ ...parts.jobParts, limits: DEFAULT_SESSION_SETTINGS });
  const streams = new Streams(parts.jobParts, settings.streams);
  await describeApi(app, parts.build.version);
  const routeParts: RouteParts = {
    ...parts,
    deadline: () => clock.deadline(lifetime.signal, settings.handlerMs),
    vitals: createProbe(parts.probes, clock, log, lifetime.signal),
    isAccepting: () => !flight.isLanding,
    uptimeS: () => Math.floor((clock.mono() - startedAt) / 1000),
    sockets,
    held,
    streams,
    workers,
    denials,
  };
  registerRoutes(app, () => {
    openapiRoute(app);
    healthRoutes(app, routeParts);
    for (const register of RESOURCES) {
      register(app, routeParts);
    }
    if (settings.exposesMetrics) metricsRoute(app, routeParts);
  });
  await app.ready();
  const writing = denials.run(lifetime.signal);
  void held.run(lifetime.signal);
  void streams.run(lifetime.signal);
  await workers.start();
  void workers.run(lifetime.signal);
  const close = async (): Promise<void> => {
    lifetime.abort();
    await held.endAll("closing", lifetime.signal);
    sockets.close();
    await app.close();
    await streams.close(clock.deadline(NEVER, LAST_WRITE_MS));
    await workers.close(clock.deadline(NEVER, LAST_WRITE_MS));
    await writing;
    await denials.flush(clock.deadline(NEVER, LAST_WRITE_MS));
  };
  const catchUp = (): void => {
    workers.catchUp();
    streams.catchUp();
  };
  return { ...doorOf(app, landing(flight, held), close), catchUp };
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
  return doorOf(
    app,
    (signal) => flight.land(signal),
    async () => {
      lifetime.abort();
      await app.close();
    },
  );
}

/** What outlives its request is ended first: handlers that feed a stream would never be done. */
function landing(flight: Flight, held: HeldConnections): Gateway["stopAccepting"] {
  return async (signal) => {
    const landed = flight.land(signal);
    await held.endAll("draining", signal);
    return landed;
  };
}

function doorOf(app: App, stopAccepting: Gateway["stopAccepting"], close: () => Promise<void>): Gateway {
  return {
    catchUp: () => undefined,
    async listen({ host, port }) {
      const bound = await app.listen({ host, port });
      return urlOf(host, new URL(bound).port);
    },
    inject: (options) => app.inject(options),
    stopAccepting,
    close,
  };
}

function urlOf(host: string, port: string): string {
  const reachable = host === "" || host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  return `http://${reachable.includes(":") ? `[${reachable}]` : reachable}:${port}`;
}
