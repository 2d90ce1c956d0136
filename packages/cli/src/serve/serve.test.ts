import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, worker } from "@cordum/sdk";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type NatsServer, startNats } from "../../../control-plane/src/testing/nats-servers.ts";
import { type RedisServer, startRedis } from "../../../control-plane/src/testing/servers.ts";
import { type DevProcess, runCommand, startServe } from "../testing/dev-process.ts";

let home = "";
let nats: NatsServer;
let redis: RedisServer;
const running: DevProcess[] = [];

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "cordum-serve-"));
  writeFileSync(join(home, "policy.yaml"), "default_decision: allow\n");
  nats = await startNats();
  redis = await startRedis({ args: ["--requirepass", "hunter2"] });
});
afterEach(async () => {
  for (const each of running.splice(0)) {
    if (each.child.exitCode === null && each.child.signalCode === null) each.child.kill("SIGTERM");
    await each.ended;
  }
});
afterAll(async () => {
  await nats.stop();
  await redis.stop();
  rmSync(home, { recursive: true });
});

const environment = (more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({
  NATS_URL: nats.url,
  REDIS_URL: redis.url.replace("//", "//:hunter2@"),
  GATEWAY_HTTP_ADDR: "127.0.0.1:0",
  GATEWAY_METRICS_ADDR: "off",
  SCHEDULER_METRICS_ADDR: "127.0.0.1:0",
  ...more,
});
async function started(args: readonly string[], more: NodeJS.ProcessEnv = {}): Promise<DevProcess> {
  const process = await startServe(args, { cwd: home, env: environment(more) });
  running.push(process);
  return process;
}
const ends = (args: readonly string[], env: NodeJS.ProcessEnv) => runCommand(["serve", ...args], { cwd: home, env });

describe("cordum serve", () => {
  it("runs a gateway and a scheduler apart, tells where they connect and no password, and drains on the first signal", async () => {
    const key = "key-ada-0000000000";
    const scheduler = await started(["--roles", "scheduler"], { SAFETY_POLICY_PATH: "policy.yaml" });
    const gateway = await started(["--roles", "gateway"], { CORDUM_API_KEY: key });
    expect(scheduler.url).toBe("");
    const target = `${nats.url},${redis.url.replace("//", "//:hunter2@")}`;
    const nothing = () => undefined;
    const log = { debug: nothing, info: nothing, warn: nothing, error: nothing };
    const serving = await worker("job.echo", (input) => ({ echo: input })).start(target, { log });
    const client = new Client({ url: gateway.url, apiKey: key });
    const { job_id } = await client.submit({ topic: "job.echo", prompt: "p", context: 1 });
    expect(await client.wait(job_id, { timeoutMs: 15_000 })).toMatchObject({ state: "SUCCEEDED", result: { echo: 1 } });
    await serving.drain();

    const metrics = /"url":"([^"]+)"[^\n]*metrics\.listening/.exec(scheduler.said())?.[1];
    expect(await (await fetch(`${metrics}/readyz`)).json()).toMatchObject({ status: "ok" });
    for (const each of [gateway, scheduler]) {
      expect(each.said()).toContain(`"state":"Redis at ${redis.url}","bus":"NATS at ${nats.url}"`);
      expect(each.said()).not.toContain("hunter2");
      each.child.kill("SIGTERM");
      const { code, err } = await each.ended;
      expect({ code, last: err.trimEnd().split("\n").at(-1) }).toEqual({
        code: 0,
        last: expect.stringContaining("serve.stopped"),
      });
    }
  }, 60_000);

  it("says what is wrong, all at once, before it connects anywhere", async () => {
    const { code, out, err } = await ends([], { NATS_URL: "http://a", CORDUM_STAET: "x" });
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toContain("did you mean CORDUM_STATE?");
    expect(err).toMatch(/invalid configuration, 2 problems:\n {2}CORDUM_API_KEY .*\n {2}NATS_URL /);
    expect(await ends(["--roles", "gateway,worker"], {})).toMatchObject({
      code: 2,
      err: expect.stringContaining('--roles expects gateway, scheduler or both, got "worker"'),
    });
    expect(await ends(["--roles", "scheduler"], { CORDUM_STATE: "sqlite" })).toMatchObject({
      code: 2,
      err: expect.stringContaining("CORDUM_STATE  expected redis, because workers of other processes"),
    });
  }, 60_000);

  it("refuses servers that are not there or cannot keep what they are asked to keep", async () => {
    const alone = ["--roles", "scheduler"];
    const noStream = await ends(alone, environment({ NATS_USE_JETSTREAM: "1" }));
    expect(noStream).toMatchObject({ code: 1, err: expect.stringContaining("Start nats-server with --jetstream") });
    const noNats = await ends(alone, environment({ NATS_URL: "nats://127.0.0.1:1" }));
    expect(noNats).toMatchObject({ code: 1, err: expect.stringContaining("NATS at 127.0.0.1:1 cannot be reached") });
    const noKey = await ends(alone, environment({ REDIS_URL: redis.url }));
    expect(noKey).toMatchObject({ code: 1, err: expect.stringMatching(/NOAUTH.*\n.*\n?error: cannot start: Redis/) });
    await using evicting = await startRedis({ args: ["--maxmemory-policy", "allkeys-lru"] });
    const lossy = await ends(alone, environment({ REDIS_URL: evicting.url }));
    expect(lossy).toMatchObject({ code: 1, err: expect.stringContaining("noeviction") });
  }, 60_000);

  it("names the port that is taken", async () => {
    const first = await started([], { CORDUM_API_KEY: "k-0000000000" });
    const taken = environment({ CORDUM_API_KEY: "k", GATEWAY_HTTP_ADDR: new URL(first.url).host });
    const { code, err } = await ends([], taken);
    expect(code).toBe(1);
    expect(err).toMatch(/port \d+ is taken\n {2}GATEWAY_HTTP_ADDR/);
  }, 60_000);
});

describe("the names of the original's processes", () => {
  it("are the roles", async () => {
    const { default: manifest } = await import("../../package.json", { with: { type: "json" } });
    expect(Object.keys(manifest.bin)).toEqual(["cordum", "cordumctl", "cordum-api-gateway", "cordum-scheduler"]);
    const { execFile } = await import("node:child_process");
    const said = (bin: string) =>
      new Promise<string>((resolve) => {
        const { PATH = "" } = process.env;
        const path = new URL(`../../${bin}`, import.meta.url).pathname;
        const env = { PATH, NATS_URL: "nats://127.0.0.1:1", CORDUM_API_KEY: "k", REDIS_URL: redis.url };
        execFile(process.execPath, [path], { env }, (_error, _out, err) => resolve(err));
      });
    const [gateway, scheduler] = await Promise.all([
      said(manifest.bin["cordum-api-gateway"]),
      said(manifest.bin["cordum-scheduler"]),
    ]);
    expect(gateway).toContain('"roles":"gateway"');
    expect(scheduler).toContain('"roles":"scheduler"');
  }, 60_000);
});
