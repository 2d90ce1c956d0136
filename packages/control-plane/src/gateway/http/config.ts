// Configuration over HTTP.
// Owns:          one document, in the form of either generation of clients; changing and removing it; the effective view.
// Must not know: what configuration does.
// Older clients get whole documents and replace them. Later ones, which name their tenant in a header, get the data alone and merge; so does
// whoever uses PUT or sends a body without a scope. An entity tag or a revision in If-Match guards a change.

import { Type } from "@fastify/type-provider-typebox";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Static } from "typebox";
import { addressOf, type ConfigAddress, type ConfigDocument, isJsonObject, parseScope } from "../../config/document.ts";
import type { EffectiveView } from "../../config/effective.ts";
import {
  type By,
  type ConfigParts,
  entityTagOf,
  loadConfig,
  mergeConfig,
  removeConfig,
  replaceConfig,
  type SeenDocument,
  viewConfig,
} from "../../config/use-config.ts";
import { Fault, invalidField } from "../../ports/fault.ts";
import type { Json, JsonObject } from "../../ports/json.ts";
import type { App } from "../app.ts";
import { actorOf, resolveTenant } from "../identity.ts";
import { mayDo } from "../permissions.ts";
import { queryText } from "../query.ts";
import { callerOf, type RouteParts } from "./route-parts.ts";
import { problemResponses } from "./schemas.ts";

const DataSchema = Type.Record(Type.String(), Type.Unknown());
const DocumentSchema = Type.Object({
  scope: Type.String(),
  scope_id: Type.String(),
  data: Type.Union([DataSchema, Type.Null()]),
  revision: Type.Integer(),
  updated_at: Type.String({ description: "RFC 3339." }),
  updated_by: Type.String({ description: "Principal." }),
  meta: Type.Optional(Type.Record(Type.String(), Type.String())),
});
const ViewSchema = Type.Object({
  version: Type.String({ description: "The revision of each layer; 0: there is none." }),
  hash: Type.String({ description: "SHA-256 of the canonical JSON of `data`." }),
  data: DataSchema,
});
const Address = Type.Object({
  scope: Type.Optional(Type.String({ description: "system (default), org, team, workflow or step." })),
  scope_id: Type.Optional(Type.String()),
});
/** A document with its address, or members of system/default. */
const ChangeSchema = Type.Record(Type.String(), Type.Unknown(), {
  description:
    "`{scope, scope_id, data, meta}`: replaces the document, or merges for PUT and for requests that name their tenant in a header. Without `scope`: members of system/default to merge.",
});
const IF_MATCH_CHARS_MAX = 128;
const tags = ["config"];

export function configRoutes(app: App, parts: RouteParts): void {
  readRoute(app, parts);
  changeRoutes(app, parts);
  removeRoute(app, parts);
  viewRoute(app, parts);
}

function readRoute(app: App, parts: RouteParts): void {
  app.get(
    "/api/v1/config",
    {
      config: { permission: "config.read", showsReferences: true },
      schema: {
        tags,
        operationId: "getConfig",
        summary: "One config document",
        description:
          "For requests that name their tenant in a header the data alone, unless `envelope=true`. Documents of scope system need the right `config.system`.",
        querystring: Type.Object({ ...Address.properties, envelope: Type.Optional(Type.Boolean()) }),
        response: { 200: Type.Union([DocumentSchema, DataSchema]), ...problemResponses },
      },
    },
    async (request, reply) => {
      const caller = callerOf(request);
      const address = addressFor(request, queryText(request.query, "scope"), queryText(request.query, "scope_id"));
      refuseSystemTo(request, address);
      const isFlat = caller.namesTenant && queryText(request.query, "envelope") !== "true";
      try {
        const seen = await loadConfig(address, configParts(parts), parts.deadline());
        reply.header("etag", entityTagOf(seen));
        return isFlat ? { ...seen.record.data } : documentView(seen.record);
      } catch (error) {
        const isEmptyDefault = isFlat && address.scope === "system" && address.scopeId === "default";
        if (isEmptyDefault && error instanceof Fault && error.code === "CONFIG_NOT_FOUND") return {};
        throw error;
      }
    },
  );
}

function changeRoutes(app: App, parts: RouteParts): void {
  for (const [method, operationId] of [
    ["POST", "replaceConfig"],
    ["PUT", "mergeConfig"],
  ] as const) {
    app.route({
      method,
      url: "/api/v1/config",
      config: { permission: "config.write" },
      schema: {
        tags,
        operationId,
        summary: method === "POST" ? "Replace a config document" : "Merge into a config document",
        description: "If-Match: an entity tag or a revision that must still be there; 0: nothing must be there.",
        body: ChangeSchema,
        response: { 204: Type.Null(), ...problemResponses },
      },
      handler: async (request, reply) => answerChange(reply, await change(request, method, parts)),
    });
  }
}

async function change(request: FastifyRequest, method: "POST" | "PUT", parts: RouteParts): Promise<SeenDocument> {
  const body = objectOf(request.body);
  if (Object.keys(body).length === 0) throw invalidField("scope", "scope required");
  const isFlat = typeof own(body, "scope") !== "string";
  const address = isFlat
    ? addressFor(request, "system", "")
    : addressFor(request, textOf(body, "scope"), textOf(body, "scope_id"), true);
  refuseSystemFor(request, address, parts);
  const expected = ifMatch(request);
  const by = byOf(request);
  const use = configParts(parts);
  const data = isFlat ? body : dataOf(body);
  const meta = isFlat ? {} : metaOf(body);
  const merges = isFlat || method === "PUT" || callerOf(request).namesTenant;
  return merges
    ? mergeConfig(address, { data: data ?? {}, meta }, expected, by, use, parts.deadline())
    : replaceConfig(address, { data, meta }, expected, by, use, parts.deadline());
}

function answerChange(reply: FastifyReply, seen: SeenDocument): FastifyReply {
  return reply.code(204).header("etag", entityTagOf(seen)).send(null);
}

function removeRoute(app: App, parts: RouteParts): void {
  app.delete(
    "/api/v1/config",
    {
      config: { permission: "config.write" },
      schema: {
        tags,
        operationId: "deleteConfig",
        summary: "Remove a config document",
        description: "Removing what is not there is no error, unless If-Match expects something.",
        querystring: Address,
        response: { 204: Type.Null(), ...problemResponses },
      },
    },
    async (request, reply) => {
      const scope = queryText(request.query, "scope");
      if (scope === "") throw invalidField("scope", "scope required");
      const address = addressFor(request, scope, queryText(request.query, "scope_id"));
      refuseSystemFor(request, address, parts);
      await removeConfig(address, ifMatch(request), byOf(request), configParts(parts), parts.deadline());
      return reply.code(204).send(null);
    },
  );
}

function viewRoute(app: App, parts: RouteParts): void {
  app.get(
    "/api/v1/config/effective",
    {
      config: { permission: "config.effective" },
      schema: {
        tags,
        operationId: "getEffectiveConfig",
        summary: "What is configured for jobs of a tenant, team, workflow and step, all layers merged",
        querystring: Type.Object({
          org_id: Type.Optional(Type.String({ description: "Tenant." })),
          team_id: Type.Optional(Type.String()),
          workflow_id: Type.Optional(Type.String()),
          step_id: Type.Optional(Type.String()),
        }),
        response: { 200: ViewSchema, ...problemResponses },
      },
    },
    async (request): Promise<EffectiveView> => {
      const { query } = request;
      const subject = {
        tenant: resolveTenant(callerOf(request), queryText(query, "org_id")),
        team: queryText(query, "team_id"),
        workflow: queryText(query, "workflow_id"),
        step: queryText(query, "step_id"),
      };
      return viewConfig(subject, configParts(parts), parts.deadline());
    },
  );
}

function configParts({ jobParts }: RouteParts): ConfigParts {
  const { state, bus, clock, log, configs, settings } = jobParts;
  const forget = (address: ConfigAddress): void => configs.forget(address);
  return { state, bus, clock, log, forget, storeTimeoutMs: settings.storeTimeoutMs };
}

/** Faults: INVALID_REQUEST, TENANT_FORBIDDEN. */
function addressFor(request: FastifyRequest, scope: string, scopeId: string, isNamed = false): ConfigAddress {
  const trimmed = scope.trim();
  if (isNamed && trimmed === "") throw invalidField("scope", "scope required");
  const parsed = parseScope(trimmed);
  if (parsed === undefined) throw invalidField("scope", "scope must be system, org, team, workflow or step");
  const caller = callerOf(request);
  const id = scopeId.trim();
  return addressOf(parsed, id, parsed === "org" ? resolveTenant(caller, id) : caller.tenant);
}

function refuseSystemTo(request: FastifyRequest, { scope }: ConfigAddress): void {
  if (scope === "system" && !mayDo(callerOf(request).identity.roles, "config.system"))
    throw new Fault("FORBIDDEN", "documents of scope system are for admins");
}

/** What is configured for the installation holds for all tenants: its own people change it, or those who may work for any tenant. */
function refuseSystemFor(request: FastifyRequest, { scope }: ConfigAddress, { settings }: RouteParts): void {
  if (scope !== "system") return;
  refuseSystemTo(request, { tenant: "", scope, scopeId: "" });
  const { identity, tenant } = callerOf(request);
  if (!identity.allowCrossTenant && tenant !== settings.operatorTenant)
    throw new Fault("TENANT_FORBIDDEN", "scope system is changed by the tenant that operates the installation");
}

function ifMatch(request: FastifyRequest): string {
  const tag = (request.headers["if-match"] ?? "").trim();
  if (tag.length > IF_MATCH_CHARS_MAX)
    throw invalidField("If-Match", `If-Match is longer than ${IF_MATCH_CHARS_MAX} characters`);
  return tag;
}

function byOf(request: FastifyRequest): By {
  const caller = callerOf(request);
  return { actor: actorOf(caller), tenant: caller.tenant };
}

type Body = { readonly [name: string]: unknown };

function objectOf(body: unknown): JsonObject {
  const value = body as Json | undefined; // what the parser of bodies has made
  if (!isJsonObject(value)) throw invalidField("body", "a JSON object is required");
  return value;
}

function own(body: Body, name: string): unknown {
  return Object.hasOwn(body, name) ? (body[name] ?? undefined) : undefined;
}

function textOf(body: Body, name: string): string {
  const value = own(body, name);
  if (value !== undefined && typeof value !== "string") throw invalidField(name, `${name} must be a text`);
  return value ?? "";
}

function dataOf(body: JsonObject): JsonObject | null {
  const data = Object.hasOwn(body, "data") ? (body.data ?? null) : null;
  if (data !== null && !isJsonObject(data)) throw invalidField("data", "data must be an object or null");
  return data;
}

function metaOf(body: JsonObject): Static<typeof MetaSchema> {
  const meta = Object.hasOwn(body, "meta") ? (body.meta ?? {}) : {};
  const texts = isJsonObject(meta) ? Object.entries(meta).map(([name, value]) => [name, value] as const) : undefined;
  if (texts === undefined) throw invalidField("meta", "meta must be an object of texts");
  return Object.fromEntries(
    texts.map(([name, value]) => {
      if (typeof value !== "string") throw invalidField(`meta.${name}`, "meta must be an object of texts");
      return [name, value];
    }),
  );
}

const MetaSchema = Type.Record(Type.String(), Type.String());

function documentView(document: ConfigDocument): Static<typeof DocumentSchema> {
  const { scope, scopeId, data, revision, updatedAt, updatedBy, meta } = document;
  return {
    scope,
    scope_id: scopeId,
    data: data === null ? null : { ...data },
    revision,
    updated_at: new Date(updatedAt).toISOString(),
    updated_by: updatedBy,
    ...(Object.keys(meta).length === 0 ? {} : { meta: { ...meta } }),
  };
}
