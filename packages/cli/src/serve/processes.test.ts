import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, worker } from "@cordum/sdk";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type NatsServer, startNats } from "../../../control-plane/src/testing/nats-servers.ts";
import { type RedisServer, startRedis } from "../../../control-plane/src/testing/servers.ts";
import { type DevProcess, runCommand, startServe } from "../testing/dev-process.ts";

const KEY = "key-ada-0000000000";
let home = "";
let nats: NatsServer;
let redis: RedisServer;
let running: DevProcess | undefined;

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "cordum-processes-"));
  writeFileSync(join(home, "policy.yaml"), "default_decision: allow\n");
  nats = await startNats();
  redis = await startRedis({});
});
afterEach(async () => {
  running?.child.kill("SIGTERM");
  await running?.ended;
  running = undefined;
});
afterAll(async () => {
  await nats.stop();
  await redis.stop();
  rmSync(home, { recursive: true });
});

const environment = (more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({
  NATS_URL: nats.url,
  REDIS_URL: redis.url,
  GATEWAY_HTTP_ADDR: "127.0.0.1:0",
  GATEWAY_METRICS_ADDR: "off",
  SAFETY_POLICY_PATH: "policy.yaml",
  CORDUM_API_KEY: KEY,
  ...more,
});
const ends = (args: readonly string[], more?: NodeJS.ProcessEnv) =>
  runCommand(["serve", ...args], { cwd: home, env: environment(more) });

/** Process ids by number, the latest of each. */
function pidsOf({ said }: DevProcess): ReadonlyMap<string, number> {
  const lines = said().matchAll(/"process":(\d+),"pid":(\d+),"event":"process\.started"/g);
  return new Map([...lines].map(([, number = "", pid]) => [number, Number(pid)]));
}
/** Requests that whoever answers has answered; each call is a connection of its own. */
async function answeredByOne(url: string): Promise<number> {
  const text = await (await fetch(new URL("/metrics", url), { headers: { connection: "close" } })).text();
  const counted = /^cordum_api_gateway_http_requests_total\{[^}]*route="\/api\/v1\/status"[^}]*\} (\d+)$/m.exec(text);
  return Number(counted?.[1] ?? 0);
}
function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe("cordum serve --processes", () => {
  it("serves from all of them at one address, starts one again that was killed, and drains all", async () => {
    running = await startServe(["--processes", "3"], { cwd: home, env: environment() });
    const { url, child, ended, said } = running;
    expect(said()).toMatch(/^Cordum gateway and scheduler ready at http:\S+ after [\d.]+ s in 3 processes$/m);
    const before = pidsOf(running);
    expect([...before.keys()]).toEqual(["1", "2", "3"]);

    const nothing = () => undefined;
    const log = { debug: nothing, info: nothing, warn: nothing, error: nothing };
    const serving = await worker("job.echo", (input) => ({ echo: input })).start(`${nats.url},${redis.url}`, { log });
    const answerFromAll = async (): Promise<void> => {
      for (let n = 0; n < 6; n++) {
        const client = new Client({ url, apiKey: KEY });
        const { job_id } = await client.submit({ topic: "job.echo", prompt: "p", context: n });
        expect(await client.wait(job_id, { timeoutMs: 15_000 })).toMatchObject({ result: { echo: n } });
      }
    };
    await answerFromAll();
    for (let n = 0; n < 12; n++)
      await fetch(new URL("/api/v1/status", url), { headers: { "x-api-key": KEY, connection: "close" } });
    const shares = [await answeredByOne(url), await answeredByOne(url), await answeredByOne(url)];
    expect(shares).toEqual([4, 4, 4]);

    process.kill(before.get("2") ?? 0, "SIGKILL");
    await expect.poll(() => said()).toMatch(/"process":2,"code":null,"signal":"SIGKILL",.*process\.ended/);
    await answerFromAll();
    await expect.poll(() => said()).toMatch(/"process":2,"event":"process\.ready"/);
    const after = pidsOf(running);
    expect(after.get("2")).not.toBe(before.get("2"));
    await answerFromAll();
    await serving.drain();

    child.kill("SIGTERM");
    expect(await ended).toMatchObject({ code: 0 });
    expect(said().match(/serve\.stopped/g)).toHaveLength(3);
    expect([...before.values(), ...after.values()].filter(isAlive)).toEqual([]);
  }, 90_000);

  it("says once why none can start", async () => {
    const { code, err } = await ends(["--processes", "2"], { NATS_URL: "nats://127.0.0.1:1" });
    expect(code).toBe(1);
    expect(err.match(/NATS at 127\.0\.0\.1:1 cannot be reached/g)).toHaveLength(1);
    expect(err).toContain("error: process 1 of 2 ended before it was ready");
  }, 60_000);

  it("refuses a number that means nothing, and ports for metrics that do not exist", async () => {
    const refused = async (count: string, more?: NodeJS.ProcessEnv) => {
      const { code, err } = await ends(["--processes", count], more);
      return { code, err: err.trimEnd().split("\n").at(-1) };
    };
    const range = "error: --processes expects a number from 1 to 64";
    expect(await refused("0")).toEqual({ code: 2, err: `${range}, got "0"` });
    expect(await refused("many")).toEqual({ code: 2, err: `${range}, got "many"` });
    expect(await refused("3", { GATEWAY_METRICS_ADDR: "127.0.0.1:65534" })).toEqual({
      code: 2,
      err: "error: the metrics of process 3 would be at port 65536; there is none above 65535",
    });
  }, 60_000);

  it("leaves no process behind when it is killed", async () => {
    running = await startServe(["--processes", "2"], { cwd: home, env: environment() });
    const pids = [...pidsOf(running).values()];
    expect(pids.filter(isAlive)).toHaveLength(2);
    running.child.kill("SIGKILL");
    await expect.poll(() => pids.filter(isAlive)).toEqual([]);
  }, 60_000);
});
