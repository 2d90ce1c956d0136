// docs/operations.md, done as it is written, from an empty machine on: a fleet on real servers is started and scaled, keys come and go, all is
// backed up, lost and put back, releases are changed while jobs run, a worker is drained, and the numbers are looked at.

import { rmSync, writeFileSync } from "node:fs";
import { redisDump } from "@cordum/control-plane/testing/redis-dump";
import { Client, type Serving, serve, worker } from "@cordum/sdk";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DocumentedFleet, exportsOf, type Process } from "./documents/fleet.ts";
import { blockOf } from "./documents/shell-blocks.ts";
import { Terminal } from "./documents/terminal.ts";

const ADMIN = "key-of-the-admin-0000";
const ACME = { admin: "key-of-acme-s-admin-0000", worker: "key-of-acme-s-worker-0000" };
const KEYS = [
  { key: ADMIN, tenant: "default", role: "admin", principal_id: "root" },
  { key: ACME.admin, tenant: "acme", role: "admin", principal_id: "ada" },
  { key: ACME.worker, tenant: "acme", role: "worker", principal_id: "wes" },
];
const SLOWLY = { timeout: 20_000 };
const LIMIT_MS = 120_000;
const nothing = (): void => undefined;
const QUIET = { debug: nothing, info: nothing, warn: nothing, error: nothing };

const opened = new AsyncDisposableStack();
/** Where processes are started, and where the command is used. */
const terminal = opened.use(Terminal.open());
const desk = terminal.another();
let fleet: DocumentedFleet;
let gateways: Process[] = [];
let schedulers: Process[] = [];
/** Runs of the job that says so in its context, by the worker that ran it. */
const ranAt = new Map<unknown, string[]>();
/** What jobs wait for that are held. */
const held = new Map<unknown, PromiseWithResolvers<string>>();

beforeAll(async () => {
  writeFileSync(terminal.path("keys.json"), JSON.stringify(KEYS));
  writeFileSync(terminal.path("policy.yaml"), "version: v1\ndefault_decision: allow\n");
  writeFileSync(terminal.path("pools.yaml"), "topics: { job.mail.send: mail }\n");
  terminal.set({ API_RATE_LIMIT_RPS: "100000", API_RATE_LIMIT_BURST: "100000" });
  fleet = opened.use(await DocumentedFleet.start(terminal));
  desk.set({ REDIS_URL: fleet.redis });
  for (const workerId of ["mail-1", "mail-2"]) {
    const serving = await startWorker(workerId);
    opened.defer(() => serving.drain());
  }
}, LIMIT_MS);
afterAll(async () => {
  for (const { resolve } of held.values()) resolve("released at the end");
  await opened.disposeAsync();
});

function startWorker(workerId: string): Promise<Serving> {
  const send = worker({
    topic: "job.mail.send",
    pool: "mail",
    concurrency: 4,
    async run(input: unknown) {
      const { name, isHeld } = Object(input);
      ranAt.set(name, [...(ranAt.get(name) ?? []), workerId]);
      if (isHeld !== true) return { sent: name };
      const release = Promise.withResolvers<string>();
      held.set(name, release);
      return { sent: await release.promise };
    },
  });
  return serve([send], {
    url: `${fleet.nats},${fleet.redis}`,
    workerId,
    log: QUIET,
    drainTimeoutMs: 100,
    heartbeatIntervalMs: 1_000,
  });
}

const clientOf = ({ url }: Process, apiKey = ADMIN) => new Client({ url, apiKey, retries: 0 });
const first = <T>([one]: readonly T[]): T => one ?? expect.fail("there is none");
const client = () => clientOf(first(gateways));

async function submit(name: string, { at = client(), isHeld = false } = {}): Promise<string> {
  const job = { topic: "job.mail.send", prompt: "send", context: { name, isHeld } };
  return (await at.submit(job, { idempotencyKey: `key-of-${name}` })).job_id;
}
const done = async (jobId: string) => client().wait(jobId, { timeoutMs: 30_000 });

async function submitHeld(name: string): Promise<string> {
  const jobId = await submit(name, { isHeld: true });
  await expect.poll(() => held.has(name), SLOWLY).toBe(true);
  return jobId;
}

describe("docs/operations.md", () => {
  it("starts a fleet, and scales it", starts, LIMIT_MS);
  it("makes, rotates and revokes keys", makesKeys, LIMIT_MS);
  it("backs up while jobs run, and restores jobs, audit, configuration and keys on a new server", restores, LIMIT_MS);
  it("changes every process while jobs are under way, and loses and doubles none", upgrades, LIMIT_MS);
  it("drains a worker", drains, LIMIT_MS);
  it("ends the session of a worker with a key", endsASession, LIMIT_MS);
  it("shows how it is", watches, LIMIT_MS);
});

async function starts(): Promise<void> {
  gateways = [await fleet.gateway()];
  schedulers = [await fleet.scheduler()];
  const asked = fleet.here(blockOf("docs/operations.md", "export CORDUM_API_URL"), ["<key>", ADMIN]);
  desk.set(exportsOf(asked.replace("http://gateway:8081", first(gateways).url)));
  await expect.poll(() => desk.says("cordum status"), SLOWLY).toMatch(/^bus +\S+\nstate +ok\nworkers +2\n/m);
  expect(asked).toContain("\ncordum status\n");
  expect(await done(await submit("first"))).toMatchObject({ state: "SUCCEEDED", result: { sent: "first" } });

  gateways.push(await fleet.gateway());
  schedulers.push(await fleet.scheduler());
  const names = Array.from({ length: 20 }, (_, n) => `scaled-${n}`);
  const jobs = await Promise.all(names.map((name, n) => submit(name, { at: clientOf(first(gateways.slice(n % 2))) })));
  for (const job of await Promise.all(jobs.map(done))) expect(job).toMatchObject({ state: "SUCCEEDED", attempts: 1 });
  expect(names.every((name) => ranAt.get(name)?.length === 1)).toBe(true);
}

async function makesKeys(): Promise<void> {
  const lines = blockOf("docs/operations.md", "cordum keys create").trim().split("\n");
  expect(lines).toHaveLength(5);
  const [create = "", list = "", rotate = "", rotateNow = "", revoke = ""] = lines;
  const made = await desk.run(create);
  const id = /^key (\S+)/m.exec(made.err)?.[1] ?? "";
  const of = (line: string) => desk.says(line.replace("<key>", id));
  const mayCome = async (secret: string, at: Process = first(gateways)) =>
    (await fetch(`${at.url}/api/v1/jobs`, { headers: { "x-api-key": secret.trim() } })).status;
  expect(await of(list)).toMatch(new RegExp(`^${id} +build +default +submitter +build-agent +active +never `, "m"));
  const second = await of(rotate);
  expect(await Promise.all([made.out, second].map((secret) => mayCome(secret)))).toEqual([200, 200]);
  const third = await of(rotateNow);
  expect(await Promise.all([made.out, second, third].map((secret) => mayCome(secret)))).toEqual([401, 401, 200]);
  expect(await of(revoke)).toBe(`revoked ${id} (build)\n`);
  for (const gateway of gateways) await expect.poll(() => mayCome(third, gateway), SLOWLY).toBe(401);
}

/** What people have done and what has become of jobs, as it lies in Redis. */
async function kept(): Promise<unknown> {
  await using stack = new AsyncDisposableStack();
  const redis = new Redis(fleet.redis);
  stack.defer(() => redis.disconnect());
  const { logs, records } = await redisDump(redis);
  const kinds = new Set(["job", "config", "key"]);
  const stored = records.map((record) => record.stored).filter(({ key }) => kinds.has(key.kind));
  expect(logs.filter(({ key }) => key.log === "audit").length).toBeGreaterThan(0);
  expect(new Set(stored.map(({ key }) => key.kind))).toEqual(kinds);
  return { logs, stored };
}

async function restores(): Promise<void> {
  await client().config.replace({ scope: "org", data: { mail: { from: "ada@example.org" } } });
  const secret = (await client().keys.create({ name: "ci", roles: ["admin"], principal_id: "ci" })).secret;
  const finished = await submit("finished");
  await done(finished);
  const out = await submitHeld("out with a worker");
  await expect.poll(async () => (await client().get(out)).state, SLOWLY).toBe("RUNNING");
  await desk.says(blockOf("docs/operations.md", "--rdb backup.rdb"));
  const before = await kept();
  const later = await submit("after the backup");
  await done(later);

  // All is lost but the archive.
  await fleet.killRedis("and its disk");
  for (const each of [...gateways, ...schedulers]) each.kill("SIGKILL");
  await Promise.all([...gateways, ...schedulers].map(({ ended }) => ended));
  for (const file of ["backup.rdb", "policy.yaml", "pools.yaml", "keys.json"]) rmSync(terminal.path(file));
  const [unpack = "", copy = "", start = "", ...more] = blockOf("docs/operations.md", "tar xzf").trim().split("\n");
  expect(more).toEqual([]);
  await desk.says(fleet.here(`${unpack}\n${copy}`));
  await fleet.serve(start);
  expect(await kept()).toEqual(before);
  const switched = await desk.says(blockOf("docs/operations.md", "CONFIG SET appendonly yes"));
  expect(switched).toMatch(/^OK\n[\s\S]*aof_enabled:1\r?\n[\s\S]*aof_last_bgrewrite_status:ok/);
  await fleet.killRedis("alone");
  await fleet.serve(first(blockOf("docs/operations.md", "nats-server --jetstream").match(/^redis-server.*$/m) ?? []));
  expect(await kept()).toEqual(before);

  gateways = [await fleet.gateway()];
  schedulers = [await fleet.scheduler()];
  desk.set({ CORDUM_API_URL: first(gateways).url });
  const by = clientOf(first(gateways), secret);
  expect(await by.get(finished)).toMatchObject({ state: "SUCCEEDED", result: { sent: "finished" } });
  expect((await by.config.get({ scope: "org" })).data).toEqual({ mail: { from: "ada@example.org" } });
  await expect(by.get(later)).rejects.toMatchObject({ status: 404 });
  expect((await by.get(out)).state).toBe("RUNNING");
  held.get("out with a worker")?.resolve("at last");
  expect(await done(out)).toMatchObject({ state: "SUCCEEDED", attempts: 1, result: { sent: "at last" } });
  expect(await done(await submit("after the restore"))).toMatchObject({ state: "SUCCEEDED" });
}

/** The first gateway that answers; one that ends refuses. */
async function anywhere<T>(call: (at: Client) => Promise<T>): Promise<T> {
  const refusals: unknown[] = [];
  for (const gateway of [...gateways, ...gateways]) {
    try {
      return await call(clientOf(gateway));
    } catch (error) {
      refusals.push(error);
    }
  }
  throw new AggregateError(refusals, "no gateway answers");
}

async function upgrades(): Promise<void> {
  const [start = "", untilReady = "", stop = "", ...more] = blockOf("docs/operations.md", "kill -TERM")
    .trim()
    .split("\n");
  expect(more).toEqual([]);
  const heldId = await submitHeld("held over the upgrade");
  let isOver = false;
  let count = 0;
  const untilOver = async () => {
    while (!isOver) {
      const name = `upgraded-${count++}`;
      const jobId = await anywhere((at) => submit(name, { at }));
      await expect
        .poll(() => anywhere((at) => at.get(jobId)), SLOWLY)
        .toMatchObject({ state: "SUCCEEDED", attempts: 1, result: { sent: name } });
      expect(ranAt.get(name)).toHaveLength(1);
    }
  };
  const load = Promise.all([untilOver(), untilOver(), untilOver()]);
  const replace = async (old: Process, fresh: Process): Promise<void> => {
    await desk.says(untilReady.replace("http://new-scheduler:9090", fresh.url));
    await desk.says(stop.replace("<pid of the old one>", String(old.pid)));
    expect(await old.ended).toMatchObject({ code: 0, err: expect.stringContaining("serve.stopped") });
  };
  const [oldGateway, oldScheduler] = [first(gateways), first(schedulers)];
  schedulers = [await fleet.scheduler(start)];
  await replace(oldScheduler, first(schedulers));
  gateways = [oldGateway, await fleet.gateway()];
  await replace(oldGateway, first(gateways.slice(1)));
  gateways = gateways.slice(1);
  const upToHere = count;
  await expect.poll(() => count, SLOWLY).toBeGreaterThan(upToHere + 10);
  isOver = true;
  await load;
  held.get("held over the upgrade")?.resolve("afterwards");
  expect(await done(heldId)).toMatchObject({ state: "SUCCEEDED", attempts: 1, result: { sent: "afterwards" } });
  desk.set({ CORDUM_API_URL: first(gateways).url });
}

async function drains(): Promise<void> {
  const [drain = "", list = "", undrain = "", ...more] = blockOf("docs/operations.md", "workers drain")
    .trim()
    .split("\n");
  expect(more).toEqual([]);
  // The gateway is new: it knows workers from their next heartbeat on.
  await expect.poll(() => desk.says(list), SLOWLY).toMatch(/^mail-1 .*\nmail-2 /m);
  const names: string[] = [];
  const hasOne = () => names.some((name) => ranAt.get(name)?.includes("mail-1"));
  for (let n = 0; n < 6 && !hasOne(); n++) {
    names.push(`held-${n}`);
    await submitHeld(`held-${n}`);
  }
  expect(hasOne()).toBe(true);
  const others = ["other-0", "other-1", "other-2", "other-3", "other-4"];
  const meanwhile = async (): Promise<void> => {
    await expect.poll(() => desk.says(list), SLOWLY).toMatch(/^mail-1 .*draining, \d jobs? left/m);
    await Promise.all(others.map(async (name) => done(await submit(name))));
    expect(others.map((name) => ranAt.get(name))).toEqual(others.map(() => ["mail-2"]));
    for (const name of names) held.get(name)?.resolve("released");
  };
  const [drained] = await Promise.all([desk.says(drain), meanwhile()]);
  expect(drained).toBe("mail-1  drained\n");
  expect(await desk.says(list)).toMatch(/^mail-1 .* drained /m);
  expect(await desk.says(undrain)).toBe("mail-1  ready\n");
}

async function endsASession(): Promise<void> {
  const url = { gateway: first(gateways).url, apiKey: ACME.worker };
  const refused: string[] = [];
  const log = { ...QUIET, error: (event: string) => void refused.push(event) };
  const serving = await serve([worker("job.acme", () => "done")], { url, workerId: "mail-2", log });
  const told = desk.another();
  told.set({ CORDUM_API_KEY: ACME.admin });
  expect(await told.says(blockOf("docs/operations.md", "workers revoke"))).toBe("acme.mail-2  session ended\n");
  await expect.poll(() => refused, SLOWLY).toContain("gateway.refused");
  await serving.drain();
}

async function watches(): Promise<void> {
  const block = blockOf("docs/operations.md", "cordum dlq groups");
  const asked = block
    .replace("http://gateway:8081", first(gateways).url)
    .replace("http://scheduler:9090", first(schedulers).url);
  const shown = await desk.says(asked);
  expect(shown).toMatch(/"status":"ok"/);
  expect(shown).toMatch(/^cordum_scheduler_jobs_completed_total\{.*\} \d+$/m);
  expect(shown).toMatch(/^workers +\d+$/m);
  expect(shown).toMatch(/^mail-2 +mail +\d\/4 +ready /m);
}
