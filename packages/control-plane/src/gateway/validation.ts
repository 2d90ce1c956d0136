// Checking bodies against the schemas of routes.
// Owns:          compiling a schema; turning what is wrong into fields and reasons.
// Must not know: routes.
// Only bodies are checked here. Parts of paths and queries arrive as text; path.ts and query.ts read them.

import type { TSchema } from "@fastify/type-provider-typebox";
import type { FastifySchemaCompiler } from "fastify";
import { Compile } from "typebox/compile";
import { Fault } from "../ports/fault.ts";

const FIELD_CHARS_MAX = 200;

/** A wrong type is what the original calls `invalid json` (`invalid body` where the body is optional). */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  if (httpPart !== "body") return () => true;
  const compiled = Compile(schema);
  const says = Reflect.get(schema, "x-invalid") === "body" ? "invalid body" : "invalid json";
  return (value) => {
    // Undefined: no body at all. Whether that is allowed is said by the route's handler.
    if (value === undefined || compiled.Check(value)) return { value };
    const fields = new Map<string, string>();
    for (const { instancePath, message } of compiled.Errors(value)) {
      const path = instancePath.slice(1, FIELD_CHARS_MAX).replaceAll("/", ".");
      if (!fields.has(path)) fields.set(path, message);
    }
    return {
      error: new Fault("INVALID_REQUEST", says, {
        fields: [...fields].map(([path, reason]) => ({ field: path || "body", reason })),
      }),
    };
  };
};
