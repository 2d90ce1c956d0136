// The system under measurement: `cordum dev` in a process of its own, with a worker that does nothing.
// Owns:          starting it, counting jobs that ended, telling its own CPU time to the parent.
// Must not know: who sends the load.

import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { environment } from "@cordum/control-plane/adapters/system/environment";
import { JOB_NEWS_SUBJECT } from "@cordum/control-plane/jobs/announce";
import { parseConfiguration } from "@cordum/control-plane/services/configuration";
import { startAllInOne } from "@cordum/control-plane/services/node";
import { silentLog } from "@cordum/control-plane/telemetry/log";
import { serve, worker } from "@cordum/sdk";

const nothing = (): void => undefined;
const quiet = { debug: nothing, info: nothing, warn: nothing, error: nothing };
const ENDED = new Set(["SUCCEEDED", "FAILED", "CANCELLED", "TIMEOUT", "DENIED"]);

const folder = await mkdtemp(join(tmpdir(), "cordum-bench-"));
const policyPath = join(folder, "policy.yaml");
await writeFile(
  policyPath,
  'version: v1\nrules:\n  - { id: bench, match: { topics: ["job.bench"] }, decision: allow_with_constraints, constraints: { budgets: { max_runtime_ms: 60000 } } }\n',
);
const parsed = parseConfiguration({
  CORDUM_STATE: "sqlite",
  ...environment(),
  CORDUM_DATA_DIR: folder,
  GATEWAY_HTTP_ADDR: "127.0.0.1:0",
  GATEWAY_METRICS_ADDR: "off",
  CORDUM_API_KEYS: "default:bench-key:admin:bench",
  SAFETY_POLICY_PATH: policyPath,
  CORDUM_OPEN_ROUTING: "true",
  API_RATE_LIMIT_RPS: "1000000",
  API_RATE_LIMIT_BURST: "1000000",
});
if (parsed.kind === "invalid") throw new Error(JSON.stringify(parsed.problems));
const running = await startAllInOne({ config: parsed.config, log: silentLog() });
const connection = running.connection();
let ended = 0;
await connection.subscribe(JOB_NEWS_SUBJECT, undefined, (bytes) => {
  const { news } = JSON.parse(new TextDecoder().decode(bytes)) as { news: { state: string }[] };
  for (const { state } of news) if (ENDED.has(state)) ended++;
});
const slots = Number(environment().BENCH_SLOTS ?? "50");
await serve([worker({ topic: "job.bench", concurrency: slots, run: () => null })], {
  connection,
  workerId: "bench-worker",
  log: quiet,
});

process.on("message", (message) => {
  if (message === "stop") void running.drain().then(() => process.exit(0));
  else process.send?.({ ended, cpuMicros: process.cpuUsage(), rssBytes: process.memoryUsage.rss() });
});
process.send?.({ url: running.url });
