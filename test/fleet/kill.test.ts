// A fleet of real processes on JetStream and Redis, under load, while its parts are killed, frozen and taken away:
// every accepted job ends, exactly once, and no process gives up.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type NatsServer, startNats } from "@cordum/control-plane/testing/nats-servers";
import { freePort, type RedisServer, startRedis } from "@cordum/control-plane/testing/servers";
import type { JobDetail } from "@cordum/sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Crowd } from "./crowd.ts";
import { FleetProcess } from "./processes.ts";

const KEY = "key-ada-0000000000";
const TERMINAL = new Set(["SUCCEEDED", "FAILED", "CANCELLED", "TIMEOUT", "DENIED"]);
const OUTAGE_MS = 10_000;
const FROZEN_MS = 15_000;

describe.each(["bus", "key"] as const)("a fleet with workers by %s", (by) => {
  const opened = new AsyncDisposableStack();
  let nats: NatsServer;
  let redis: RedisServer;
  let urls: readonly string[];
  let gateways: readonly FleetProcess[];
  let schedulers: readonly FleetProcess[];
  let workers: readonly FleetProcess[];

  beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), "cordum-fleet-"));
    opened.defer(() => rm(folder, { recursive: true, force: true }));
    const [policy, timeouts] = [join(folder, "policy.yaml"), join(folder, "timeouts.yaml")];
    await writeFile(policy, "default_decision: allow\n");
    await writeFile(timeouts, "topics: { job.echo: { timeout_seconds: 60, max_retries: 5 } }\n");
    nats = opened.use(await startNats({ jetstream: true }));
    redis = opened.use(await startRedis({ appendonly: "always" }));
    const servers = { NATS_URL: nats.url, REDIS_URL: redis.url };
    const shared = {
      ...servers,
      NATS_USE_JETSTREAM: "true",
      SCHEDULER_METRICS_ADDR: "off",
      GATEWAY_METRICS_ADDR: "off",
    };
    const ports = [await freePort(), await freePort()];
    urls = ports.map((port) => `http://127.0.0.1:${port}`);
    const main = "../../packages/cli/src/main.ts";
    gateways = ports.map((port, n) => {
      const limits = { API_RATE_LIMIT_RPS: "100000", API_RATE_LIMIT_BURST: "100000" };
      const env = {
        ...shared,
        ...limits,
        CORDUM_API_KEYS: `acme:${KEY}:admin:ada`,
        GATEWAY_HTTP_ADDR: `127.0.0.1:${port}`,
      };
      return new FleetProcess({ name: `gateway ${n}`, file: main, args: ["serve", "--roles", "gateway"], env });
    });
    schedulers = [0, 1].map((n) => {
      const env = { ...shared, SAFETY_POLICY_PATH: policy, TIMEOUT_CONFIG_PATH: timeouts };
      return new FleetProcess({ name: `scheduler ${n}`, file: main, args: ["serve", "--roles", "scheduler"], env });
    });
    workers = [0, 1].map((n) => {
      const to = by === "bus" ? servers : { CORDUM_API_URL: urls[n] ?? "", CORDUM_API_KEY: KEY };
      const env = { ...to, WORKER_ID: `fleet-${n}` };
      return new FleetProcess({ name: `worker ${n}`, file: "../programs/fleet-worker.ts", args: [], env });
    });
    for (const each of all()) opened.use(each);
    // The first process makes the streams; the others find them.
    for (const each of all()) await each.start();
  }, 60_000);
  afterAll(() => opened.disposeAsync());

  const all = (): readonly FleetProcess[] => [...schedulers, ...gateways, ...workers];
  const crowd = (name: string, patienceMs: number): Crowd =>
    new Crowd({ urls, apiKey: KEY, topic: "job.echo", name, patienceMs });
  const expectAllEndedOnce = (jobs: readonly JobDetail[], count: number): void => {
    expect(new Set(jobs.map(({ id }) => id)).size).toBe(count);
    const bad = jobs.filter(({ state, steps = [] }) => {
      const ends = steps.filter((step) => TERMINAL.has(step.state));
      return state !== "SUCCEEDED" || ends.length !== 1;
    });
    expect(bad.map(({ id, state, steps }) => ({ id, state, steps }))).toEqual([]);
    expect(all().map(({ name, surprises }) => [name, surprises])).toEqual(all().map(({ name }) => [name, 0]));
  };
  const reached = async (one: Crowd, count: number): Promise<void> => {
    await expect.poll(() => one.accepted.size, { timeout: 30_000, interval: 5 }).toBeGreaterThanOrEqual(count);
  };
  const again = async (one: FleetProcess | undefined): Promise<void> => {
    await one?.kill();
    await one?.start();
  };

  it("loses nothing when parts of it are killed, and frozen", async () => {
    const jobs = crowd("kill", 3_000);
    const first = jobs.handIn(0, 600);
    await reached(jobs, 100);
    await again(schedulers[0]);
    await reached(jobs, 200);
    await again(gateways[0]);
    await reached(jobs, 400);
    await again(workers[0]);
    await first;
    const frozen = [schedulers[1], gateways[1], workers[1]];
    const second = jobs.handIn(600, 1_000, { pauseMs: 250 });
    await reached(jobs, 650);
    for (const each of frozen) each?.freeze();
    await new Promise((resolve) => setTimeout(resolve, FROZEN_MS));
    for (const each of frozen) each?.thaw();
    await second;
    expectAllEndedOnce(await jobs.ended(60_000), 1_000);
  }, 120_000);

  const outage = async (name: string, server: NatsServer | RedisServer): Promise<Crowd> => {
    const jobs = crowd(name, 10_000);
    const handing = jobs.handIn(0, 400, { pauseMs: 400 });
    await reached(jobs, 50);
    await server.kill();
    await new Promise((resolve) => setTimeout(resolve, OUTAGE_MS));
    expect((await fetch(`${urls[0]}/readyz`)).status).toBe(503);
    expect((await fetch(`${urls[0]}/livez`)).status).toBe(200);
    await server.restart();
    await handing;
    expectAllEndedOnce(await jobs.ended(60_000), 400);
    expect(jobs.withoutRetryAfter).toBe(0);
    return jobs;
  };

  it("says when to come back while Redis is away, and goes on afterwards", async () => {
    const { refusals } = await outage("redis", redis);
    expect([...refusals.keys()]).toEqual([503]);
  }, 120_000);

  it("goes on taking jobs while NATS is away, since the store has them, and runs them afterwards", async () => {
    const { refusals } = await outage("nats", nats);
    expect(refusals.size).toBe(0);
  }, 120_000);
});
