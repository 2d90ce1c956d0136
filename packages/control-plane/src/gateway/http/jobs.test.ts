import { encodePacket, JobStatus, SUBJECTS } from "@cordum/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openScene, type Scene } from "../testing/gateway-scene.ts";

const JOBS = "/api/v1/jobs";
let scene: Scene;
beforeEach(async () => {
  scene = await openScene();
});
afterEach(() => scene[Symbol.asyncDispose]());

async function submit(over: Record<string, unknown> = {}, key = "submitter-key"): Promise<string> {
  const answer = await scene.post(key, JOBS, { prompt: "hello", ...over });
  expect(answer.statusCode).toBe(200);
  return answer.json().job_id;
}
const detail = async (id: string, key = "viewer-key") => (await scene.call(key, "GET", `${JOBS}/${id}`)).json();

describe("POST /api/v1/jobs", () => {
  it("answers with the ids of the job and of its trace, and nothing else", async () => {
    const answer = await scene.post("submitter-key", JOBS, { prompt: "hi", topic: "job.mail.send", unknown: 1 });
    const { job_id, trace_id, ...rest } = answer.json();
    expect([answer.statusCode, rest, answer.headers["x-trace-id"]]).toEqual([200, {}, trace_id]);
    expect(job_id).toMatch(/^[0-9a-f-]{36}$/);
  });

  it("hands every field to the job, and the identity from the key alone", async () => {
    const id = await submit({
      topic: "job.mail.send",
      adapter_id: "a1",
      priority: "Batch",
      context: { to: "ada" },
      memory_id: "m1",
      team_id: "t1",
      principal_id: "mallory",
      actor_id: " bob ",
      actor_type: "Human",
      pack_id: " p ",
      capability: "c",
      risk_tags: ["pii"],
      requires: ["gpu"],
      labels: { constructor: "x", approval_granted: "true", run_id: "r1" },
      tags: ["t"],
      deadline_ms: 60_000,
    });
    const job = await detail(id);
    expect(job).toMatchObject({
      id,
      topic: "job.mail.send",
      tenant: "acme",
      actor_id: "bob",
      actor_type: "human",
      pack_id: "p",
      capability: "c",
      risk_tags: ["pii"],
      requires: ["gpu"],
      labels: { constructor: "x", run_id: "r1" },
      run_id: "r1",
    });
    expect(job.context).toMatchObject({
      prompt: "hello",
      adapter_id: "a1",
      priority: "Batch",
      context: { to: "ada" },
      tenant_id: "acme",
    });
    const [record] = (await scene.call("viewer-key", "GET", JOBS)).json().items;
    expect(record).toMatchObject({ id, principal: "submitter", team: "t1" });
    expect(record.deadline_unix).toBeGreaterThan(1_700_000_000);
  });

  it("takes null for what is not set, and a body under any content type", async () => {
    const body = JSON.stringify({
      prompt: "x",
      topic: null,
      labels: null,
      context: null,
      max_input_tokens: null,
      allow_retrieval: null,
    });
    for (const type of [
      "text/plain",
      "application/x-www-form-urlencoded",
      "application/json; charset=utf-8",
      'x/y; z="',
      "",
    ]) {
      const headers = { "x-api-key": "submitter-key", ...(type === "" ? {} : { "content-type": type }) };
      expect((await scene.gateway.inject({ method: "POST", url: JOBS, payload: body, headers })).statusCode).toBe(200);
    }
  });

  it.each<[string, unknown, string, string]>([
    ["no prompt", {}, "prompt is required", "prompt"],
    ["an empty prompt", { prompt: "" }, "prompt is required", "prompt"],
    ["a long prompt", { prompt: "x".repeat(100_001) }, "prompt too long (>100000 chars)", "prompt"],
    ["another topic", { prompt: "x", topic: "mail" }, "topic must start with job.", "topic"],
    ["negative tokens", { prompt: "x", max_input_tokens: -1 }, "token limits must be non-negative", "max_input_tokens"],
    ["a negative deadline", { prompt: "x", deadline_ms: -1 }, "deadline_ms must be non-negative", "deadline_ms"],
    ["an odd actor", { prompt: "x", actor_type: "robot" }, "actor_type must be 'human' or 'service'", "actor_type"],
    ["51 tags", { prompt: "x", tags: Array.from({ length: 51 }, String) }, "too many tags (max 50)", "tags"],
    [
      "10,000 labels",
      { prompt: "x", labels: Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [`l${n}`, ""])) },
      "too many labels (max 50)",
      "labels",
    ],
    ["a number as prompt", { prompt: 5 }, "invalid json", "prompt"],
    ["a fraction", { prompt: "x", deadline_ms: 1.5 }, "invalid json", "deadline_ms"],
    ["a number as label", { prompt: "x", labels: { a: 1 } }, "invalid json", "labels.a"],
    ["a list", [], "invalid json", "body"],
    ["text", "prompt", "invalid json", "body"],
    ["null", null, "invalid json", "body"],
  ])("refuses %s in the words of the original, naming the field", async (_, body, error, field) => {
    const answer = await scene.post("submitter-key", JOBS, body);
    expect(answer.statusCode).toBe(400);
    expect(answer.json()).toMatchObject({ code: "INVALID_REQUEST", error, errors: [{ field }] });
  });

  it("lets topics have no wildcards, blanks or subjects of ours", async () => {
    for (const topic of ["job.", "job.*", "job.>", "job.a b", "job.a\u0000", "job..a", "job.ä"]) {
      expect((await scene.post("submitter-key", JOBS, { prompt: "x", topic })).statusCode).toBe(400);
    }
  });

  it("takes the idempotency key from the header or the body", async () => {
    const send = (headers: Record<string, string>, body: object = {}) =>
      scene.call("submitter-key", "POST", JOBS, { payload: { prompt: "x", ...body }, headers });
    const first = (await send({ "idempotency-key": "k1" })).json();
    expect((await send({ "x-idempotency-key": "k1" })).json()).toEqual(first);
    expect((await send({}, { idempotency_key: " k1 " })).json()).toEqual(first);
    expect((await send({ "idempotency-key": "k1" }, { idempotency_key: "k2" })).json()).toMatchObject({
      status: 400,
      errors: [{ field: "idempotency_key" }],
    });
    expect((await send({ "idempotency-key": "k1" }, { prompt: "y" })).json()).toMatchObject({
      status: 409,
      error: "idempotency key already used",
    });
  });
});

describe("a job", () => {
  it("is shown with all its members at every state", async () => {
    const waiting = await detail(await submit());
    expect(waiting).toMatchObject({
      state: "SCHEDULED",
      waiting: "no_workers",
      safety_decision: "ALLOW",
      approval_required: false,
      result: null,
      result_ptr: "",
    });
    const denied = await detail(await submit({ topic: "job.no.way" }));
    expect(denied).toMatchObject({
      state: "DENIED",
      safety_decision: "DENY",
      safety_rule_id: "no",
      error_message: "never",
      error_code: "safety_denied",
      error_status: "JOB_STATUS_DENIED",
    });
    const small = await detail(await submit({ topic: "job.small" }));
    expect(small).toMatchObject({
      safety_decision: "ALLOW_WITH_CONSTRAINTS",
      safety_constraints: { budgets: { max_runtime_ms: 60_000, max_retries: 1 } },
    });
    expect(Object.keys(small)).toEqual(
      expect.arrayContaining([
        "id",
        "state",
        "trace_id",
        "idempotency_key",
        "context",
        "safety_remediations",
        "workflow_id",
        "step_id",
      ]),
    );
  });

  it("shows what the worker returned", async () => {
    const { bus, payloads } = scene.core.parts;
    const never = new AbortController().signal;
    const tell = (subject: string, payload: NonNullable<Parameters<typeof encodePacket>[0]["payload"]>) =>
      bus.publish(subject, encodePacket({ senderId: "w1", protocolVersion: 1, payload }), never);
    await bus.subscribe({ subject: "worker.w1.jobs", keep: false, inFlightMax: 1 }, async () => ({ kind: "ack" }));
    await tell(SUBJECTS.handshake, {
      kind: "handshake",
      value: { componentId: "w1", role: 3, readyTopics: ["job.echo"] },
    });
    await tell(SUBJECTS.heartbeat, {
      kind: "heartbeat",
      value: { workerId: "w1", pool: "p", maxParallelJobs: 4, labels: { zone: "a" } },
    });
    await until(async () => (await scene.call("admin-key", "GET", "/api/v1/workers")).json().length === 1);
    const id = await submit({ topic: "job.echo" });
    await payloads.put(`res:${id}`, Buffer.from('{"echo":"hello"}'), 60_000, never);
    await tell(SUBJECTS.jobResult, {
      kind: "jobResult",
      value: { jobId: id, workerId: "w1", status: JobStatus.SUCCEEDED, resultPtr: `redis://res:${id}` },
    });
    await until(async () => (await detail(id)).state === "SUCCEEDED");
    expect(await detail(id)).toMatchObject({
      result: { echo: "hello" },
      result_ptr: `redis://res:${id}`,
      attempts: 1,
      worker_id: "w1",
    });
    expect((await detail(id)).error_status).toBeUndefined();
    const [short] = (await scene.call("admin-key", "GET", "/api/v1/workers")).json();
    expect(short).toMatchObject({
      worker_id: "w1",
      pool: "p",
      max_parallel_jobs: 4,
      labels: { zone: "a" },
      topics: ["job.echo"],
    });
    expect(short.region).toBeUndefined();
    expect(Date.parse(short.last_heartbeat)).toBeGreaterThan(0);
    const full = (
      await scene.call("admin-key", "GET", "/api/v1/workers", { headers: { "x-tenant-id": "acme" } })
    ).json();
    expect(full.items[0]).toMatchObject({
      worker_id: "w1",
      region: "",
      cpu_load: 0,
      capabilities: [],
      online: true,
      heartbeat_age_seconds: 0,
    });
  });

  it("is cancelled once, by those who may", async () => {
    const id = await submit();
    const cancel = (key: string) => scene.call(key, "POST", `${JOBS}/${id}/cancel`);
    expect((await cancel("submitter-key")).statusCode).toBe(403);
    expect((await cancel("operator-key")).json()).toEqual({ id, state: "CANCELLED" });
    expect((await cancel("operator-key")).json()).toEqual({ id, state: "CANCELLED" });
    const denied = await submit({ topic: "job.no.x" });
    expect(
      (
        await scene.call("admin-key", "POST", `${JOBS}/${denied}/cancel`, {
          payload: "",
          headers: { "content-type": "application/json" },
        })
      ).json(),
    ).toEqual({ id: denied, state: "DENIED", reason: "job already terminal" });
  });

  it("tells what policy decided, newest first", async () => {
    const id = await submit({ topic: "job.ask" });
    const answer = await scene.call("viewer-key", "GET", `${JOBS}/${id}/decisions?limit=5`);
    expect(answer.json()).toMatchObject([{ decision: "REQUIRE_APPROVAL", rule_id: "ask", approval_required: true }]);
    expect((await scene.call("viewer-key", "GET", `${JOBS}/nobody/decisions`)).statusCode).toBe(404);
  });

  it.each([
    "x:y",
    "run:step@2",
    "..",
    "%2e%2e%2fetc",
    "a%2Fb",
    "%00",
    "%0d%0aX-Evil:%201",
    "ä%F0%9F%98%80",
    "__proto__",
    "constructor",
    "x".repeat(257),
    "x".repeat(5_000),
    "%20",
    "*",
    "%7B%7D",
  ])("with the odd id %s does not exist", async (id) => {
    for (const path of [
      `${JOBS}/${id}`,
      `${JOBS}/${id}/decisions`,
      `/api/v1/approvals/${id}/approve`,
      `${JOBS}/${id}/cancel`,
    ]) {
      const isRead = !path.endsWith("approve") && !path.endsWith("cancel");
      const answer = await scene.call("admin-key", isRead ? "GET" : "POST", path);
      expect([answer.statusCode, answer.headers["x-evil"]]).toEqual([404, undefined]);
      expect(answer.headers["content-type"]).toContain("application/problem+json");
    }
  });
});

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 400; attempt++) {
    if (await holds()) return;
    await scene.clock.sleep(5, new AbortController().signal);
  }
  throw new Error("never came to be");
}
