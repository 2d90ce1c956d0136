// The SDK of OpenTelemetry in a process of ours, as docs/operations.md installs and starts it: a collector gets the spans of a job.

import { rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { startNats } from "@cordum/control-plane/testing/nats-servers";
import { startRedis } from "@cordum/control-plane/testing/servers";
import { Client, serve, worker } from "@cordum/sdk";
import { afterAll, beforeAll, expect, it } from "vitest";
import { exportsOf } from "./documents/fleet.ts";
import { INSTALL_MS_MAX, installedBy } from "./documents/installed.ts";
import { blockOf } from "./documents/shell-blocks.ts";
import { Terminal } from "./documents/terminal.ts";

const KEY = "key-of-the-admin-0000";
const nothing = (): void => undefined;
const QUIET = { debug: nothing, info: nothing, warn: nothing, error: nothing };
const opened = new AsyncDisposableStack();
/** What the collector got, by path. */
const got = new Map<string, string>();
let client: Client;

beforeAll(async () => {
  const block = blockOf("docs/operations.md", "OTEL_EXPORTER_OTLP_ENDPOINT");
  const [install = "", ...rest] = block.trim().split("\n");
  const installed = installedBy(install, "npm to reach its registry");
  const terminal = opened.use(Terminal.open());
  rmSync(terminal.path("node_modules"));
  symlinkSync(join(installed, "node_modules"), terminal.path("node_modules"));
  writeFileSync(terminal.path("policy.yaml"), "version: v1\ndefault_decision: allow\n");
  const [nats, redis] = [opened.use(await startNats()), opened.use(await startRedis())];
  const settings = { NATS_URL: nats.url, REDIS_URL: redis.url, CORDUM_API_KEY: KEY, SAFETY_POLICY_PATH: "policy.yaml" };
  const addresses = { GATEWAY_HTTP_ADDR: "127.0.0.1:0", GATEWAY_METRICS_ADDR: "off" };
  terminal.set({
    ...settings,
    ...addresses,
    ...exportsOf(rest.join("\n").replace("http://collector:4318", await collect())),
  });
  // Soon, and without asking a cloud where it is.
  terminal.set({ OTEL_BSP_SCHEDULE_DELAY: "100", OTEL_NODE_RESOURCE_DETECTORS: "env" });
  const started = await terminal.start(rest.at(-1) ?? "", /^Cordum .* ready at/m);
  const url = /ready at (\S+) after/.exec(started.said())?.[1] ?? "";
  client = new Client({ url, apiKey: KEY });
  const traced = worker("job.traced", () => "done");
  const serving = await serve([traced], { url: `${nats.url},${redis.url}`, workerId: "traced-1", log: QUIET });
  opened.defer(() => serving.drain());
}, INSTALL_MS_MAX + 60_000);
afterAll(() => opened.disposeAsync());

async function collect(): Promise<string> {
  const server = createServer((request, response) => {
    const path = request.url ?? "";
    request.setEncoding("latin1");
    request.on("data", (chunk) => got.set(path, (got.get(path) ?? "") + chunk));
    request.on("end", () => response.end());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  opened.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

it("tells a collector of the request, the dispatch and the life of a job", async () => {
  const { job_id } = await client.submit({ topic: "job.traced", prompt: "p" });
  expect(await client.wait(job_id, { timeoutMs: 20_000 })).toMatchObject({ state: "SUCCEEDED" });
  const spans = () => got.get("/v1/traces") ?? "";
  for (const name of ["POST /api/v1/jobs", "dispatch job.traced", "job job.traced"])
    await expect.poll(spans, { timeout: 20_000 }).toContain(name);
  expect(spans()).toContain("cordum");
  expect(spans()).toContain(job_id);
}, 60_000);
