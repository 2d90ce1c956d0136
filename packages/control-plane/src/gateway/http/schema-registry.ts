// The registry of schemas over HTTP.
// Owns:          registering, reading, listing and removing; ids with slashes in paths.
// Must not know: what schemas are for.
// An id is the rest of the path, escaped or not: older clients send the slash as it is.

import { Type } from "@fastify/type-provider-typebox";
import type { FastifyRequest } from "fastify";
import { Fault, invalidField } from "../../ports/fault.ts";
import type { Json, JsonObject } from "../../ports/json.ts";
import { parseSchemaId, type SchemaAddress } from "../../schemas/schema.ts";
import {
  type By,
  listSchemas,
  loadSchema,
  registerSchema,
  removeSchema,
  type SchemaParts,
} from "../../schemas/use-schemas.ts";
import type { App } from "../app.ts";
import { actorOf } from "../identity.ts";
import { mayDo } from "../permissions.ts";
import { queryLimit, queryText } from "../query.ts";
import { callerOf, type RouteParts } from "./route-parts.ts";
import { maybe, problemResponses } from "./schemas.ts";

const AnySchema = Type.Record(Type.String(), Type.Unknown(), { description: "JSON Schema." });
const scopeText = "`system`: the installation's, which every tenant finds where it has none of its own.";
const Scope = Type.Object({ scope: Type.Optional(Type.String({ description: scopeText })) });
const RegisterSchema = Type.Object({
  id: maybe(Type.String({ description: "For instance `<pack>/<Name>`." })),
  schema: Type.Optional(Type.Unknown({ description: "JSON Schema: an object." })),
  scope: maybe(Type.String({ description: scopeText })),
});
const LIST_PRESET = 100;
const tags = ["schemas"];

export function schemaRoutes(app: App, parts: RouteParts): void {
  registerRoute(app, parts);
  listRoute(app, parts);
  readRoute(app, parts);
  removeRoute(app, parts);
}

function registerRoute(app: App, parts: RouteParts): void {
  app.post(
    "/api/v1/schemas",
    {
      config: { permission: "schemas.write" },
      schema: {
        tags,
        operationId: "registerSchema",
        summary: "Register a JSON Schema",
        description:
          "Draft 6, draft 7, 2019-09 or 2020-12 (the preset), up to 64 KiB. What cannot be compiled is refused. An id that is there already is replaced.",
        body: RegisterSchema,
        response: { 204: Type.Null(), ...problemResponses },
      },
    },
    async (request, reply) => {
      const { body } = request;
      if (body === undefined || body === null) throw invalidField("body", "a JSON object is required");
      const address = addressFor(request, body.scope ?? "", parseSchemaId(body.id ?? ""), parts);
      await registerSchema(address, schemaIn(body.schema), byOf(request), schemaParts(parts), parts.deadline());
      return reply.code(204).send(null);
    },
  );
}

function listRoute(app: App, parts: RouteParts): void {
  app.get(
    "/api/v1/schemas",
    {
      config: { permission: "schemas.read" },
      schema: {
        tags,
        operationId: "listSchemas",
        summary: "Ids of schemas, registered last first",
        description: "The tenant's own and the installation's.",
        querystring: Type.Object({ limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500 })) }),
        response: { 200: Type.Object({ schemas: Type.Array(Type.String()) }), ...problemResponses },
      },
    },
    async (request) => {
      const query = { owner: callerOf(request).tenant, limit: queryLimit(request.query, LIST_PRESET) };
      return { schemas: [...(await listSchemas(query, schemaParts(parts), parts.deadline()))] };
    },
  );
}

function readRoute(app: App, parts: RouteParts): void {
  app.get(
    "/api/v1/schemas/*",
    {
      config: { permission: "schemas.read", rest: "schema_id", showsReferences: true },
      schema: {
        tags,
        operationId: "getSchema",
        summary: "One schema: the tenant's own, else the installation's",
        response: { 200: Type.Object({ id: Type.String(), schema: AnySchema }), ...problemResponses },
      },
    },
    async (request) => {
      const address = { owner: callerOf(request).tenant, id: idIn(request) };
      const { id, schema } = await loadSchema(address, schemaParts(parts), parts.deadline());
      return { id, schema: { ...schema } };
    },
  );
}

function removeRoute(app: App, parts: RouteParts): void {
  app.delete(
    "/api/v1/schemas/*",
    {
      config: { permission: "schemas.write", rest: "schema_id" },
      schema: {
        tags,
        operationId: "deleteSchema",
        summary: "Remove a schema",
        description: "Removing what is not there is no error.",
        querystring: Scope,
        response: { 204: Type.Null(), ...problemResponses },
      },
    },
    async (request, reply) => {
      const address = addressFor(request, queryText(request.query, "scope"), idIn(request), parts);
      await removeSchema(address, byOf(request), schemaParts(parts), parts.deadline());
      return reply.code(204).send(null);
    },
  );
}

function schemaParts({ jobParts }: RouteParts): SchemaParts {
  const { state, clock, judge, schemas, settings } = jobParts;
  const forget = (address: SchemaAddress): void => schemas.forget(address);
  return { state, clock, judge, forget, storeTimeoutMs: settings.storeTimeoutMs };
}

/** Faults: INVALID_REQUEST, FORBIDDEN, TENANT_FORBIDDEN. The installation's are changed by those who change its configuration. */
function addressFor(request: FastifyRequest, scope: string, id: string, { settings }: RouteParts): SchemaAddress {
  const { identity, tenant } = callerOf(request);
  if (scope === "" || scope === "tenant") return { owner: tenant, id };
  if (scope !== "system") throw invalidField("scope", "scope must be tenant or system");
  if (!mayDo(identity.roles, "config.system")) throw new Fault("FORBIDDEN", "schemas of scope system are for admins");
  if (!identity.allowCrossTenant && tenant !== settings.operatorTenant)
    throw new Fault("TENANT_FORBIDDEN", "scope system is changed by the tenant that operates the installation");
  return { owner: "", id };
}

/** An id that cannot be is answered like one that is not. */
function idIn(request: FastifyRequest): string {
  try {
    return parseSchemaId(queryText(request.params, "*"));
  } catch (error) {
    if (error instanceof Fault) throw new Fault("SCHEMA_NOT_FOUND", "schema not found", { cause: error });
    throw error;
  }
}

function byOf(request: FastifyRequest): By {
  const caller = callerOf(request);
  return { actor: actorOf(caller), tenant: caller.tenant };
}

function schemaIn(value: unknown): JsonObject {
  const schema = value as Json | undefined; // what the parser of bodies has made
  if (typeof schema === "object" && schema !== null && !Array.isArray(schema)) return schema as JsonObject;
  throw invalidField("schema", "schema must be a JSON object");
}
