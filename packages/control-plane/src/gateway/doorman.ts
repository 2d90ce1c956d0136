// The doorman: what happens to every request before its handler, in this order: origin, drain, address limit, credential, limits of the
// credential and its tenant, permission, tenant.
// Owns:          who may come in; the headers of every answer.
// Must not know: what a route does (it reads the route's permission and nothing else).
// D1. The decision uses the route that the router has found, never the text of a path. An unknown path below /api/ needs a key like a
//     known one, so that nobody without a key learns which paths exist.
// D2. Failed credentials cost tokens of the address; an address without tokens is refused before its key is looked at. A key that this
//     process has not met costs one until State has said who it is, so that guesses cannot hammer State, however many run at once.
// D3. Probes are never limited and never refused by a drain. D4. Who is known in memory is let in without waiting for anything.

import type { FastifyReply, FastifyRequest } from "fastify";
import type { Clock } from "../ports/clock.ts";
import { Fault } from "../ports/fault.ts";
import type { Ms } from "../ports/time.ts";
import { type Auth, Unauthenticated } from "./auth.ts";
import { presentedKeys } from "./credentials.ts";
import type { Denials } from "./denials.ts";
import type { Flight } from "./flight.ts";
import { type Caller, callerOf, type Identity } from "./identity.ts";
import { originHeaders } from "./origins.ts";
import type { GatewaySettings } from "./parts.ts";
import { mayDo, type Permission } from "./permissions.ts";
import { bucketOfAddress, TokenBuckets } from "./rate-limit.ts";

/** `public` needs no key; `probe` neither, and is answered whatever happens. */
export type RoutePermission = Permission | "public" | "probe";

declare module "fastify" {
  interface FastifyContextConfig {
    permission?: RoutePermission;
    /** Refuses the methods that its path does not have. */
    isFallback?: boolean;
    /** Its answers hold references to secrets as they were written. */
    showsReferences?: boolean;
    /** What the rest of the path is, where the path ends in `*`. */
    rest?: string;
  }
  interface FastifyRequest {
    /** Undefined on routes that need no key. */
    caller: Caller | undefined;
    /** Of its route; undefined where no hook has run. The framework puts `routeOptions` together anew each time. */
    route: FastifyRequest["routeOptions"]["config"] | undefined;
    /** No handler was reached. */
    isRefused: boolean;
  }
}

export interface DoormanParts {
  readonly auth: Auth;
  readonly clock: Pick<Clock, "now" | "mono">;
  readonly flight: Flight;
  readonly denials: Pick<Denials, "note">;
  readonly settings: Pick<
    GatewaySettings,
    "origins" | "rateLimit" | "tenantRateLimit" | "publicRateLimit" | "addressesMax"
  >;
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
  const { addressesMax, rateLimit, tenantRateLimit, publicRateLimit } = parts.settings;
  const house: House = {
    ...parts,
    byCredential: new TokenBuckets(rateLimit, addressesMax),
    byTenant: new TokenBuckets(tenantRateLimit, addressesMax),
    byAddress: new TokenBuckets(publicRateLimit, addressesMax),
  };
  return (request, reply, done) => {
    request.route = request.routeOptions.config;
    reply.headers(SECURITY_HEADERS).header("x-request-id", request.id);
    const refuse = (error: unknown): void =>
      done(error instanceof Error ? error : new Error("thrown by the doorman", { cause: error }));
    let admitting: Promise<void> | undefined;
    try {
      judgeOrigin(request, reply, parts);
      if (request.method === "OPTIONS") {
        void reply.code(204).send();
        return;
      }
      admitting = admit(request, reply, house);
    } catch (error) {
      refuse(error);
      return;
    }
    if (admitting === undefined) done();
    else admitting.then(() => done(), refuse);
  };
}

interface House extends DoormanParts {
  readonly byCredential: TokenBuckets;
  readonly byTenant: TokenBuckets;
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

interface Knock {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly house: House;
  readonly permission: Permission | "any";
  readonly address: string;
  readonly mono: Ms;
}

/** Undefined: let in at once. */
function admit(request: FastifyRequest, reply: FastifyReply, house: House): Promise<void> | undefined {
  const permission = permissionOf(request);
  if (permission === "probe") return undefined;
  if (house.flight.isLanding) {
    reply.header("connection", "close");
    throw new Fault("SHUTTING_DOWN", "this process takes no new requests; another one will");
  }
  const mono = house.clock.mono();
  // A socket that has just closed has no address any more, whatever the type says.
  const address = bucketOfAddress(request.ip ?? "");
  if (permission === "public") {
    spend(house.byAddress.take(address, mono), reply);
    return undefined;
  }
  spend(house.byAddress.look(address, mono), reply);
  const knock: Knock = { request, reply, house, permission, address, mono };
  const identity = recall(knock);
  if (identity !== undefined) {
    welcome(identity, knock);
    return undefined;
  }
  spend(house.byAddress.take(address, mono), reply);
  return identify(knock).then((found) => welcome(found, knock));
}

function welcome(identity: Identity, { request, reply, house, permission, address, mono }: Knock): void {
  spend(house.byCredential.take(identity.keyId === "" ? address : identity.keyId, mono), reply);
  try {
    if (permission !== "any" && !mayDo(identity.roles, permission))
      throw new Fault("FORBIDDEN", `the role ${identity.roles.join(", ")} does not include ${permission}`);
    const caller = callerOf(identity, {
      tenantId: headerText(request, "x-tenant-id"),
      cordumTenant: headerText(request, "x-cordum-tenant"),
      principalId: headerText(request, "x-principal-id"),
    });
    spend(house.byTenant.take(caller.tenant, mono), reply);
    request.caller = caller;
  } catch (error) {
    if (error instanceof Fault) house.denials.note({ fault: error, identity, address, route: routeOf(request) });
    throw error;
  }
}

/** `any`: a valid key is enough. */
function permissionOf(request: FastifyRequest): RoutePermission | "any" {
  const { route } = request;
  if (!request.is404 && route !== undefined && route.isFallback !== true) {
    if (route.permission === undefined) throw new Error("a route without a permission was reached");
    return route.permission;
  }
  return request.url.startsWith("/api/") ? "any" : "public";
}

/** From memory; undefined: State has to be asked. */
function recall({ request, house, address, mono }: Knock): Identity | undefined {
  const now = house.clock.now();
  let isOpen = false;
  let refused: unknown;
  for (const presented of presentedKeys(request.headers)) {
    try {
      const identity = house.auth.recall(presented, now);
      if (identity !== undefined) return identity;
      isOpen = true;
    } catch (error) {
      refused = error;
    }
  }
  if (isOpen) return undefined;
  house.byAddress.take(address, mono);
  noteFailure(refused, request, house);
  throw refused;
}

async function identify({ request, house, address }: Knock): Promise<Identity> {
  let refused: unknown;
  for (const presented of presentedKeys(request.headers)) {
    try {
      const identity = await house.auth.identify(presented, house.clock.now());
      house.byAddress.giveBack(address);
      return identity;
    } catch (error) {
      refused = error;
      // State is away: nobody knows whether the key is good.
      if (!(error instanceof Unauthenticated)) break;
    }
  }
  if (!(refused instanceof Unauthenticated)) house.byAddress.giveBack(address);
  noteFailure(refused, request, house);
  throw refused;
}

function noteFailure(error: unknown, request: FastifyRequest, { denials }: DoormanParts): void {
  if (!(error instanceof Unauthenticated)) return;
  const address = bucketOfAddress(request.ip ?? "");
  denials.note({ fault: error, identity: error.formerly, address, route: routeOf(request) });
}

/** By its template: what a stranger writes into a path is no route. */
function routeOf(request: FastifyRequest): string {
  return `${request.method} ${request.route?.url ?? "unknown"}`;
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
