// Gateway and scheduler in one process, on whatever store and bus its settings name.
// Owns:          the policy and the settings of a measurement; on SQLite also the worker, which cannot be elsewhere.
// Must not know: who sends the load.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { environment } from "@cordum/control-plane/adapters/system/environment";
import { parseConfiguration } from "@cordum/control-plane/services/configuration";
import { startAllInOne } from "@cordum/control-plane/services/node";
import { createLog } from "@cordum/control-plane/telemetry/log";
import { serveNoOps } from "./no-op.ts";
import { answerParent, setting } from "./parent.ts";

const RULES = `version: v1
rules:
  - id: bench
    match: { topics: ["job.bench"] }
    decision: allow_with_constraints
    constraints: { budgets: { max_runtime_ms: 60000 } }
`;

const folder = await mkdtemp(join(tmpdir(), "cordum-bench-"));
const policyPath = join(folder, "policy.yaml");
await writeFile(policyPath, RULES);
const parsed = parseConfiguration({
  ...environment(),
  CORDUM_DATA_DIR: folder,
  GATEWAY_HTTP_ADDR: "127.0.0.1:0",
  GATEWAY_METRICS_ADDR: "off",
  CORDUM_API_KEYS: `default:${setting("BENCH_KEY")}:admin:bench`,
  SAFETY_POLICY_PATH: policyPath,
  CORDUM_OPEN_ROUTING: "true",
  API_RATE_LIMIT_RPS: "1000000",
  API_RATE_LIMIT_BURST: "1000000",
});
if (parsed.kind === "invalid") throw new Error(JSON.stringify(parsed.problems));
const log = createLog({ format: "text", level: "error", about: {} }, process.stderr, Date.now);
const running = await startAllInOne({ config: parsed.config, log });
const stop = async (): Promise<void> => {
  await running.drain();
  await rm(folder, { recursive: true, force: true });
};
if (setting("CORDUM_STATE") === "sqlite")
  await serveNoOps(() => Promise.resolve(running.connection()), {
    workers: Number(setting("BENCH_WORKERS")),
    slots: Number(setting("BENCH_SLOTS")),
  });
answerParent({ stop }, running.url);
