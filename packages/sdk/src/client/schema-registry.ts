// Calls about the registry of schemas.
// Owns:          which of them go to which route.
// Must not know: what a schema says.

import { type CallOptions, sending } from "./calling.ts";
import type { Call } from "./http.ts";
import { objectOf, parseJson, withText } from "./parse.ts";
import { CordumError } from "./problem.ts";

export interface RegisteredSchema {
  readonly id: string;
  readonly schema: { readonly [name: string]: unknown };
}
export interface SchemaOptions extends CallOptions {
  /** `system`: the installation's, which every tenant finds that has none of that id. */
  readonly scope?: "tenant" | "system";
}

const ROUTE = "/api/v1/schemas";

export function schemaCalls(send: (call: Call) => Promise<string>) {
  return {
    /** Ids, registered last first. */
    list: async (options: CallOptions & { readonly limit?: number } = {}): Promise<readonly string[]> => {
      const query = { limit: options.limit };
      const { schemas } = objectOf(parseJson(await send({ method: "GET", path: ROUTE, query, ...sending(options) })));
      if (Array.isArray(schemas) && schemas.every((id) => typeof id === "string")) return schemas;
      const title = "The answer is not what this API sends";
      const detail = "the answer holds no list of ids";
      throw new CordumError({ status: 200, code: "RESPONSE_INVALID", title, detail, retryable: false });
    },
    get: async (id: string, options: CallOptions = {}): Promise<RegisteredSchema> =>
      withText<RegisteredSchema>(parseJson(await send({ method: "GET", path: pathOf(id), ...sending(options) })), "id"),
    /** Replaces the one of this id. SCHEMA_INVALID when it cannot be used. */
    register: async (id: string, schema: object, options: SchemaOptions = {}): Promise<void> => {
      const body = { id, schema, scope: options.scope };
      await send({ method: "POST", path: ROUTE, body, ...sending(options) });
    },
    /** One that is not there is no error. */
    remove: async (id: string, options: SchemaOptions = {}): Promise<void> => {
      const query = { scope: options.scope };
      await send({ method: "DELETE", path: pathOf(id), query, ...sending(options) });
    },
  };
}

/** Parts of ids are parts of the path. */
function pathOf(id: string): string {
  const parts = id.split("/");
  if (parts.some((part) => part === "" || part === "." || part === "..")) throw new TypeError(`"${id}" is not an id`);
  return `${ROUTE}/${parts.map(encodeURIComponent).join("/")}`;
}
