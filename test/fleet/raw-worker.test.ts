// Workers that know nothing of ours but the wire: the control plane speaks to them as to any other.

import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "@cordum/sdk";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startNodes } from "./nodes.ts";
import { entry, message, messageOf, read, text, textOf, whole } from "./raw-wire.ts";
import { type RawOutcome, RawWorker, type RawWorkerOptions, STATUS } from "./raw-worker.ts";
import { startServers } from "./servers.ts";

const signer = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
const stranger = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
const pemOf = (key: KeyObject, type: "pkcs8" | "spki"): string => String(key.export({ type, format: "pem" }));
const TOPICS = ["direct", "topic", "both", "signed", "quiet", "again", "wait", "limited", "bus"];
const POLICY = `
version: v1
default_decision: allow
rules:
  - id: small
    match: { topics: ["job.limited"] }
    decision: allow_with_constraints
    constraints: { budgets: { max_runtime_ms: 60000, max_artifact_bytes: 1000 }, redaction_level: strict }
  - { id: retry, match: { topics: ["job.again"] }, decision: allow_with_constraints, constraints: { budgets: { max_retries: 1 } } }
`;

describe.each(["NATS", "JetStream"] as const)("a worker without any library of ours, over %s", (bus) => {
  const opened = new AsyncDisposableStack();
  let at: { readonly nats: string; readonly redis: string };
  let client: Client;
  let bystander: NatsConnection;

  beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), "cordum-raw-"));
    opened.defer(() => rm(folder, { recursive: true, force: true }));
    const [policy, pools] = [join(folder, "policy.yaml"), join(folder, "pools.yaml")];
    await writeFile(policy, POLICY);
    await writeFile(pools, `topics: { ${TOPICS.map((topic) => `job.${topic}: ${topic}`).join(", ")} }\n`);
    const trusted = join(folder, "senders.json");
    await writeFile(trusted, JSON.stringify({ "raw-signed": [pemOf(signer.publicKey, "spki")] }));
    const { env } = opened.use(await startServers({ state: "Redis", bus }, folder));
    at = { nats: env.NATS_URL ?? "", redis: env.REDIS_URL ?? "" };
    const settings = {
      ...env,
      SAFETY_POLICY_PATH: policy,
      POOL_CONFIG_PATH: pools,
      CORDUM_OPEN_ROUTING: "false",
      CORDUM_VERIFY_SIGNATURES: "if_present",
      CORDUM_VERIFY_KEYS_PATH: trusted,
    };
    const nodes = opened.use(await startNodes([["gateway"], ["scheduler"], ["scheduler"]], settings));
    client = new Client({ url: nodes.urls[0] ?? "", apiKey: "key-ops-0000000000" });
    bystander = await connect({ servers: at.nats });
    opened.defer(() => bystander.close());
  });
  afterAll(() => opened.disposeAsync());

  const started = (name: string, more: Partial<RawWorkerOptions>): Promise<RawWorker> =>
    RawWorker.start(at, {
      id: `raw-${name}`,
      pool: name,
      capacity: 2,
      subjects: [{ subject: `worker.raw-${name}.jobs`, group: `worker.raw-${name}.jobs` }],
      run: async ({ context }) => ({ status: STATUS.SUCCEEDED, result: { seen: context } }),
      ...more,
    });
  const done = async (topic: string, rest: object = {}) => {
    const { job_id } = await client.submit({ topic, prompt: "p", ...rest });
    return client.wait(job_id, { timeoutMs: 15_000 });
  };

  it("gets jobs on its own subject, and its result is read back", async () => {
    await using worker = await started("direct", {});
    const job = await done("job.direct", { context: { n: 1 }, labels: { customer: "ö" } });
    expect(job).toMatchObject({ state: "SUCCEEDED", attempts: 1 });
    expect(job.result).toMatchObject({ seen: { prompt: "p", context: { n: 1 }, tenant_id: "acme" } });
    expect(worker.jobs).toMatchObject([
      { jobId: job.id, topic: "job.direct", senderId: "cordum-scheduler", traceId: job.trace_id, attempt: 1 },
    ]);
    expect(worker.jobs[0]?.labels.get("customer")).toBe("ö");
    expect(worker.jobs[0]?.env.get("tenant_id")).toBe("acme");
  });

  it("gets jobs on its topic alone, each once, however many share it", async () => {
    const subjects = [{ subject: "job.topic", group: "topic" }];
    await using one = await started("topic", { subjects });
    await using two = await started("topic", { id: "raw-topic-2", subjects });
    const jobs = await Promise.all(Array.from({ length: 12 }, () => done("job.topic")));
    expect(jobs.every(({ state, attempts }) => state === "SUCCEEDED" && attempts === 1)).toBe(true);
    expect(one.jobs.length + two.jobs.length).toBe(12);
  });

  it("gets each job once when it listens on both", async () => {
    const subjects = ["job.both", "worker.raw-both.jobs"].map((subject) => ({ subject, group: subject }));
    await using worker = await started("both", { subjects });
    await Promise.all(Array.from({ length: 8 }, () => done("job.both")));
    expect(worker.jobs.map(({ subject }) => subject)).toEqual(Array(8).fill("worker.raw-both.jobs"));
  });

  it("may sign what it says, and is not heard under somebody else's signature", async () => {
    const alerts: string[] = [];
    bystander.subscribe("sys.alert", {
      callback: (_, { data }) => void alerts.push(textOf(messageOf(read(data), 13), 4)),
    });
    await bystander.flush();
    const forged = await started("signed", { privateKey: pemOf(stranger.privateKey, "pkcs8") });
    const { job_id } = await client.submit({ topic: "job.signed", prompt: "p" });
    await expect.poll(() => alerts).toContain("PROTOCOL_SIGNATURE_INVALID");
    expect((await client.get(job_id)).state).toBe("DISPATCHED");
    await forged[Symbol.asyncDispose]();

    await using worker = await started("signed", { privateKey: pemOf(signer.privateKey, "pkcs8") });
    expect(await done("job.signed")).toMatchObject({ state: "SUCCEEDED" });
    expect(read(worker.results[0] ?? Buffer.alloc(0)).has(14)).toBe(true);
    await client.cancel(job_id);
  });

  it("may leave out its id, and say everything twice", async () => {
    await using worker = await started("quiet", { isTaciturn: true });
    const job = await done("job.quiet");
    worker.repeatLastResult();
    expect(await done("job.quiet")).toMatchObject({ state: "SUCCEEDED" });
    expect(await client.get(job.id)).toMatchObject({ state: "SUCCEEDED", trace_id: job.trace_id });
  });

  it("is asked again where a failure may be repeated", async () => {
    const run = async ({ attempt }: { readonly attempt: number }): Promise<RawOutcome> =>
      attempt === 1 ? { status: STATUS.FAILED_RETRYABLE, error: "not now" } : { status: STATUS.FAILED, error: "no" };
    await using worker = await started("again", { run });
    expect(await done("job.again")).toMatchObject({ state: "FAILED", attempts: 2, error_message: "no" });
    expect(worker.jobs.map(({ attempt }) => attempt)).toEqual([1, 2]);
  });

  it("is told constraints in the environment of the job", async () => {
    await using worker = await started("limited", {});
    expect(await done("job.limited")).toMatchObject({ safety_decision: "ALLOW_WITH_CONSTRAINTS" });
    const { env, deadlineMs } = worker.jobs[0] ?? { env: new Map<string, string>(), deadlineMs: 0 };
    expect(JSON.parse(env.get("CORDUM_POLICY_CONSTRAINTS") ?? "")).toMatchObject({
      budgets: { maxRuntimeMs: "60000", maxArtifactBytes: "1000" },
      redactionLevel: "strict",
    });
    expect([env.get("CORDUM_REDACTION_LEVEL"), env.get("CORDUM_MAX_ARTIFACT_BYTES"), deadlineMs]).toEqual([
      "strict",
      "1000",
      60_000,
    ]);
  });

  it("hears when its job is cancelled", async () => {
    const stopped: string[] = [];
    const run = ({ jobId }: { readonly jobId: string }, cancelled: AbortSignal): Promise<RawOutcome> =>
      new Promise((resolve) => {
        cancelled.addEventListener("abort", () => {
          stopped.push(jobId);
          resolve({ status: STATUS.CANCELLED });
        });
      });
    await using worker = await started("wait", { run });
    const { job_id } = await client.submit({ topic: "job.wait", prompt: "p" });
    await expect.poll(() => worker.jobs.length).toBe(1);
    expect(await client.cancel(job_id)).toMatchObject({ state: "CANCELLED" });
    await expect.poll(() => stopped).toEqual([job_id]);
    expect((await client.get(job_id)).state).toBe("CANCELLED");
  });

  it("gets a job that came over the bus, past every gateway", async () => {
    await using worker = await started("bus", {});
    const jobId = `raw-${bus}-1`;
    const letters: string[] = [];
    bystander.subscribe("sys.job.dlq", {
      callback: (_, { data }) => void letters.push(textOf(messageOf(read(data), 11), 1)),
    });
    const request = (id: string, topic: string) =>
      Buffer.concat([
        text(1, "trace-of-a-stranger"),
        text(2, "a-stranger"),
        whole(4, 1),
        message(10, text(1, id), text(2, topic), entry(6, "step_id", "s1"), text(13, "acme"), entry(15, "a", "b")),
      ]);
    bystander.publish("sys.job.submit", request(jobId, "job.bus"));
    bystander.publish("sys.job.submit", request(jobId, "job.bus"));
    bystander.publish("sys.job.submit", Buffer.from("not a packet"));
    bystander.publish("sys.job.submit", request(`${jobId}-lost`, "job.unmapped"));
    await expect
      .poll(() => client.get(jobId).catch(() => undefined))
      .toMatchObject({ state: "SUCCEEDED", trace_id: "trace-of-a-stranger", tenant: "acme", attempts: 1 });
    expect(worker.jobs).toMatchObject([{ jobId, traceId: "trace-of-a-stranger" }]);
    expect(worker.jobs[0]?.env.get("step_id")).toBe("s1");
    await expect.poll(() => letters).toEqual([`${jobId}-lost`]);
    expect(await client.get(`${jobId}-lost`)).toMatchObject({ state: "FAILED", error_code: "no_pool_mapping" });
  });
});
