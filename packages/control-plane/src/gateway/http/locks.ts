// Locks over HTTP.
// Owns:          acquire, release, renew, one lock, the held ones.
// Must not know: what a lock protects.
// As with the original: a lock that nobody holds is released with success and no lock; a resource in the query gives one lock.

import { Type } from "@fastify/type-provider-typebox";
import type { FastifyRequest } from "fastify";
import type { Static } from "typebox";
import { capText } from "../../jobs/cap-text.ts";
import { heldUntil, type Lock } from "../../locks/lock.ts";
import {
  acquireLock,
  breakLock,
  findLock,
  LOCK_TTL_MS,
  type LockRequest,
  listLocks,
  releaseLock,
  renewLock,
} from "../../locks/use-locks.ts";
import { Fault } from "../../ports/fault.ts";
import type { App } from "../app.ts";
import { actorOf } from "../identity.ts";
import { queryText } from "../query.ts";
import { callerOf, type RouteParts } from "./route-parts.ts";
import { maybe, problemResponses } from "./schemas.ts";

const LockSchema = Type.Object({
  resource: Type.String(),
  mode: Type.Union([Type.Literal("exclusive"), Type.Literal("shared")]),
  owners: Type.Optional(
    Type.Record(Type.String(), Type.Integer(), { description: "How often each owner has taken it." }),
  ),
  updated_at: Type.String({ description: "RFC 3339." }),
  expires_at: Type.String({ description: "RFC 3339; when the last hold ends." }),
  fencing_token: Type.Integer({
    description: "Grows with each new holder: what the lock protects can refuse smaller ones than it has seen.",
  }),
});
const LockBody = Type.Object({
  resource: maybe(Type.String()),
  owner: maybe(Type.String({ description: "Any name; the hold belongs to the key's principal under that name." })),
  mode: maybe(Type.String({ description: "shared; anything else is exclusive." })),
  ttl_ms: maybe(Type.Integer({ description: `0: ${LOCK_TTL_MS.preset}. At most ${LOCK_TTL_MS.max}.` })),
});
const REASON_CHARS_MAX = 512;
const HELD_MAX = 500;
const tags = ["locks"];

export function lockRoutes(app: App, parts: RouteParts): void {
  readRoute(app, parts);
  takeRoutes(app, parts);
  releaseRoutes(app, parts);
}

function readRoute(app: App, parts: RouteParts): void {
  app.get(
    "/api/v1/locks",
    {
      config: { permission: "locks.read" },
      schema: {
        tags,
        operationId: "getLock",
        summary: "One lock; with `held`, all that are held, first those that end first",
        querystring: Type.Object({
          resource: Type.Optional(Type.String()),
          held: Type.Optional(Type.String({ description: "`true`: all that are held." })),
        }),
        response: {
          200: Type.Union([LockSchema, Type.Object({ items: Type.Array(LockSchema) })]),
          ...problemResponses,
        },
      },
    },
    async (request) => {
      const { tenant } = callerOf(request);
      const until = parts.deadline();
      if (request.query.held !== "true")
        return lockView(await findLock(tenant, queryText(request.query, "resource").trim(), lockParts(parts), until));
      const locks = await listLocks({ tenant, limit: HELD_MAX }, lockParts(parts), until);
      return { items: locks.map(lockView) };
    },
  );
}

function takeRoutes(app: App, parts: RouteParts): void {
  for (const [verb, use, summary] of [
    ["acquire", acquireLock, "Take a lock, or take it once more"],
    ["renew", renewLock, "Hold a lock for longer"],
  ] as const) {
    app.post(
      `/api/v1/locks/${verb}`,
      {
        config: { permission: "locks.write" },
        schema: {
          tags,
          operationId: `${verb}Lock`,
          summary,
          body: LockBody,
          response: { 200: LockSchema, ...problemResponses },
        },
      },
      async (request) => lockView(await use(requestOf(request.body, request), lockParts(parts), parts.deadline())),
    );
  }
}

function releaseRoutes(app: App, parts: RouteParts): void {
  const Released = Type.Object({ lock: Type.Union([LockSchema, Type.Null()]), released: Type.Boolean() });
  app.post(
    "/api/v1/locks/release",
    {
      config: { permission: "locks.write" },
      schema: {
        tags,
        operationId: "releaseLock",
        summary: "Give a lock back, once",
        body: LockBody,
        response: { 200: Released, ...problemResponses },
      },
    },
    async (request) => {
      const lock = await releaseLock(requestOf(request.body, request), lockParts(parts), parts.deadline());
      return { lock: lock === undefined ? null : lockView(lock), released: true };
    },
  );
  app.post(
    "/api/v1/locks/break",
    {
      config: { permission: "locks.break" },
      schema: {
        tags,
        operationId: "breakLock",
        summary: "Take a lock away from an owner, whoever took it under that name",
        body: Type.Object({ ...LockBody.properties, reason: maybe(Type.String()) }),
        response: { 200: Released, ...problemResponses },
      },
    },
    async (request) => {
      const reason = capText(request.body?.reason ?? "", REASON_CHARS_MAX);
      const wanted = { ...requestOf(request.body, request), actor: actorOf(callerOf(request)), reason };
      const lock = await breakLock(wanted, lockParts(parts), parts.deadline());
      return { lock: lock === undefined ? null : lockView(lock), released: true };
    },
  );
}

function lockParts({ jobParts }: RouteParts) {
  const { state, clock, settings } = jobParts;
  return { state, clock, storeTimeoutMs: settings.storeTimeoutMs };
}

function requestOf(body: Static<typeof LockBody> | undefined | null, request: FastifyRequest): LockRequest {
  if (body === undefined || body === null)
    throw new Fault("INVALID_REQUEST", "invalid json", {
      fields: [{ field: "body", reason: "a JSON object is required" }],
    });
  const { tenant, identity } = callerOf(request);
  return {
    tenant,
    principal: identity.principal,
    resource: (body.resource ?? "").trim(),
    owner: (body.owner ?? "").trim(),
    mode: (body.mode ?? "").trim().toLowerCase() === "shared" ? "shared" : "exclusive",
    ttlMs: body.ttl_ms ?? 0,
  };
}

function lockView(lock: Lock): Static<typeof LockSchema> {
  const owners = new Map<string, number>();
  for (const { owner, count } of lock.holds) owners.set(owner, (owners.get(owner) ?? 0) + count);
  return {
    resource: lock.resource,
    mode: lock.mode,
    ...(owners.size === 0 ? {} : { owners: Object.fromEntries(owners) }),
    updated_at: new Date(lock.updatedAt).toISOString(),
    expires_at: new Date(heldUntil(lock)).toISOString(),
    fencing_token: lock.token,
  };
}
