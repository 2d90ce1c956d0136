// What the handlers of routes work with.
// Owns:          the list; who is calling.
// Must not know: what a route does.

import type { FastifyRequest } from "fastify";
import { assert } from "../../ports/fault.ts";
import type { WorkerSessions } from "../../worker-sessions/sessions.ts";
import type { Denials } from "../denials.ts";
import type { HeldConnections } from "../held-connections.ts";
import type { Caller } from "../identity.ts";
import type { GatewayParts } from "../parts.ts";
import type { Vitals } from "../probe.ts";
import type { Sockets } from "../sockets.ts";
import type { Streams } from "../streams/streams.ts";

export interface RouteParts extends GatewayParts {
  /** Fires when a handler that starts now has taken too long, or when the gateway closes. */
  deadline(): AbortSignal;
  vitals(): Promise<Vitals>;
  isAccepting(): boolean;
  uptimeS(): number;
  readonly sockets: Sockets;
  /** Whatever outlives its request is held there. */
  readonly held: HeldConnections;
  readonly streams: Streams;
  readonly workers: WorkerSessions;
  readonly denials: Pick<Denials, "note">;
}

/** The caller of a route that needs a key. */
export function callerOf(request: FastifyRequest): Caller {
  const { caller } = request;
  assert(caller !== undefined, "the doorman has let a known caller in", { route: request.route?.url });
  return caller;
}
