// What operators do to a fleet that runs: two gateways and two schedulers over NATS and Redis, workers over NATS and by WebSocket. An order
// given to one gateway is heeded by all schedulers, a rate is one for all doors, and a stopped job says what its worker did.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodePacket, SUBJECTS } from "@cordum/protocol";
import { Client, connect, serve, type WorkerConnection, worker } from "@cordum/sdk";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startNodes } from "./nodes.ts";
import { startServers } from "./servers.ts";

const nothing = (): void => undefined;
const QUIET = { debug: nothing, info: nothing, warn: nothing, error: nothing };
const OPS = "key-ops-0000000000";
/** Of tenant evil alone; so low that no test waits for it. */
const SLOW = { perSecond: 1, burst: 20 };

const opened = new AsyncDisposableStack();
const ranAt: string[] = [];
/** Why the worker by WebSocket lost its sessions. */
const farSaid: string[] = [];
/** What the worker that listens to no order waits for. */
const released = Promise.withResolvers<string>();
let clients: readonly Client[];
let urls: readonly string[];
let connection: WorkerConnection;
let redis: Redis;

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), "cordum-running-"));
  opened.defer(() => rm(folder, { recursive: true, force: true }));
  const policy = join(folder, "policy.yaml");
  await writeFile(policy, "version: v1\ndefault_decision: allow\n");
  const { env, target } = opened.use(await startServers({ state: "Redis", bus: "NATS" }, folder));
  if (target === undefined) throw new Error("a fleet has servers");
  redis = new Redis(env.REDIS_URL ?? "");
  opened.defer(() => redis.disconnect());
  const roles = [["gateway"], ["gateway"], ["scheduler"], ["scheduler"]] as const;
  const nodes = opened.use(
    await startNodes(roles, {
      ...env,
      SAFETY_POLICY_PATH: policy,
      CORDUM_STOP_GRACE: "5s",
      TENANT_ID: "acme",
      API_TENANT_SUBMIT_RATES: `evil=${SLOW.perSecond}/${SLOW.burst}`,
    }),
  );
  urls = nodes.urls;
  clients = urls.map((url) => new Client({ url, apiKey: OPS, retries: 0 }));
  connection = await connect(target, { log: QUIET });
  opened.defer(() => connection.close());
  const ends = { log: QUIET, drainTimeoutMs: 100, stopGraceMs: 100, heartbeatIntervalMs: 500 };
  const definitions = (name: string) => [
    worker({ topic: "job.note", concurrency: 10, run: () => void ranAt.push(name) }),
    worker({
      topic: "job.held",
      concurrency: 10,
      run: (_, { signal }) => new Promise((_end, stop) => signal.addEventListener("abort", () => stop(signal.reason))),
    }),
  ];
  for (const workerId of ["one", "two"]) {
    const serving = await serve(definitions(workerId), { connection, workerId, ...ends });
    opened.defer(() => serving.drain());
  }
  const deafJob = worker({ topic: "job.deaf", run: () => released.promise });
  const deaf = await serve([deafJob], { connection, workerId: "deaf", ...ends, stopGraceMs: 600_000 });
  opened.defer(() => deaf.drain());
  const readConfig = (_: unknown, { env }: { readonly env: Readonly<Record<string, string>> }) =>
    env.CORDUM_EFFECTIVE_CONFIG ?? "nothing";
  const near = await serve([worker("job.near", readConfig)], { connection, workerId: "near", ...ends });
  opened.defer(() => near.drain());
  const gateway = { gateway: urls[0] ?? "", apiKey: "key-wes-0000000000" };
  const far = await serve([worker({ topic: "job.far", run: readConfig })], {
    url: gateway,
    workerId: "far",
    ...ends,
    log: {
      ...QUIET,
      error: (event, error) => {
        if (event === "gateway.refused") farSaid.push(error instanceof Error ? error.message : String(error));
      },
    },
  });
  opened.defer(() => far.drain());
}, 60_000);
afterAll(() => opened.disposeAsync());

const at = (gateway: 0 | 1): Client => clients[gateway] ?? expect.fail("no gateway");
const submit = async (topic: string, gateway: 0 | 1 = 0): Promise<string> =>
  (await at(gateway).submit({ topic, prompt: "p" })).job_id;
const stateOf = async (jobId: string) => (await at(1).get(jobId)).state;
const SLOWLY = { timeout: 15_000 };

describe("a worker that is drained at one gateway", () => {
  it("gets nothing from any scheduler, ends what it has, and is shown empty at the other gateway", async () => {
    await expect.poll(async () => (await at(0).workers()).length, SLOWLY).toBe(5);
    const held = await Promise.all(Array.from({ length: 8 }, () => submit("job.held")));
    for (const id of held) await expect.poll(() => stateOf(id), SLOWLY).toBe("RUNNING");
    const atOne = await jobsAt("one", held);
    expect(atOne.length).toBeGreaterThan(0);
    expect(await at(0).drainWorker("one", { reason: "new kernel" })).toMatchObject({
      draining: true,
      drain: { by_order: true, jobs_out: atOne.length, empty: false, by: "ops", reason: "new kernel" },
    });
    // The order travels for a moment; from when it has arrived on it holds without exception.
    await expect.poll(() => whereNotesRun(20), SLOWLY).toEqual(["two"]);
    expect(await whereNotesRun(60)).toEqual(["two"]);
    expect((await at(1).worker("one")).drain).toMatchObject({ jobs_out: atOne.length, empty: false });
    for (const id of held) await at(1).cancel(id);
    await expect.poll(async () => (await at(1).worker("one")).drain?.empty, SLOWLY).toBe(true);
    await at(1).undrainWorker("one");
    await expect
      .poll(async () => {
        await submit("job.note");
        return ranAt.includes("one");
      }, SLOWLY)
      .toBe(true);
  }, 60_000);

  it("is the same when it is connected by WebSocket: nothing comes until it is undrained", async () => {
    const workerId = "acme.far";
    const first = await submit("job.far");
    await expect.poll(() => stateOf(first), SLOWLY).toBe("SUCCEEDED");
    await at(1).drainWorker(workerId);
    const next = await submit("job.far");
    await expect.poll(async () => (await at(0).get(next)).waiting, SLOWLY).toBe("workers_draining");
    await at(0).undrainWorker(workerId);
    await expect.poll(() => stateOf(next), SLOWLY).toBe("SUCCEEDED");
  }, 60_000);

  it("loses its session by an order at the other gateway, and comes back with its key", async () => {
    const workerId = "acme.far";
    const refusal = { status: 404, code: "WORKER_NOT_FOUND" };
    await expect(at(1).revokeWorkerSession("acme.nobody")).rejects.toMatchObject(refusal);
    expect(await at(1).revokeWorkerSession("one")).toMatchObject({ revoked: false }); // over NATS it has none
    expect(await at(1).revokeWorkerSession(workerId, { reason: "was seen elsewhere" })).toEqual({
      worker_id: workerId,
      tenant: "acme",
      revoked: true,
    });
    await expect.poll(() => farSaid, SLOWLY).toEqual(["an operator has ended this session"]);
    expect(await at(0).revokeWorkerSession(workerId)).toMatchObject({ revoked: false });
    const next = await submit("job.far");
    await expect.poll(() => stateOf(next), SLOWLY).toBe("SUCCEEDED");
    expect(farSaid).toHaveLength(1);
  }, 60_000);

  async function whereNotesRun(count: number): Promise<readonly string[]> {
    ranAt.length = 0;
    const ids = await Promise.all(Array.from({ length: count }, (_, nth) => submit("job.note", nth % 2 === 0 ? 0 : 1)));
    for (const id of ids) await at(0).wait(id, { timeoutMs: 15_000 });
    return [...new Set(ranAt)].sort();
  }

  async function jobsAt(workerId: string, ids: readonly string[]): Promise<readonly string[]> {
    const jobs = await Promise.all(ids.map((id) => at(0).get(id)));
    return jobs.filter((job) => job.worker_id === workerId).map(({ id }) => id);
  }
});

describe("whoever watches workers in Redis", () => {
  it("finds all of them, by NATS and by WebSocket", async () => {
    const ids = async (): Promise<readonly string[]> => {
      const snapshot = JSON.parse((await redis.get("sys:workers:snapshot")) ?? '{"workers":[]}');
      return snapshot.workers.map(({ worker_id }: { readonly worker_id: string }) => worker_id);
    };
    const listed = (await at(0).workers()).map(({ worker_id }) => worker_id);
    expect(listed).toContain("acme.far");
    await expect.poll(ids, SLOWLY).toEqual(listed);
    expect(await redis.ttl("sys:workers:snapshot")).toBeGreaterThan(80_000);
  });
});

describe("what is configured at one gateway", () => {
  it("reaches workers by NATS and by WebSocket alike, with the next job", async () => {
    const seenBy = async (topic: string) => {
      const { job_id } = await at(0).submit({ topic, prompt: "p", team_id: "red" });
      return (await at(1).wait(job_id, { timeoutMs: 15_000 })).result;
    };
    const asked = async () => [await seenBy("job.near"), await seenBy("job.far")];
    expect(await asked()).toEqual(["nothing", "nothing"]);
    await at(1).config.replace({ scope: "org", data: { model: "small", tools: ["a"] } });
    await at(1).config.replace({ scope: "team", scope_id: "red", data: { model: "<large>" } });
    const expected = '{"model":"\\u003clarge\\u003e","tools":["a"]}';
    // The news of a change travels for a moment.
    await expect.poll(asked, SLOWLY).toEqual([expected, expected]);
    await at(0).config.remove({ scope: "team", scope_id: "red" });
    await at(0).config.remove({ scope: "org" });
    await expect.poll(asked, SLOWLY).toEqual(["nothing", "nothing"]);
  }, 60_000);
});

describe("a job that is cancelled at one gateway", () => {
  it("says at the other what its worker did: that it stopped, or that nobody knows until it speaks", async () => {
    const [held, deaf] = [await submit("job.held"), await submit("job.deaf")];
    for (const id of [held, deaf]) await expect.poll(() => stateOf(id), SLOWLY).toBe("RUNNING");
    expect(await at(0).cancel(held)).toMatchObject({ state: "CANCELLED", stop: { status: "awaited" } });
    await at(0).cancel(deaf);
    const stopOf = async (id: string) => (await at(1).get(id)).stop;
    await expect.poll(() => stopOf(held), SLOWLY).toMatchObject({ status: "acknowledged" });
    expect((await stopOf(held))?.reported).toBe("JOB_STATUS_CANCELLED");
    await expect.poll(() => stopOf(deaf), SLOWLY).toMatchObject({ status: "outcome_unknown", worker_id: "deaf" });
    released.resolve("done all the same");
    await expect.poll(() => stopOf(deaf), SLOWLY).toMatchObject({ status: "acknowledged", worker_id: "deaf" });
    expect((await at(0).get(deaf)).state).toBe("CANCELLED");
  }, 60_000);
});

describe("a rate of submits", () => {
  it("is one for all gateways", async () => {
    const evil = urls.map((url) => new Client({ url, apiKey: "key-eve-0000000000", retries: 0 }));
    const startedAt = performance.now();
    const asked = await Promise.allSettled(
      Array.from({ length: 100 }, (_, nth) => evil[nth % 2]?.submit({ topic: "job.note", prompt: "p" })),
    );
    const seconds = (performance.now() - startedAt) / 1_000;
    const taken = asked.filter(({ status }) => status === "fulfilled").length;
    expect(taken).toBeLessThanOrEqual(SLOW.burst + SLOW.perSecond * (seconds + 1));
    expect(taken).toBeGreaterThanOrEqual(SLOW.burst - 10); // what was drawn in advance by two gateways may be lost
    const refused = asked.find(({ status }) => status === "rejected");
    expect(refused).toMatchObject({ reason: { status: 429, code: "SUBMIT_RATE_LIMITED" } });
  }, 60_000);

  it("counts jobs that come over NATS, too: they are taken, and each waits for its turn", async () => {
    const eve = new Client({ url: urls[0] ?? "", apiKey: "key-eve-0000000000", retries: 0 });
    const ids = Array.from({ length: 6 }, (_, nth) => `raw-${nth}`);
    for (const jobId of ids) {
      const value = { jobId, topic: "job.note", tenantId: "evil" };
      const packet = { senderId: "raw", protocolVersion: 1, payload: { kind: "jobRequest", value } } as const;
      await connection.publish(SUBJECTS.jobSubmit, encodePacket(packet));
    }
    const last = (id: string) => eve.get(id).then(({ state, waiting }) => [state, waiting]);
    await expect.poll(() => last("raw-5").catch(() => []), SLOWLY).toEqual(["PENDING", "throttled"]);
    const refusal = { status: 429, code: "SUBMIT_RATE_LIMITED" };
    await expect(eve.submit({ topic: "job.note", prompt: "p" })).rejects.toMatchObject(refusal);
    for (const id of ids)
      expect(await eve.wait(id, { timeoutMs: 15_000 })).toMatchObject({ state: "SUCCEEDED", attempts: 1 });
  }, 60_000);
});
