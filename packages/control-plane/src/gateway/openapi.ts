// The description of the API, made from the schemas that the routes are checked with.
// Owns:          title, tags, how keys are presented, where the document is.
// Must not know: single routes.

import swagger from "@fastify/swagger";
import { Type } from "@fastify/type-provider-typebox";
import type { RouteOptions } from "fastify";
import type { App } from "./app.ts";
import { problemResponses } from "./http/schemas.ts";

export async function describeApi(app: App, version: string): Promise<void> {
  await app.register(swagger, {
    transform: ({ schema, url, route }) => ({
      schema: {
        ...schema,
        "x-permission": permissionOf(route),
        ...(route.config?.showsReferences === true ? { "x-shows-references": true } : {}),
      },
      // What is the rest of a path for the router has a name for the reader.
      url: url.replace(/\*$/, `:${route.config?.rest ?? "rest"}`),
    }),
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "Cordum API",
        version,
        description:
          "Submit governed jobs, follow them, answer approvals. Errors are application/problem+json; see docs/reference/problems.md.",
        license: { name: "Apache-2.0", identifier: "Apache-2.0" },
      },
      components: { securitySchemes: { apiKey: { type: "apiKey", in: "header", name: "X-API-Key" } } },
      security: [{ apiKey: [] }],
      tags: [
        { name: "jobs" },
        { name: "streams" },
        { name: "approvals" },
        { name: "dead letters" },
        { name: "workers" },
        { name: "locks" },
        { name: "artifacts" },
        { name: "memory" },
        { name: "config" },
        { name: "schemas" },
        { name: "keys" },
        { name: "status" },
        { name: "health" },
      ],
    },
  });
}

export function openapiRoute(app: App): void {
  let document: string | undefined;
  app.get(
    "/openapi.json",
    {
      config: { permission: "public", showsReferences: true },
      schema: {
        tags: ["status"],
        security: [],
        operationId: "getOpenApi",
        summary: "The description of this API, OpenAPI 3.1",
        response: { 200: Type.Unknown(), ...problemResponses },
      },
    },
    async (_, reply) => {
      document ??= JSON.stringify(app.swagger());
      return reply.type("application/json; charset=utf-8").send(document);
    },
  );
}

function permissionOf({ config }: RouteOptions): string {
  const permission = config?.permission;
  return permission === undefined || permission === "probe" ? "public" : permission;
}
