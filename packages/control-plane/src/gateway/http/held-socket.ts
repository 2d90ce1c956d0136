// A socket that outlives its request.
// Owns:          that it is held from its acceptance until it is gone.
// Must not know: what is said over it.

import type { FastifyReply, FastifyRequest } from "fastify";
import type { GatewaySocket } from "../gateway-socket.ts";
import type { EndCause, HeldKind } from "../held-connections.ts";
import { bucketOfAddress } from "../rate-limit.ts";
import { callerOf, type RouteParts } from "./route-parts.ts";

export interface HeldSocket {
  readonly kind: HeldKind;
  readonly frameBytesMax: number;
  /** As that of a holding; called only once there is a socket. */
  end(socket: GatewaySocket, cause: EndCause, deadline: AbortSignal): Promise<void>;
}

/** Nothing may be awaited between this and the first that listens to the socket. Faults: TOO_MANY_CONNECTIONS, SHUTTING_DOWN, and those of
 *  Sockets.accept. */
export function acceptHeld(
  request: FastifyRequest,
  reply: FastifyReply,
  { held, sockets }: Pick<RouteParts, "held" | "sockets">,
  about: HeldSocket,
): GatewaySocket {
  let socket: GatewaySocket | undefined;
  const release = held.hold({
    kind: about.kind,
    caller: callerOf(request),
    address: bucketOfAddress(request.ip ?? ""),
    end: async (cause, deadline) => {
      if (socket !== undefined) await about.end(socket, cause, deadline);
    },
  });
  try {
    socket = sockets.accept(request, reply, { frameBytesMax: about.frameBytesMax });
  } catch (error) {
    release();
    throw error;
  }
  void socket.gone.then(release);
  return socket;
}
