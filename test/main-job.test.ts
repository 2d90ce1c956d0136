// The main job from end to end, over HTTP, with a worker of the SDK, on every engine of State.
// One file, the same tests: what works on one engine works on all.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Config, parseConfiguration } from "@cordum/control-plane/services/configuration";
import { type RunningAllInOne, startAllInOne } from "@cordum/control-plane/services/node";
import { silentLog } from "@cordum/control-plane/telemetry/log";
import { startRedis, startRedisCluster } from "@cordum/control-plane/testing/servers";
import { Client, CordumError, type JobDetail, RetryableError, type Serving, serve, worker } from "@cordum/sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const POLICY = `
version: v1
rules:
  - { id: no, match: { topics: ["job.no.*"] }, decision: deny, reason: never }
  - { id: ask, match: { topics: ["job.ask"] }, decision: require_approval, reason: a person must look }
  - { id: slow, match: { topics: ["job.slow"] }, decision: throttle, reason: too many }
  - id: small
    match: { topics: ["job.small"] }
    decision: allow_with_constraints
    constraints: { budgets: { max_runtime_ms: 60000 }, sandbox: { isolated: true } }
  - id: again
    match: { topics: ["job.again"] }
    decision: allow_with_constraints
    constraints: { budgets: { max_retries: 2 } }
`;
const KEYS = [
  { key: "key-ada-0000000000", tenant: "acme", role: "submitter", principal_id: "ada" },
  { key: "key-bob-0000000000", tenant: "acme", role: "approver", principal_id: "bob" },
  { key: "key-ops-0000000000", tenant: "acme", role: "admin", principal_id: "ops" },
  { key: "key-eve-0000000000", tenant: "evil", role: "admin", principal_id: "eve" },
];

interface Engine {
  readonly env: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}
const ENGINES: readonly (readonly [string, (folder: string) => Promise<Engine>])[] = [
  ["memory", async () => ({ env: { CORDUM_STATE: "memory", CORDUM_PARTITIONS: "3" }, stop: async () => undefined })],
  [
    "SQLite",
    async (folder) => ({ env: { CORDUM_STATE: "sqlite", CORDUM_DATA_DIR: folder }, stop: async () => undefined }),
  ],
  [
    "Redis",
    async () => {
      const redis = await startRedis();
      return { env: { CORDUM_STATE: "redis", REDIS_URL: redis.url }, stop: async () => redis[Symbol.asyncDispose]() };
    },
  ],
  [
    "Redis Cluster",
    async () => {
      const cluster = await startRedisCluster(3);
      return {
        env: { CORDUM_STATE: "redis", REDIS_CLUSTER_ADDRESSES: cluster.addresses.join(",") },
        stop: async () => cluster[Symbol.asyncDispose](),
      };
    },
  ],
];

function configOf(env: Readonly<Record<string, string>>): Config {
  const parsed = parseConfiguration(env);
  if (parsed.kind === "invalid") throw new Error(JSON.stringify(parsed.problems));
  return parsed.config;
}

describe.each(ENGINES)("the main job on %s", (_name, openEngine) => {
  let folder: string;
  let engine: Engine;
  let running: RunningAllInOne;
  let serving: Serving;
  let ada: Client;
  let bob: Client;
  let ops: Client;
  let eve: Client;
  const attempts = new Map<string, number>();

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "cordum-e2e-"));
    const policyPath = join(folder, "policy.yaml");
    await writeFile(policyPath, POLICY);
    engine = await openEngine(folder);
    const config = configOf({
      ...engine.env,
      GATEWAY_HTTP_ADDR: "127.0.0.1:0",
      GATEWAY_METRICS_ADDR: "off",
      CORDUM_API_KEYS: JSON.stringify(KEYS),
      SAFETY_POLICY_PATH: policyPath,
      CORDUM_OPEN_ROUTING: "true",
      API_RATE_LIMIT_RPS: "10000",
      API_RATE_LIMIT_BURST: "10000",
    });
    running = await startAllInOne({ config, log: silentLog() });
    const definitions = [
      worker({ topic: "job.echo", concurrency: 10, run: (input: unknown) => ({ echo: input }) }),
      worker({ topic: "job.small", run: (_input, { constraints }) => ({ constraints }) }),
      worker({ topic: "job.ask", run: () => "done" }),
      worker({
        topic: "job.again",
        run(_input, { jobId, attempt }) {
          attempts.set(jobId, attempt);
          if (attempt < 3) throw new RetryableError(`attempt ${attempt}`);
          return { attempt };
        },
      }),
      worker({ topic: "job.fail", run: () => Promise.reject(new Error("it broke")) }),
      worker({
        topic: "job.wait",
        run: (_input, { signal }) =>
          new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
      }),
    ];
    serving = await serve(definitions, { connection: running.connection(), workerId: "e2e-worker" });
    const client = (apiKey: string): Client => new Client({ url: running.url, apiKey });
    [ada, bob, ops, eve] = [
      client("key-ada-0000000000"),
      client("key-bob-0000000000"),
      client("key-ops-0000000000"),
      client("key-eve-0000000000"),
    ];
  });
  afterAll(async () => {
    await serving.drain();
    await running.drain();
    await engine.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const run = async (topic: string, rest: object = {}): Promise<JobDetail> => {
    const { job_id } = await ada.submit({ topic, prompt: "p", ...rest });
    return ada.wait(job_id, { timeoutMs: 15_000 });
  };

  it("is submitted, decided, done and read back", async () => {
    const job = await run("job.echo", { context: { n: 1 }, labels: { customer: "x" } });
    expect(job).toMatchObject({
      state: "SUCCEEDED",
      topic: "job.echo",
      tenant: "acme",
      attempts: 1,
      safety_decision: "ALLOW",
      result: { echo: { n: 1 } },
      labels: { customer: "x" },
    });
    expect(job.context).toMatchObject({ prompt: "p", topic: "job.echo", tenant_id: "acme", context: { n: 1 } });
  });

  it("carries constraints to the handler and into the answer", async () => {
    const job = await run("job.small");
    expect(job).toMatchObject({
      state: "SUCCEEDED",
      safety_decision: "ALLOW_WITH_CONSTRAINTS",
      safety_constraints: { budgets: { max_runtime_ms: 60000 } },
    });
    expect(JSON.stringify(job.result)).toContain("60000");
  });

  it("is denied with rule and reason, and lies in the dead letters", async () => {
    const job = await run("job.no.way");
    expect(job).toMatchObject({
      state: "DENIED",
      safety_rule_id: "no",
      safety_reason: "never",
      error_code: "safety_denied",
    });
    const letters = [];
    for await (const letter of ops.deadLetters.list()) letters.push(letter);
    expect(letters.find((letter) => letter.job_id === job.id)).toMatchObject({
      reason_code: "safety_denied",
      topic: "job.no.way",
    });
  });

  it("waits for another person, and runs once", async () => {
    const { job_id } = await ada.submit({ topic: "job.ask", prompt: "p" });
    const waiting = [];
    for await (const approval of bob.approvals.list()) waiting.push(approval);
    expect(waiting.find((approval) => approval.job.id === job_id)).toMatchObject({
      policy_rule_id: "ask",
      policy_reason: "a person must look",
    });
    await expect(eve.approvals.approve(job_id)).rejects.toMatchObject({ status: 404 });
    const answers = await Promise.allSettled([
      bob.approvals.approve(job_id, { reason: "fine" }),
      ops.approvals.approve(job_id, { reason: "mine" }),
    ]);
    expect(answers.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    const job = await ada.wait(job_id, { timeoutMs: 15_000 });
    expect(job).toMatchObject({ state: "SUCCEEDED", attempts: 1 });
    expect(["fine", "mine"]).toContain(job.approval_reason);
  });

  it("can be rejected", async () => {
    const { job_id } = await ada.submit({ topic: "job.ask", prompt: "p" });
    await bob.approvals.reject(job_id, { reason: "too dear" });
    expect(await ada.get(job_id)).toMatchObject({
      state: "DENIED",
      error_code: "approval_rejected",
      error_message: "too dear",
      approval_by: "bob",
    });
  });

  it("is not approved by whoever asked for it", async () => {
    const { job_id } = await ops.submit({ topic: "job.ask", prompt: "p" });
    await expect(ops.approvals.approve(job_id)).rejects.toMatchObject({ status: 403, code: "SELF_APPROVAL_DENIED" });
  });

  it("waits while it is throttled", async () => {
    const { job_id } = await ada.submit({ topic: "job.slow", prompt: "p" });
    expect(await ada.get(job_id)).toMatchObject({
      state: "PENDING",
      safety_decision: "THROTTLE",
      safety_reason: "too many",
    });
    expect((await ops.cancel(job_id)).state).toBe("CANCELLED");
  });

  it("is tried again where a constraint allows it, and fails where none does", async () => {
    const again = await run("job.again");
    expect(again).toMatchObject({ state: "SUCCEEDED", attempts: 3, result: { attempt: 3 } });
    expect(await run("job.fail")).toMatchObject({ state: "FAILED", attempts: 1, error_message: "it broke" });
  });

  it("is cancelled while it runs, and its worker stops", async () => {
    const { job_id } = await ada.submit({ topic: "job.wait", prompt: "p" });
    await expect.poll(async () => (await ada.get(job_id)).state).toBe("RUNNING");
    expect(await ops.cancel(job_id)).toMatchObject({ state: "CANCELLED" });
    await expect.poll(() => serving.activeJobs).toBe(0);
    expect((await ada.get(job_id)).state).toBe("CANCELLED");
  });

  it("is one job for one idempotency key", async () => {
    const body = { topic: "job.echo", prompt: "same" };
    const [first, second] = await Promise.all([
      ada.submit(body, { idempotencyKey: "k" }),
      ada.submit(body, { idempotencyKey: "k" }),
    ]);
    expect(second.job_id).toBe(first.job_id);
    await expect(ada.submit({ ...body, prompt: "other" }, { idempotencyKey: "k" })).rejects.toMatchObject({
      status: 409,
      code: "IDEMPOTENCY_CONFLICT",
    });
  });

  it("is listed by state and topic, newest first, page by page, for its own tenant alone", async () => {
    const ids: string[] = [];
    for (let at = 0; at < 7; at++) ids.push((await run("job.echo", { labels: { at: String(at) } })).id);
    const listed: string[] = [];
    for await (const job of ada.list({ topic: "job.echo", state: "SUCCEEDED" }, { pageSize: 2 })) listed.push(job.id);
    expect(listed.slice(0, 7)).toEqual(ids.toReversed());
    expect(new Set(listed).size).toBe(listed.length);
    for await (const job of eve.list({})) throw new Error(`eve sees ${job.id}`);
    const [one] = ids;
    await expect(eve.get(one ?? "")).rejects.toBeInstanceOf(CordumError);
  });

  it("does a thousand, each once", async () => {
    const ids = await Promise.all(
      Array.from({ length: 1_000 }, (_, at) =>
        ada.submit({ topic: "job.echo", prompt: String(at) }).then(({ job_id }) => job_id),
      ),
    );
    expect(new Set(ids).size).toBe(1_000);
    const jobs = await Promise.all(ids.map((id) => ada.wait(id, { timeoutMs: 30_000 })));
    expect(jobs.every((job) => job.state === "SUCCEEDED" && job.attempts === 1)).toBe(true);
  }, 60_000);
});
