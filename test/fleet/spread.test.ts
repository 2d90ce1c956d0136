// Many schedulers share workers without a leader: nobody stalls, nobody is flooded, the work is spread.
// The bound: schedulers that know of each other never have more out with a worker than it has slots. While one comes or goes it may be
// more, by one share at most (packages/control-plane/src/scheduling/placers.ts, Z2); here all are there before the first job.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { PLACER_TTL_MS } from "@cordum/control-plane/scheduling/placers";
import type { Role } from "@cordum/control-plane/services/roles";
import type { NatsServer } from "@cordum/control-plane/testing/nats-servers";
import { Client } from "@cordum/sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startNodes } from "./nodes.ts";
import { RawWorker, STATUS } from "./raw-worker.ts";
import { startServers } from "./servers.ts";

/** Counts what it has in hand, and takes whatever it is sent. */
class Counter {
  total = 0;
  now = 0;
  most = 0;

  async take(until: Promise<unknown>): Promise<void> {
    this.total++;
    this.most = Math.max(this.most, ++this.now);
    await until;
    this.now--;
  }
}

const BOTH = ["gateway", "scheduler"] as const;
const TOPOLOGIES: readonly (readonly [string, readonly (readonly Role[])[]])[] = [
  ["beside their gateways", [BOTH, BOTH, BOTH, BOTH]],
  ["behind one gateway", [["gateway"], ["scheduler"], ["scheduler"], ["scheduler"], ["scheduler"]]],
];

describe.each(TOPOLOGIES)("four schedulers %s", (_, roles) => {
  const opened = new AsyncDisposableStack();
  let at: { readonly nats: string; readonly redis: string };
  let clients: readonly Client[];
  let nats: NatsServer | undefined;

  beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), "cordum-spread-"));
    opened.defer(() => rm(folder, { recursive: true, force: true }));
    const [policy, pools] = [join(folder, "policy.yaml"), join(folder, "pools.yaml")];
    await writeFile(policy, "default_decision: allow\n");
    await writeFile(pools, "topics: { job.one: one, job.ten: ten }\n");
    const servers = opened.use(await startServers({ state: "Redis", bus: "NATS" }, folder));
    const { env } = servers;
    nats = servers.nats;
    at = { nats: env.NATS_URL ?? "", redis: env.REDIS_URL ?? "" };
    const files = { SAFETY_POLICY_PATH: policy, POOL_CONFIG_PATH: pools };
    const { running, urls } = opened.use(await startNodes(roles, { ...env, ...files }));
    clients = urls.map((url) => new Client({ url, apiKey: "key-ops-0000000000", timeoutMs: 30_000 }));
    expect(running).toHaveLength(roles.length);
  });
  afterAll(() => opened.disposeAsync());

  const counting = async (name: string, pool: string, capacity: number, work: () => Promise<unknown>) => {
    const counter = new Counter();
    const worker = await RawWorker.start(at, {
      id: name,
      pool,
      capacity,
      subjects: [{ subject: `worker.${name}.jobs`, group: name }],
      run: async () => {
        await counter.take(work());
        return { status: STATUS.SUCCEEDED };
      },
    });
    return { counter, worker };
  };
  const submitAll = async (topic: string, count: number): Promise<readonly string[]> => {
    const ids: string[] = [];
    let next = 0;
    const lane = async (client: Client): Promise<void> => {
      while (next < count) ids.push((await client.submit({ topic, prompt: String(next++) })).job_id);
    };
    await Promise.all(clients.flatMap((client) => Array.from({ length: 32 / clients.length }, () => lane(client))));
    return ids;
  };
  const ended = async (ids: readonly string[]) => {
    const waiting = ids.map((id, n) => clients[n % clients.length]?.wait(id, { timeoutMs: 60_000 }));
    return Promise.all(waiting);
  };

  it("keep a worker of one slot busy with one job at a time", async () => {
    const { counter, worker } = await counting("single", "one", 1, () => setTimeout(5));
    await using _ = worker;
    const startedAt = performance.now();
    const jobs = await ended(await submitAll("job.one", 100));
    const tookMs = performance.now() - startedAt;
    expect(jobs.every((job) => job?.state === "SUCCEEDED" && job.attempts === 1)).toBe(true);
    expect(counter).toMatchObject({ total: 100, most: 1 });
    // A pull that is missed costs a second; a hundred jobs with none missed take a fraction of this even on a busy machine.
    expect(tookMs).toBeLessThan(10_000);
  }, 60_000);

  // Only with a gateway beside them do they go on placing jobs meanwhile.
  if (roles.every((each) => each.includes("gateway")))
    it("do not take each other for dead while NATS is away", async () => {
      const { counter, worker } = await counting("cut-off", "one", 1, () => setTimeout(50));
      await using _ = worker;
      await ended(await submitAll("job.one", 4));
      await nats?.kill();
      await setTimeout(PLACER_TTL_MS + 1_000);
      const ids = await submitAll("job.one", 20);
      await nats?.restart();
      const jobs = await ended(ids);
      expect(jobs.every((job) => job?.state === "SUCCEEDED" && job.attempts === 1)).toBe(true);
      expect(counter).toMatchObject({ total: 24, most: 1 });
    }, 60_000);

  it("fill ten workers of fifty slots evenly, and none beyond its slots", async () => {
    const { promise: allTaken, resolve: takeAll } = Promise.withResolvers<void>();
    const names = Array.from({ length: 10 }, (_, n) => `many-${n}`);
    // No job ends before every slot has one, however long that takes.
    const work = () => allTaken.then(() => setTimeout(500));
    const started = await Promise.all(names.map((name) => counting(name, "ten", 50, work)));
    await using stack = new AsyncDisposableStack();
    for (const { worker } of started) stack.use(worker);
    const ids = await submitAll("job.ten", 1_500);
    await expect
      .poll(() => started.map(({ counter }) => counter.now), { timeout: 30_000 })
      .toEqual(names.map(() => 50));
    takeAll();
    const jobs = await ended(ids);
    expect(jobs.every((job) => job?.state === "SUCCEEDED" && job.attempts === 1)).toBe(true);
    expect(started.map(({ counter }) => counter.most)).toEqual(names.map(() => 50));
    const totals = started.map(({ counter }) => counter.total);
    expect(totals.reduce((sum, total) => sum + total, 0)).toBe(1_500);
    for (const total of totals) expect(Math.abs(total - 150)).toBeLessThanOrEqual(30);
  }, 90_000);
});
