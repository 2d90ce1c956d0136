// Pools and timeouts change while jobs wait and run: a control plane in its production composition, workers of the SDK, real files.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, type Serving, serve, worker } from "@cordum/sdk";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type Notebook, notebook } from "../testing/scene-ports.ts";
import { parseConfiguration } from "./configuration.ts";
import { type RunningAllInOne, startAllInOne } from "./node.ts";

const API_KEY = "key-of-a-test-000";
const nothing = (): void => undefined;
const QUIET = { debug: nothing, info: nothing, warn: nothing, error: nothing };
const POOLS = { pools: "POOL_CONFIG_PATH", timeouts: "TIMEOUT_CONFIG_PATH" } as const;

let folder: string;
let notes: Notebook;
let running: RunningAllInOne;
let client: Client;
let opened: AsyncDisposableStack;

const place = (name: string): string => join(folder, `${name}.yaml`);
const poolsOf = (pool: string) => `topics: { job.work: ${pool}, job.slow: ${pool} }\npools: { one: {}, two: {} }\n`;
const timeoutsOf = (seconds: number) => `topics: { job.slow: { timeout_seconds: ${seconds} } }\n`;

/** Writes a file that is followed, and waits until it was looked at. */
async function rewrite(file: keyof typeof POOLS, event: "file.used" | "file.refused", text: string): Promise<void> {
  const count = (): number =>
    notes.said.filter((one) => one.event === event && one.fields.setting === POOLS[file]).length;
  const before = count();
  await writeFile(place(file), text);
  await expect.poll(count).toBeGreaterThan(before); // once more where it was looked at half written
}

beforeEach(async () => {
  opened = new AsyncDisposableStack();
  notes = notebook();
  folder = await mkdtemp(join(tmpdir(), "cordum-reload-"));
  opened.defer(() => rm(folder, { recursive: true, force: true }));
  await writeFile(place("policy"), "version: v1\ndefault_decision: allow\n");
  await writeFile(place("pools"), poolsOf("one"));
  await writeFile(place("timeouts"), timeoutsOf(60));
  const parsed = parseConfiguration({
    GATEWAY_HTTP_ADDR: "127.0.0.1:0",
    GATEWAY_METRICS_ADDR: "off",
    CORDUM_API_KEY: API_KEY,
    CORDUM_STATE: "memory",
    API_RATE_LIMIT_RPS: "10000",
    API_RATE_LIMIT_BURST: "10000",
    SAFETY_POLICY_PATH: place("policy"),
    POOL_CONFIG_PATH: place("pools"),
    TIMEOUT_CONFIG_PATH: place("timeouts"),
    CORDUM_OPEN_ROUTING: "false",
    SCHEDULER_CONFIG_RELOAD_INTERVAL: "100ms",
  });
  if (parsed.kind === "invalid") throw new Error(JSON.stringify(parsed.problems));
  running = await startAllInOne({ config: parsed.config, log: notes.log });
  opened.defer(() => running.drain());
  client = new Client({ url: running.url, apiKey: API_KEY });
});
afterEach(() => opened.disposeAsync());

async function work(pool: string, done: Promise<unknown> = Promise.resolve(pool)): Promise<Serving> {
  const definitions = ["job.work", "job.slow"].map((topic) => worker({ topic, run: () => done, concurrency: 50 }));
  const ends = { drainTimeoutMs: 50, stopGraceMs: 50 };
  const options = { connection: running.connection(), workerId: `in-${pool}`, pool, log: QUIET, ...ends };
  const serving = await serve(definitions, options);
  opened.defer(() => serving.drain());
  return serving;
}
const submit = async (topic: string): Promise<string> => (await client.submit({ topic, prompt: "p" })).job_id;

it("loses no job: what waits moves, what runs ends where it is, what comes goes by the new files; a bad file changes nothing", async () => {
  let finish: (value: unknown) => void = nothing;
  await work("one", new Promise((resolve) => (finish = resolve)));
  const out = await Promise.all(Array.from({ length: 20 }, () => submit("job.work")));
  await expect.poll(async () => (await client.get(out.at(-1) ?? "")).state).toBe("RUNNING");
  await rewrite("pools", "file.used", poolsOf("two"));
  const moved = await Promise.all(Array.from({ length: 20 }, () => submit("job.work")));
  expect((await client.get(moved[0] ?? "")).state).toBe("SCHEDULED");
  await rewrite("pools", "file.refused", "topics: 5");
  await work("two");
  for (const id of moved) expect(await client.wait(id)).toMatchObject({ state: "SUCCEEDED", result: "two" });
  finish("one");
  for (const id of out) expect(await client.wait(id)).toMatchObject({ state: "SUCCEEDED", result: "one", attempts: 1 });
}, 60_000);

it("honours the deadline of what runs, and gives the new one to what comes", async () => {
  await work("one", new Promise(nothing));
  const before = await submit("job.slow");
  await expect.poll(async () => (await client.get(before)).state).toBe("RUNNING");
  await rewrite("timeouts", "file.used", timeoutsOf(1));
  const after = await submit("job.slow");
  expect(await client.wait(after, { timeoutMs: 20_000 })).toMatchObject({
    state: "TIMEOUT",
    error_code: "running_timeout",
  });
  expect((await client.get(before)).state).toBe("RUNNING");
}, 60_000);
