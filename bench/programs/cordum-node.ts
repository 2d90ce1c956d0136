// Gateway, scheduler or both in one process, on whatever store and bus its settings name.
// Owns:          the policy and the settings of a measurement; on SQLite also the worker, which cannot be elsewhere.
// Must not know: who sends the load.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { environment } from "@cordum/control-plane/adapters/system/environment";
import type { Log } from "@cordum/control-plane/ports/telemetry";
import { parseConfiguration } from "@cordum/control-plane/services/configuration";
import { startNode } from "@cordum/control-plane/services/node";
import { ROLES } from "@cordum/control-plane/services/roles";
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
const roles = new Set(ROLES.filter((role) => setting("BENCH_ROLES").split(",").includes(role)));
const parsed = parseConfiguration(
  {
    ...environment(),
    CORDUM_DATA_DIR: folder,
    GATEWAY_HTTP_ADDR: "127.0.0.1:0",
    GATEWAY_METRICS_ADDR: "127.0.0.1:0",
    SCHEDULER_METRICS_ADDR: "127.0.0.1:0",
    CORDUM_API_KEYS: `default:${setting("BENCH_KEY")}:admin:bench`,
    SAFETY_POLICY_PATH: policyPath,
    CORDUM_OPEN_ROUTING: "true",
    API_RATE_LIMIT_RPS: "1000000",
    API_RATE_LIMIT_BURST: "1000000",
  },
  roles,
);
if (parsed.kind === "invalid") throw new Error(JSON.stringify(parsed.problems));
let metricsUrl = "";
const quiet = createLog({ format: "text", level: "error", about: {} }, process.stderr, Date.now);
const log: Log = {
  ...quiet,
  info: (event, fields) => {
    if (event === "metrics.listening") metricsUrl = String(fields?.url);
  },
};
const running = await startNode({ config: parsed.config, log, roles });
const stop = async (): Promise<void> => {
  await running.drain();
  await rm(folder, { recursive: true, force: true });
};
if (setting("CORDUM_STATE") === "sqlite")
  await serveNoOps(() => Promise.resolve(running.connection()), {
    workers: Number(setting("BENCH_WORKERS")),
    slots: Number(setting("BENCH_SLOTS")),
  });

/** As the metrics say it: nothing has to be added to the process under measurement. */
async function ended(): Promise<number> {
  const answer = await fetch(new URL("/metrics", metricsUrl));
  const text = await answer.text();
  if (!answer.ok) throw new Error(`/metrics answered ${answer.status}`);
  let sum = 0;
  for (const [, value] of text.matchAll(/^cordum_scheduler_jobs_completed_total\{[^}]*\} (\S+)$/gm))
    sum += Number(value);
  return sum;
}

answerParent({ stop, ended }, running.url);
