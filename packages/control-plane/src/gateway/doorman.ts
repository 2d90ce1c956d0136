// The doorman: what happens to every request before its handler, in this order: origin, drain, address limit, credential, permission,
// credential limit.
// Owns:          who may come in; the headers of every answer.
// Must not know: what a route does (it reads the route's permission and nothing else).
// D1. The decision uses the route that the router has found, never the text of a path. An unknown path below /api/ needs a key like a
//     known one, so that nobody without a key learns which paths exist.
// D2. Failed credentials cost tokens of the address; an address without tokens is refused before its key is looked at.
// D3. Probes are never limited and never refused by a drain.

import type { FastifyReply, FastifyRequest } from "fastify";
import type { Clock } from "../ports/clock.ts";
import { Fault } from "../ports/fault.ts";
import type { Auth } from "./auth.ts";
import type { Flight } from "./flight.ts";
import { type Caller, callerOf, type Identity } from "./identity.ts";
import { originHeaders } from "./origins.ts";
import type { GatewaySettings } from "./parts.ts";
import { isPermitted, type Permission } from "./permissions.ts";
import { bucketOfAddress, TokenBuckets } from "./rate-limit.ts";

/** `public` needs no key; `probe` neither, and is answered whatever happens. */
export type RoutePermission = Permission | "public" | "probe";

declare module "fastify" {
  interface FastifyContextConfig {
    permission?: RoutePermission;
    /** Refuses the methods that its path does not have. */
    isFallback?: boolean;
  }
  interface FastifyRequest {
    /** Undefined on routes that need no key. */
    caller: Caller | undefined;
    /** No handler was reached. */
    isRefused: boolean;
  }
}

export interface DoormanParts {
  readonly auth: Auth;
  readonly clock: Pick<Clock, "now" | "mono">;
  readonly flight: Flight;
  readonly settings: Pick<GatewaySettings, "origins" | "rateLimit" | "publicRateLimit" | "addressesMax">;
}

export type Doorman = (request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void) => void;

/** On every answer; what a page of ours needs more, its route says. */
export const SECURITY_HEADERS = {
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
} as const;

export function createDoorman(parts: DoormanParts): Doorman {
  const { addressesMax, rateLimit, publicRateLimit } = parts.settings;
  const limits: Limits = {
    byCredential: new TokenBuckets(rateLimit, addressesMax),
    byAddress: new TokenBuckets(publicRateLimit, addressesMax),
  };
  return (request, reply, done) => {
    reply.headers(SECURITY_HEADERS).header("x-request-id", request.id);
    try {
      judgeOrigin(request, reply, parts);
      if (request.method === "OPTIONS") {
        void reply.code(204).send();
        return;
      }
      admit(request, reply, parts, limits);
    } catch (error) {
      done(error instanceof Error ? error : new Error("thrown by the doorman", { cause: error }));
      return;
    }
    done();
  };
}

interface Limits {
  readonly byCredential: TokenBuckets;
  readonly byAddress: TokenBuckets;
}

function judgeOrigin(request: FastifyRequest, reply: FastifyReply, parts: DoormanParts): void {
  const origin = request.headers.origin ?? "";
  const { origins } = parts.settings;
  if (origin !== "" && !origins.allows(origin, request.headers.host ?? "")) {
    throw new Fault("ORIGIN_FORBIDDEN", "pages of this origin may not call this server");
  }
  if (origin !== "" || request.method === "OPTIONS") reply.headers(originHeaders(origin, origins));
}

function admit(request: FastifyRequest, reply: FastifyReply, parts: DoormanParts, limits: Limits): void {
  const permission = permissionOf(request);
  if (permission === "probe") return;
  if (parts.flight.isLanding) {
    reply.header("connection", "close");
    throw new Fault("SHUTTING_DOWN", "this process takes no new requests; another one will");
  }
  const mono = parts.clock.mono();
  // A socket that has just closed has no address any more, whatever the type says.
  const address = bucketOfAddress(request.ip ?? "");
  if (permission === "public") {
    spend(limits.byAddress.take(address, mono), reply);
    return;
  }
  spend(limits.byAddress.look(address, mono), reply);
  const identity = identify(request, parts, () => limits.byAddress.take(address, mono));
  spend(limits.byCredential.take(identity.keyId === "" ? address : identity.keyId, mono), reply);
  if (permission !== "any" && !isPermitted(identity.role, permission)) {
    throw new Fault("FORBIDDEN", `the role ${identity.role} does not include ${permission}`);
  }
  request.caller = callerOf(identity, {
    tenantId: headerText(request, "x-tenant-id"),
    cordumTenant: headerText(request, "x-cordum-tenant"),
  });
}

/** `any`: a valid key is enough. */
function permissionOf(request: FastifyRequest): RoutePermission | "any" {
  const { config } = request.routeOptions;
  if (!request.is404 && config.isFallback !== true) {
    if (config.permission === undefined) throw new Error("a route without a permission was reached");
    return config.permission;
  }
  return request.url.startsWith("/api/") ? "any" : "public";
}

function identify(request: FastifyRequest, parts: DoormanParts, onFailure: () => void): Identity {
  try {
    return parts.auth.identify(headerText(request, "x-api-key") || undefined, parts.clock.now());
  } catch (error) {
    onFailure();
    throw error;
  }
}

function spend(waitMs: number, reply: FastifyReply): void {
  if (waitMs === 0) return;
  const waitS = Math.ceil(waitMs / 1000);
  reply.header("retry-after", String(waitS));
  throw new Fault("RATE_LIMITED", `too many requests; try again in ${waitS} s`);
}

function headerText(request: FastifyRequest, name: string): string {
  const value = request.headers[name];
  return typeof value === "string" ? value.trim() : "";
}
