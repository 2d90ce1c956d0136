// Streams over HTTP: events of one job and of all jobs of a tenant, packets by WebSocket.
// Owns:          the paths, who may follow what, which form a request asks for.
// Must not know: how changes are found (jobs/), how frames are sent (streams/).
// M1. A stream is for the tenant of the request. Packets of all tenants go to a key that may name any tenant and names none.
// M2. A path that has both forms gives a WebSocket where one is asked for, events where the request accepts them, and else says so. What
//     is there for packets gives events only where the request names them: a client of the original that forgot to upgrade hears of it.

import { Type } from "@fastify/type-provider-typebox";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { JobChange } from "../../jobs/changed-since.ts";
import { isTerminal, type Job } from "../../jobs/job.ts";
import { JobFollower } from "../../jobs/job-follower.ts";
import { watchJob } from "../../jobs/job-watch.ts";
import { loadOwnJob } from "../../jobs/read-job.ts";
import { type Fault, invalidField, messageOf } from "../../ports/fault.ts";
import type { App } from "../app.ts";
import { CLOSE, type GatewaySocket } from "../gateway-socket.ts";
import type { EndCause } from "../held-connections.ts";
import { resolveTenant } from "../identity.ts";
import { pathId, queryText } from "../query.ts";
import { notASocket } from "../sockets.ts";
import { answerWithEvents, type EventSource } from "../streams/event-response.ts";
import { EVENT_STREAM, takesEvents, wantsEvents } from "../streams/event-stream.ts";
import { FrameQueue } from "../streams/frame-queue.ts";
import { eventId, JOB_EVENT, jobData, safeAtOf } from "../streams/job-event.ts";
import { acceptHeld } from "./held-socket.ts";
import { callerOf, type RouteParts } from "./route-parts.ts";
import { problemResponses } from "./schemas.ts";

const tags = ["streams"];
const TenantQuery = Type.Object({
  tenant_id: Type.Optional(Type.String({ description: "As the header X-Tenant-ID, which browsers cannot set here." })),
  tenant: Type.Optional(Type.String()),
});
const PacketQuery = Type.Object({
  ...TenantQuery.properties,
  kinds: Type.Optional(
    Type.String({ description: "WebSocket: only packets of these kinds, e.g. `jobResult,jobProgress`." }),
  ),
  subject: Type.Optional(Type.String({ description: "WebSocket: `true` adds the member `subject` to each frame." })),
});
const response = {
  200: { description: "Events, or after an upgrade frames.", content: { [EVENT_STREAM]: { schema: Type.String() } } },
  204: Type.Null({ description: "The event that Last-Event-ID names was the last one." }),
  ...problemResponses,
};
const RESUME =
  "With `Last-Event-ID` the latest state of everything that has changed since comes first; a state between two may be left out, one may come twice.";
/** Clients have nothing to say. */
const FRAME_BYTES_MAX = 4_096;
const KINDS_MAX = 16;

export function streamRoutes(app: App, parts: RouteParts): void {
  jobsRoute(app, parts);
  jobRoute(app, parts);
  packetsRoute(app, parts);
}

function jobsRoute(app: App, parts: RouteParts): void {
  app.get(
    "/api/v1/jobs/stream",
    {
      exposeHeadRoute: false,
      config: { permission: "jobs.read" },
      schema: {
        tags,
        operationId: "streamJobs",
        summary: "Changes of all jobs of a tenant, as server-sent events",
        description: `For \`Accept: text/event-stream\`, and for requests that take anything. ${RESUME}`,
        querystring: TenantQuery,
        response,
      },
    },
    async (request, reply) => {
      if (!takesEvents(request)) throw notEvents(request, reply);
      await jobEvents(request, reply, parts);
      return reply;
    },
  );
}

function jobRoute(app: App, parts: RouteParts): void {
  app.get(
    "/api/v1/jobs/:id/stream",
    {
      exposeHeadRoute: false,
      config: { permission: "jobs.read" },
      schema: {
        tags,
        operationId: "streamJob",
        summary: "Changes of one job, as server-sent events or packets by WebSocket",
        description:
          "Events begin with the job as it is and end with its end, with the states that it has passed. A WebSocket is not closed when the job ends.",
        params: Type.Object({ id: Type.String() }),
        querystring: PacketQuery,
        response,
      },
    },
    async (request, reply) => {
      const jobId = pathId(request.params, "id", "JOB_NOT_FOUND", "no such job");
      const tenant = tenantOf(request);
      await loadOwnJob(jobId, tenant, parts.jobParts, parts.deadline());
      if (parts.sockets.isAskedBy(request)) packets(request, reply, { tenant, jobId }, parts);
      else await oneJobsEvents(request, reply, { tenant, jobId }, parts);
      return reply;
    },
  );
}

function packetsRoute(app: App, parts: RouteParts): void {
  app.get(
    "/api/v1/stream",
    {
      exposeHeadRoute: false,
      config: { permission: "stream.read" },
      schema: {
        tags,
        operationId: "streamPackets",
        summary: "Packets by WebSocket, or changes of jobs as server-sent events",
        description: `Frames are packets in protobuf JSON. Of a tenant, those of its jobs; a key that may name any tenant, and names none, gets all packets as they are on the bus. ${RESUME}`,
        querystring: PacketQuery,
        response,
      },
    },
    async (request, reply) => {
      if (!parts.sockets.isAskedBy(request)) {
        if (!wantsEvents(request)) throw notEvents(request, reply);
        await jobEvents(request, reply, parts);
        return reply;
      }
      const { identity, namesTenant } = callerOf(request);
      const tenant = tenantOf(request);
      const isForAll = identity.allowCrossTenant && !namesTenant && queriedTenant(request) === "";
      packets(request, reply, { tenant: isForAll ? "every" : tenant, jobId: undefined }, parts);
      return reply;
    },
  );
}

function jobEvents(request: FastifyRequest, reply: FastifyReply, parts: RouteParts): Promise<void> {
  const { streams, jobParts, settings } = parts;
  const tenant = tenantOf(request);
  const asked = safeAtOf(lastEventIdOf(request));
  const since = asked === undefined ? undefined : Math.min(asked, streams.feed.safeNow);
  return answerWithEvents(request, reply, parts, async () => {
    const { waitingMax } = settings.streams;
    const follower = new JobFollower(streams.feed, jobParts, { tenant, since, waitingMax, show: shownOnce });
    return {
      place: () => eventId(follower.safeAt, ""),
      async *events(signal) {
        for await (const { jobId, shown, safeAt } of follower.changes(signal))
          yield { id: eventId(safeAt, jobId), event: JOB_EVENT, data: shown };
      },
    };
  });
}

/** Followers of one tenant share what one of them was shown. */
const shownBefore = new WeakMap<Job, string>();
function shownOnce(job: Job): string {
  const known = shownBefore.get(job);
  if (known !== undefined) return known;
  const data = jobData(job, { withSteps: false });
  shownBefore.set(job, data);
  return data;
}

interface Followed {
  readonly tenant: string;
  readonly jobId: string;
}

function oneJobsEvents(
  request: FastifyRequest,
  reply: FastifyReply,
  followed: Followed,
  parts: RouteParts,
): Promise<void> {
  if (!takesEvents(request)) throw notEvents(request, reply);
  const lastId = lastEventIdOf(request);
  return answerWithEvents(request, reply, parts, async (signal): Promise<EventSource | "nothing"> => {
    const changes = watchJob(followed, parts.streams.feed, parts.jobParts, signal);
    const first = await changes.next();
    if (first.done === true) return "nothing";
    if (isTerminal(first.value.job) && idOf(first.value) === lastId) {
      await changes.return();
      return "nothing";
    }
    return {
      place: () => undefined,
      async *events() {
        try {
          if (idOf(first.value) !== lastId) yield eventOf(first.value);
          for await (const change of changes) yield eventOf(change);
        } finally {
          await changes.return();
        }
      },
    };
  });
}

function eventOf(change: JobChange) {
  return { id: idOf(change), event: JOB_EVENT, data: jobData(change.job, { withSteps: true }) };
}

function idOf({ job, version }: JobChange): string {
  return `${job.updatedAt}-${version}`;
}

interface Tapped {
  readonly tenant: string | "every";
  readonly jobId: string | undefined;
}

function packets(request: FastifyRequest, reply: FastifyReply, tapped: Tapped, parts: RouteParts): void {
  const { streams, settings, meter, log } = parts;
  const kinds = queryText(request.query, "kinds");
  const namesSubject = queryText(request.query, "subject") === "true";
  const socket = acceptHeld(request, reply, parts, { kind: "stream", frameBytesMax: FRAME_BYTES_MAX, end: endPackets });
  const waiting = new FrameQueue(socket, settings.streams.waitingMax);
  const joined = streams.tap.join({
    ...tapped,
    kinds: kinds === "" ? undefined : new Set(kinds.split(",", KINDS_MAX).map((kind) => kind.trim())),
    namesSubject,
    take: (frame) => waiting.add(frame),
    full() {
      meter.count("cordum_gateway_ws_slow_client_evictions_total", { reason: "buffer_full" });
      socket.close(CLOSE.TRY_AGAIN, "too slow: packets were waiting");
    },
  });
  joined.catch((error: unknown) => {
    log.warn("stream.broken", { reason: messageOf(error) });
    socket.close(CLOSE.TRY_AGAIN, "the bus is away");
  });
  void socket.gone.then(async () => (await joined.catch(() => undefined))?.());
}

function endPackets(socket: GatewaySocket, cause: EndCause, deadline: AbortSignal): Promise<void> {
  return cause === "credential_ended"
    ? socket.end(CLOSE.POLICY, "credential revoked", deadline)
    : socket.end(CLOSE.GOING_AWAY, "this process is about to end", deadline);
}

function tenantOf(request: FastifyRequest): string {
  return resolveTenant(callerOf(request), queriedTenant(request));
}

function queriedTenant(request: FastifyRequest): string {
  return queryText(request.query, "tenant_id") || queryText(request.query, "tenant");
}

function lastEventIdOf(request: FastifyRequest): string {
  const sent = request.headers["last-event-id"];
  return typeof sent === "string" ? sent : "";
}

/** A socket that is no proper one hears of sockets, everybody else of events. */
function notEvents(request: FastifyRequest, reply: FastifyReply): Fault {
  if (request.headers.upgrade !== undefined) return notASocket(reply);
  reply.header("sec-websocket-version", "13");
  const reason = `ask with Accept: ${EVENT_STREAM}, or for a WebSocket where the path has one`;
  return invalidField("Accept", reason);
}
