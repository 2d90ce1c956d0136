// A judge of schemas without a thread, for tests on virtual time.
// Owns:          nothing but the call.
// Must not know: limits: whoever uses it writes the schemas itself.

import type { SchemaJudge } from "../../ports/schema-judge.ts";
import { SchemaChecks } from "./check-schema.ts";

export function inlineJudge(): SchemaJudge {
  const checks = new SchemaChecks();
  return {
    judge: ({ schema, json }) => Promise.resolve(checks.judge(schema, json)),
    close: () => Promise.resolve(),
  };
}
