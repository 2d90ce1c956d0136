// Checking bodies against the schemas of routes.
// Owns:          compiling a schema; turning what is wrong into fields and reasons.
// Must not know: routes.
// Only bodies are checked here. Parts of paths and queries arrive as text; query.ts reads them.

import type { TSchema } from "@fastify/type-provider-typebox";
import type { FastifySchemaCompiler } from "fastify";
import { Compile } from "typebox/compile";
import { Fault } from "../ports/fault.ts";
import { bodyComplaint } from "./framework-fault.ts";

const FIELD_CHARS_MAX = 200;

/** A wrong type is what the original calls `invalid json` (`invalid body` where the body is optional). */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  if (httpPart !== "body") return () => true;
  const compiled = Compile(schema);
  const says = bodyComplaint(schema);
  return (value) => {
    // The framework says null for no body at all. Whether that is allowed is said by the route's handler.
    if (value === undefined || value === null || compiled.Check(value)) return { value };
    return { error: new Fault("INVALID_REQUEST", says, { fields: fieldsOf(compiled.Errors(value)) }) };
  };
};

/** One entry per field. That a member may also be null is not what anybody wants to read about it. */
function fieldsOf(
  errors: readonly { readonly instancePath: string; readonly keyword: string; readonly message: string }[],
) {
  const reasons = new Map<string, string>();
  for (const { instancePath, keyword, message } of errors) {
    const field = instancePath.slice(1, FIELD_CHARS_MAX).replaceAll("/", ".") || "body";
    if (keyword !== "anyOf" && message !== "must be null" && !reasons.has(field)) reasons.set(field, message);
  }
  return [...reasons].map(([field, reason]) => ({ field, reason }));
}
