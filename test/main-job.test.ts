// The main job from end to end, over HTTP, with workers of the SDK, on every engine and every topology.
// One file, the same tests: what works in one process works in many.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Role } from "@cordum/control-plane/services/roles";
import { Client, CordumError, connect, type JobDetail, RetryableError, type Serving, serve, worker } from "@cordum/sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startNodes } from "./fleet/nodes.ts";
import { type BusServer, type StateServer, startServers } from "./fleet/servers.ts";

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
    constraints: { budgets: { max_retries: 1 } }
`;

interface Place {
  readonly name: string;
  readonly state: StateServer;
  readonly bus: BusServer;
  /** The roles of each node. */
  readonly nodes: readonly (readonly Role[])[];
  readonly workers: number;
  /** How they connect: over the bus and the store, or with an API key alone. */
  readonly by?: "key";
  /** How many jobs are done at once in the last test. */
  readonly crowd: number;
}
const BOTH = ["gateway", "scheduler"] as const;
const GATEWAY = ["gateway"] as const;
const SCHEDULER = ["scheduler"] as const;
const PLACES: readonly Place[] = [
  { name: "memory", state: "memory", bus: "none", nodes: [BOTH], workers: 1, crowd: 1_000 },
  { name: "SQLite", state: "SQLite", bus: "none", nodes: [BOTH], workers: 1, crowd: 1_000 },
  { name: "memory, by key", state: "memory", bus: "none", nodes: [BOTH], workers: 2, by: "key", crowd: 1_000 },
  { name: "Redis", state: "Redis", bus: "none", nodes: [BOTH], workers: 1, crowd: 200 },
  { name: "Redis Cluster", state: "Redis Cluster", bus: "none", nodes: [BOTH], workers: 1, crowd: 200 },
  { name: "NATS and Redis", state: "Redis", bus: "NATS", nodes: [BOTH], workers: 1, crowd: 200 },
  { name: "JetStream and Redis", state: "Redis", bus: "JetStream", nodes: [BOTH], workers: 1, crowd: 200 },
  {
    name: "JetStream and Redis Cluster, two nodes",
    state: "Redis Cluster",
    bus: "JetStream",
    nodes: [BOTH, BOTH],
    workers: 2,
    crowd: 200,
  },
  {
    name: "two gateways, two schedulers, JetStream",
    state: "Redis",
    bus: "JetStream",
    nodes: [GATEWAY, SCHEDULER, SCHEDULER, GATEWAY],
    workers: 2,
    crowd: 1_000,
  },
  {
    name: "one gateway, two schedulers, NATS",
    state: "Redis",
    bus: "NATS",
    nodes: [SCHEDULER, GATEWAY, SCHEDULER],
    workers: 2,
    crowd: 200,
  },
  {
    name: "JetStream, two gateways, by key",
    state: "Redis",
    bus: "JetStream",
    nodes: [GATEWAY, SCHEDULER, SCHEDULER, GATEWAY],
    workers: 3,
    by: "key",
    crowd: 1_000,
  },
];

describe.each(PLACES)("the main job on $name", (place) => {
  const opened = new AsyncDisposableStack();
  let servings: readonly Serving[];
  let ada: Client;
  let bob: Client;
  let ops: Client;
  let eve: Client;

  beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), "cordum-e2e-"));
    opened.defer(() => rm(folder, { recursive: true, force: true }));
    const policyPath = join(folder, "policy.yaml");
    await writeFile(policyPath, POLICY);
    const { env, target } = opened.use(await startServers(place, folder));
    const nodes = opened.use(await startNodes(place.nodes, { ...env, SAFETY_POLICY_PATH: policyPath }));
    const ids = Array.from({ length: place.workers }, (_, at) => `e2e-worker-${at}`);
    servings = await Promise.all(
      ids.map(async (workerId, at) => {
        const gateway = nodes.urls[at % nodes.urls.length] ?? "";
        const byKey = { gateway, apiKey: "key-wes-0000000000" };
        const to = place.by === "key" ? byKey : target;
        const connection =
          to === undefined ? nodes.running[0]?.connection() : await connect(to, { log: QUIET, name: workerId });
        if (connection === undefined) throw new Error("no node to connect to");
        opened.defer(() => connection.close());
        const serving = await serve(definitions(), { connection, workerId, log: QUIET });
        opened.defer(() => serving.drain());
        return serving;
      }),
    );
    let clients = 0;
    const client = (apiKey: string): Client => {
      const url = nodes.urls[clients++ % nodes.urls.length] ?? "";
      return new Client({ url, apiKey });
    };
    [ada, bob, ops, eve] = [
      client("key-ada-0000000000"),
      client("key-bob-0000000000"),
      client("key-ops-0000000000"),
      client("key-eve-0000000000"),
    ];
  });
  afterAll(() => opened.disposeAsync());

  const run = async (topic: string, rest: object = {}): Promise<JobDetail> => {
    const { job_id } = await ada.submit({ topic, prompt: "p", ...rest });
    return ada.wait(job_id, { timeoutMs: 15_000 });
  };

  /** Submits a job for which a person is asked, and waits for the question. */
  const asked = async (by: Client): Promise<string> => {
    const { job_id } = await by.submit({ topic: "job.ask", prompt: "p" });
    await expect.poll(async () => (await by.get(job_id)).state).toBe("APPROVAL_REQUIRED");
    return job_id;
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
    const job_id = await asked(ada);
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
    const job_id = await asked(ada);
    await bob.approvals.reject(job_id, { reason: "too dear" });
    expect(await ada.get(job_id)).toMatchObject({
      state: "DENIED",
      error_code: "approval_rejected",
      error_message: "too dear",
      approval_by: "bob",
    });
  });

  it("is not approved by whoever asked for it", async () => {
    const job_id = await asked(ops);
    await expect(ops.approvals.approve(job_id)).rejects.toMatchObject({ status: 403, code: "SELF_APPROVAL_DENIED" });
  });

  it("waits while it is throttled", async () => {
    const { job_id } = await ada.submit({ topic: "job.slow", prompt: "p" });
    await expect
      .poll(() => ada.get(job_id))
      .toMatchObject({ state: "PENDING", safety_decision: "THROTTLE", safety_reason: "too many" });
    expect((await ops.cancel(job_id)).state).toBe("CANCELLED");
  });

  it("is tried again where a constraint allows it, and fails where none does", async () => {
    const again = await run("job.again");
    expect(again).toMatchObject({ state: "SUCCEEDED", attempts: 2, result: { attempt: 2 } });
    expect(await run("job.fail")).toMatchObject({ state: "FAILED", attempts: 1, error_message: "it broke" });
  });

  it("is cancelled while it runs, and its worker stops", async () => {
    const { job_id } = await ada.submit({ topic: "job.wait", prompt: "p" });
    await expect.poll(async () => (await ada.get(job_id)).state).toBe("RUNNING");
    expect(await ops.cancel(job_id)).toMatchObject({ state: "CANCELLED" });
    await expect.poll(() => servings.reduce((sum, { activeJobs }) => sum + activeJobs, 0)).toBe(0);
    await expect.poll(async () => (await ada.get(job_id)).stop?.status).toBe("acknowledged");
    expect(await ada.get(job_id)).toMatchObject({ state: "CANCELLED", stop: { reported: "JOB_STATUS_CANCELLED" } });
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

  it("is done in a crowd, each once", async () => {
    const ids = await Promise.all(
      Array.from({ length: place.crowd }, (_, at) =>
        ada.submit({ topic: "job.echo", prompt: String(at) }).then(({ job_id }) => job_id),
      ),
    );
    expect(new Set(ids).size).toBe(place.crowd);
    const jobs = await Promise.all(ids.map((id) => bob.wait(id, { timeoutMs: 30_000 })));
    expect(jobs.every((job) => job.state === "SUCCEEDED" && job.attempts === 1)).toBe(true);
  }, 60_000);
});

const nothing = (): void => undefined;
const QUIET = { debug: nothing, info: nothing, warn: nothing, error: nothing };

function definitions() {
  return [
    worker({ topic: "job.echo", concurrency: 10, run: (input: unknown) => ({ echo: input }) }),
    worker({ topic: "job.small", run: (_input, { constraints }) => ({ constraints }) }),
    worker({ topic: "job.ask", run: () => "done" }),
    worker({
      topic: "job.again",
      run(_input, { attempt }) {
        if (attempt < 2) throw new RetryableError(`attempt ${attempt}`);
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
}
