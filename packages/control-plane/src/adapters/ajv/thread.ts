// The thread in which schemas of strangers are compiled and used, so that none can stop the process.
// Owns:          one question after the other.
// Must not know: who asks, how long it may take. Imports only relative files and node:*, for it is loaded by path.

import { parentPort } from "node:worker_threads";
import { assert } from "../../ports/fault.ts";
import type { SchemaVerdict } from "../../ports/schema-judge.ts";
import { SchemaChecks } from "./check-schema.ts";

export interface ToThread {
  readonly schema: string;
  readonly json: Uint8Array | undefined;
}
export type FromThread = { readonly kind: "ready" } | { readonly kind: "judged"; readonly verdict: SchemaVerdict };

const port = parentPort;
assert(port !== null, "this file runs in a thread");
const checks = new SchemaChecks();
const send = (message: FromThread): void => port.postMessage(message);
port.on("message", ({ schema, json }: ToThread) => send({ kind: "judged", verdict: checks.judge(schema, json) }));
// What every first question would have to wait for: the schemas of schemas, compiled.
for (const dialect of ["https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-07/schema#"])
  checks.judge(JSON.stringify({ $schema: dialect, type: "object" }), Buffer.from("7"));
send({ kind: "ready" });
