// Workers that connect with an API key.
// Owns:          the way from a request to a session: permission, tenant, the socket's size of frames, what a drain does to it.
// Must not know: what frames mean (worker-sessions/).
// C1. A session is for the tenant of the request, which comes from the key. C2. A key that ends takes its sessions with it.
// C3. A drain hands over nothing more, says goodbye, and waits for a while for workers to go by themselves: they still report.

import { FRAME_ROOM_BYTES, SESSION_CLOSE } from "@cordum/protocol";
import { Type } from "@fastify/type-provider-typebox";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Clock } from "../../ports/clock.ts";
import type { Ms } from "../../ports/time.ts";
import type { WorkerSession } from "../../worker-sessions/session.ts";
import { DEFAULT_SESSION_SETTINGS } from "../../worker-sessions/session-parts.ts";
import type { App } from "../app.ts";
import type { GatewaySocket } from "../gateway-socket.ts";
import type { EndCause } from "../held-connections.ts";
import { bucketOfAddress } from "../rate-limit.ts";
import { notASocket } from "../sockets.ts";
import { acceptHeld } from "./held-socket.ts";
import { callerOf, type RouteParts } from "./route-parts.ts";
import { problemResponses } from "./schemas.ts";

const PATH = "/api/v1/workers/connect";
/** For workers to go elsewhere by themselves, once they were told to. */
const GOODBYE_MS: Ms = 3_000;

export function workerConnectRoute(app: App, parts: RouteParts): void {
  app.get(
    PATH,
    {
      config: { permission: "workers.connect" },
      schema: {
        tags: ["workers"],
        operationId: "connectWorker",
        summary: "Connect a worker by WebSocket",
        description:
          "A worker that has no credentials of NATS or Redis gets its jobs, payloads and cancels here, and reports here. The frames are described in docs/reference/worker-frames.md. Browsers, which cannot set headers, present their key as the subprotocols `cordum-api-key, <base64url of the key>`.",
        response: { 101: Type.Null({ description: "A WebSocket of binary frames." }), ...problemResponses },
      },
    },
    async (request, reply) => {
      if (!parts.sockets.isAskedBy(request)) throw notASocket(reply);
      connect(request, reply, parts);
      return reply;
    },
  );
}

function connect(request: FastifyRequest, reply: FastifyReply, parts: RouteParts): void {
  const { workers, denials } = parts;
  const { clock } = parts.jobParts;
  const { identity, tenant } = callerOf(request);
  const address = bucketOfAddress(request.ip ?? "");
  let session: WorkerSession | undefined;
  const socket = acceptHeld(request, reply, parts, {
    kind: "worker",
    frameBytesMax: DEFAULT_SESSION_SETTINGS.payloadBytesMax + FRAME_ROOM_BYTES,
    end: async (held, cause, deadline) => {
      if (session !== undefined) await endSession(session, held, { cause, deadline, clock });
    },
  });
  const opened = workers.open(socket, tenant, (fault) =>
    denials.note({ fault, identity, address, route: `GET ${PATH}` }),
  );
  session = opened;
  socket.closed.addEventListener("abort", () => opened.closed("the connection has ended"), { once: true });
  socket.listen((bytes, isText) => {
    if (isText) opened.end(SESSION_CLOSE.BAD_FRAME, "frames are binary");
    else opened.receive(bytes);
  });
}

async function endSession(
  session: WorkerSession,
  socket: GatewaySocket,
  about: { readonly cause: EndCause; readonly deadline: AbortSignal; readonly clock: Clock },
): Promise<void> {
  const { cause, deadline, clock } = about;
  if (cause === "credential_ended") return socket.end(SESSION_CLOSE.REVOKED, "credential revoked", deadline);
  if (cause === "draining") {
    await session.leave("this process is about to end");
    await clock.sleep(GOODBYE_MS, AbortSignal.any([socket.closed, deadline]));
  }
  await socket.end(SESSION_CLOSE.RESTARTING, "this process ends", deadline);
}
