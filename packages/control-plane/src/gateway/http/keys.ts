// API keys over HTTP.
// Owns:          what is asked for a new key, how a key is shown, and that its secret is shown once.
// Must not know: how a key lies in State, who may have which (keys/manage.ts).

import { Type } from "@fastify/type-provider-typebox";
import type { FastifyRequest } from "fastify";
import type { Static } from "typebox";
import { KEY_INDEX } from "../../keys/key-indexes.ts";
import { createKey, getKey, type KeyView, listKeys, type Manager, revokeKey, rotateKey } from "../../keys/manage.ts";
import { GRACE_MS_MAX, isLive, type KeyWish, type ManagedKey, validSecrets } from "../../keys/managed-key.ts";
import { invalidField } from "../../ports/fault.ts";
import type { EpochMs } from "../../ports/time.ts";
import type { App } from "../app.ts";
import { idempotencyKeyOf } from "../idempotency-key.ts";
import { type Caller, isPrincipalName, isTenantName } from "../identity.ts";
import { announceNext } from "../link.ts";
import { fillPage, type PageSource } from "../paging.ts";
import { mayGive, parseRole, ROLES } from "../permissions.ts";
import { pathId, queryCursor, queryLimit, queryText } from "../query.ts";
import { KeyListQuery, KeySchema, MadeKeySchema, RevokeSchema, RotateSchema, WishSchema } from "./key-schemas.ts";
import { callerOf, type RouteParts } from "./route-parts.ts";
import { NextCursor, problemResponses } from "./schemas.ts";

const tags = ["keys"];
const params = Type.Object({ id: Type.String() });
const LIST_PRESET = 100;
const NAME_CHARS_MAX = 128;
const TENANTS_MAX = 50;
const REASON_CHARS_MAX = 1_000;
const IDEMPOTENCY_CHARS_MAX = 256;
export function keyRoutes(app: App, parts: RouteParts): void {
  readRoutes(app, parts);
  createRoute(app, parts);
  changeRoutes(app, parts);
}

function readRoutes(app: App, { keys, deadline, jobParts }: RouteParts): void {
  app.get(
    "/api/v1/keys",
    {
      config: { permission: "keys.read" },
      schema: {
        tags,
        operationId: "listKeys",
        summary: "API keys of the tenant, newest first",
        description: "Keys that reach further than the caller's own are not listed; keys of the configuration neither.",
        querystring: KeyListQuery,
        response: { 200: Type.Object({ items: Type.Array(KeySchema), next_cursor: NextCursor }), ...problemResponses },
      },
    },
    async (request, reply) => {
      const which = queryText(request.query, "state") === "ended" ? "ended" : "live";
      const leads = [KEY_INDEX[which]];
      const start = queryCursor(request.query, leads);
      const source = keySource(which, managerOf(callerOf(request)), { keys, signal: deadline() });
      const page = await fillPage(start, queryLimit(request.query, LIST_PRESET), source);
      const now = jobParts.clock.now();
      const next_cursor = announceNext(request, reply, page.next, leads);
      return { items: page.items.map((item) => keyView(item, now)), next_cursor };
    },
  );
  app.get(
    "/api/v1/keys/:id",
    {
      config: { permission: "keys.read" },
      schema: {
        tags,
        operationId: "getKey",
        summary: "One API key, without its secret",
        params,
        response: { 200: KeySchema, ...problemResponses },
      },
    },
    async (request) =>
      keyView(await getKey(keyIdOf(request), managerOf(callerOf(request)), keys, deadline()), jobParts.clock.now()),
  );
}

function createRoute(app: App, { keys, deadline, jobParts }: RouteParts): void {
  app.post(
    "/api/v1/keys",
    {
      config: { permission: "keys.write" },
      schema: {
        tags,
        operationId: "createKey",
        summary: "Make an API key",
        description:
          "Nobody makes a key that may do more than they may. A repeat with the same Idempotency-Key within ten minutes gets a new secret for the same key.",
        body: WishSchema,
        response: { 201: MadeKeySchema, ...problemResponses },
      },
    },
    async (request, reply) => {
      const caller = callerOf(request);
      const now = jobParts.clock.now();
      const by = { manager: managerOf(caller), idempotencyKey: idempotencyKeyOf(request, IDEMPOTENCY_CHARS_MAX) };
      const made = await createKey(wishOf(request.body, caller, now), by, keys, deadline());
      return reply.code(201).send({ ...keyView({ key: made.key, lastUsedAt: undefined }, now), secret: made.secret });
    },
  );
}

function changeRoutes(app: App, { keys, deadline, jobParts }: RouteParts): void {
  app.post(
    "/api/v1/keys/:id/rotate",
    {
      config: { permission: "keys.write" },
      schema: {
        tags,
        operationId: "rotateKey",
        summary: "Give an API key a new secret",
        description:
          "The secret before stays valid for the grace; then there are two. During a grace only a rotation without one is possible.",
        params,
        body: RotateSchema,
        response: { 200: MadeKeySchema, ...problemResponses },
      },
    },
    async (request) => {
      const body = given(request.body);
      const graceMs = body.grace_seconds * 1_000;
      if (!(graceMs >= 0 && graceMs <= GRACE_MS_MAX))
        throw invalidField("grace_seconds", `grace_seconds must be from 0 to ${GRACE_MS_MAX / 1_000}`);
      const by = {
        manager: managerOf(callerOf(request)),
        idempotencyKey: idempotencyKeyOf(request, IDEMPOTENCY_CHARS_MAX),
        graceMs,
        reason: reasonOf(body),
      };
      const { key, secret } = await rotateKey(keyIdOf(request), by, keys, deadline());
      return { ...keyView({ key, lastUsedAt: undefined }, jobParts.clock.now()), secret };
    },
  );
  app.post(
    "/api/v1/keys/:id/revoke",
    {
      config: { permission: "keys.write" },
      schema: {
        tags,
        operationId: "revokeKey",
        summary: "End an API key for good",
        description: "All its secrets end at once, everywhere. Revoking a revoked key changes nothing.",
        params,
        body: RevokeSchema,
        response: { 200: KeySchema, ...problemResponses },
      },
    },
    async (request) => {
      const by = { manager: managerOf(callerOf(request)), reason: reasonOf(request.body) };
      const key = await revokeKey(keyIdOf(request), by, keys, deadline());
      return keyView({ key, lastUsedAt: undefined }, jobParts.clock.now());
    },
  );
}

function managerOf({ identity, tenant }: Caller): Manager {
  const { principal, role, roles, keyId, tenants, allowCrossTenant, actsForOthers } = identity;
  return {
    actor: { tenant: identity.tenant, principal, role, keyId },
    tenant,
    tenants,
    allTenants: allowCrossTenant,
    mayGive: (name) => mayGive(roles, name),
    mayLetActForOthers: actsForOthers || allowCrossTenant || roles.includes("admin"),
  };
}

function wishOf(body: Static<typeof WishSchema> | undefined | null, { tenant }: Caller, now: EpochMs): KeyWish {
  const { name, roles, tenants, all_tenants, principal_id, acts_for_others, expires_at } = given(body);
  const named = [...new Set(tenants ?? [tenant])];
  const shown = name.trim();
  if (!/^[^\p{Cc}\p{Cs}]+$/u.test(shown) || shown.length > NAME_CHARS_MAX)
    throw invalidField("name", `name must be 1 to ${NAME_CHARS_MAX} printable characters`);
  if (named.length === 0 || named.length > TENANTS_MAX || !named.every(isTenantName))
    throw invalidField("tenants", `tenants must be 1 to ${TENANTS_MAX} names of tenants`);
  const principal = principal_id?.trim() ?? "";
  if (principal !== "" && !isPrincipalName(principal))
    throw invalidField("principal_id", "principal_id must be at most 256 printable characters");
  return {
    name: shown,
    roles: rolesOf(roles),
    tenants: named,
    allTenants: all_tenants ?? false,
    principal,
    actsForOthers: acts_for_others ?? false,
    expiresAt: expiryOf(expires_at ?? "", now),
  };
}

function rolesOf(names: readonly string[]): readonly string[] {
  const roles = names.slice(0, ROLES.length * 2).map(parseRole);
  const known = roles.filter((role) => role !== undefined);
  if (known.length === 0 || known.length < names.length)
    throw invalidField("roles", `roles must be one or more of ${ROLES.join(", ")}`);
  return [...new Set(known)];
}

const RFC3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)$/;

function expiryOf(text: string, now: EpochMs): EpochMs | "never" {
  if (text === "") return "never";
  const at = RFC3339.test(text) ? Date.parse(text) : Number.NaN;
  if (!(at > now)) throw invalidField("expires_at", "expires_at must be an RFC 3339 time in the future");
  return at;
}

function reasonOf(body: { readonly reason?: string | null } | undefined | null): string {
  const reason = body?.reason ?? "";
  if (reason.length > REASON_CHARS_MAX)
    throw invalidField("reason", `reason is longer than ${REASON_CHARS_MAX} characters`);
  return reason;
}

function keyIdOf(request: FastifyRequest): string {
  return pathId(request.params, "id", "KEY_NOT_FOUND", "no such key");
}

function given<T>(body: T | undefined | null): T {
  if (body === undefined || body === null) throw invalidField("body", "a body is needed");
  return body;
}

function keyView({ key, lastUsedAt }: KeyView, now: EpochMs): Static<typeof KeySchema> {
  const { id, name, tenants, allTenants, roles, principal, actsForOthers, createdAt, createdBy, expiresAt, revokedAt } =
    key;
  return {
    id,
    name,
    tenants: [...tenants],
    all_tenants: allTenants,
    roles: [...roles],
    principal_id: principal,
    acts_for_others: actsForOthers,
    state: stateOf(key, now),
    created_at: timeOf(createdAt),
    created_by: createdBy.principal,
    ...(expiresAt === "never" ? {} : { expires_at: timeOf(expiresAt) }),
    ...(lastUsedAt === undefined ? {} : { last_used_at: timeOf(lastUsedAt) }),
    ...(revokedAt === "never" ? {} : { revoked_at: timeOf(revokedAt) }),
    secrets: validSecrets(key, now).map((secret) => ({
      created_at: timeOf(secret.createdAt),
      ...(secret.validUntil === "never" ? {} : { valid_until: timeOf(secret.validUntil) }),
    })),
  };
}

function stateOf(key: ManagedKey, now: EpochMs): "active" | "expired" | "revoked" {
  if (key.revokedAt !== "never") return "revoked";
  return isLive(key, now) ? "active" : "expired";
}

function timeOf(at: EpochMs): string {
  return new Date(at).toISOString();
}

function keySource(
  which: "live" | "ended",
  manager: Manager,
  { keys, signal }: { readonly keys: RouteParts["keys"]; readonly signal: AbortSignal },
): PageSource<KeyView> {
  const lead = KEY_INDEX[which];
  return {
    async read(after, limit) {
      const query = { which, limit, ...(after === undefined ? {} : { after }) };
      const { items, next } = await listKeys(query, manager, keys, signal);
      return { items, ...(next === undefined ? {} : { next: { lead, ...next } }) };
    },
    scoreOf: ({ key }) => (which === "live" || key.endedAt === "never" ? key.createdAt : key.endedAt),
    idOf: ({ key }) => key.id,
    leadByTime: lead,
  };
}
