// What the handlers of routes work with.
// Owns:          the list; who is calling.
// Must not know: what a route does.

import type { FastifyRequest } from "fastify";
import { assert } from "../../ports/fault.ts";
import type { Caller } from "../identity.ts";
import type { GatewayParts } from "../parts.ts";
import type { Vitals } from "../probe.ts";

export interface RouteParts extends GatewayParts {
  /** Fires when a handler that starts now has taken too long, or when the gateway closes. */
  deadline(): AbortSignal;
  vitals(): Promise<Vitals>;
  isAccepting(): boolean;
  uptimeS(): number;
}

/** The caller of a route that needs a key. */
export function callerOf(request: FastifyRequest): Caller {
  const { caller } = request;
  assert(caller !== undefined, "the doorman has let a known caller in", { route: request.routeOptions.url });
  return caller;
}
