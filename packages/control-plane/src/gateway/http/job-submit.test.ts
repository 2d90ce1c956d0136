import { encodePacket, SUBJECTS } from "@cordum/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openScene, type Scene } from "../testing/gateway-scene.ts";

const JOBS = "/api/v1/jobs";
let scene: Scene;
beforeEach(async () => {
  scene = await openScene();
});
afterEach(() => scene[Symbol.asyncDispose]());

const batch = (jobs: unknown, headers: Record<string, string> = {}) =>
  scene.call("submitter-key", "POST", `${JOBS}/batch`, { payload: JSON.stringify({ jobs }), headers });

describe("POST /api/v1/jobs/batch", () => {
  it("answers each job by itself, in order, with what is wrong in it", async () => {
    const answer = await batch([
      { prompt: "a" },
      { prompt: 5 },
      { prompt: "b", topic: "job.no.x" },
      { prompt: "c", labels: { x: 1 } },
      { prompt: "d", actor_type: "robot" },
      null,
      "text",
      { prompt: "e", tenant_id: "other" },
      { prompt: "f", deadline_ms: -1 },
    ]);
    expect(answer.statusCode).toBe(200);
    const { accepted, refused, items } = answer.json();
    expect([accepted, refused, items.map((item: { index: number }) => item.index)]).toEqual([
      2,
      7,
      [0, 1, 2, 3, 4, 5, 6, 7, 8],
    ]);
    expect(items[0]).toMatchObject({ state: "SCHEDULED", trace_id: items[0].job_id });
    expect(items[2]).toMatchObject({ state: "DENIED" });
    const problems = items.map((item: { problem?: { status: number; errors: { field: string }[] } }) =>
      item.problem === undefined ? "" : `${item.problem.status} ${item.problem.errors.map(({ field }) => field)}`,
    );
    expect(problems).toEqual([
      "",
      "400 prompt",
      "",
      "400 labels.x",
      "400 actor_type",
      "400 body",
      "400 body",
      "403 ",
      "400 deadline_ms",
    ]);
  });

  it("takes a thousand, and neither more nor none", async () => {
    const jobs = Array.from({ length: 1_000 }, (_, n) => ({ prompt: `p${n}` }));
    const { accepted, items } = (await batch(jobs)).json();
    expect([accepted, new Set(items.map((item: { job_id: string }) => item.job_id)).size]).toEqual([1_000, 1_000]);
    for (const wrong of [[...jobs, { prompt: "x" }], [], {}, null, "x"])
      expect((await batch(wrong)).json()).toMatchObject({ status: 400, errors: [{ field: "jobs" }] });
    const empty = await scene.call("submitter-key", "POST", `${JOBS}/batch`, { payload: "" });
    expect(empty.statusCode).toBe(400);
  });

  it("gives each job the key of its own, or one of the header's", async () => {
    const jobs = [{ prompt: "a", idempotency_key: "own" }, { prompt: "b" }, { prompt: "c", idempotency_key: "own2" }];
    const first = (await batch(jobs, { "idempotency-key": "h" })).json().items;
    const again = (await batch(jobs, { "idempotency-key": "h" })).json();
    expect(again.items.map((item: { job_id: string }) => item.job_id)).toEqual(
      first.map((item: { job_id: string }) => item.job_id),
    );
    expect(again.items.every((item: { repeated?: boolean }) => item.repeated === true)).toBe(true);
    const single = await scene.post("submitter-key", JOBS, jobs[0]);
    expect(single.json().job_id).toBe(first[0].job_id);
    const [, moved] = (await batch([{ prompt: "a" }, { prompt: "other" }], { "idempotency-key": "h" })).json().items;
    expect(moved.problem).toMatchObject({ code: "IDEMPOTENCY_CONFLICT", status: 409 });
  });

  it("may be larger than one submit, but not without end", async () => {
    const jobs = (count: number) =>
      Array.from({ length: count }, () => ({ prompt: "x", context: "y".repeat(1_500_000) }));
    expect((await batch(jobs(2))).json().accepted).toBe(2);
    const large = await batch(jobs(6));
    expect([large.statusCode, large.json().errors[0].field]).toEqual([413, "body"]);
  });

  it("is for those who may submit", async () => {
    for (const key of ["viewer-key", "approver-key", "worker-key"])
      expect((await scene.post(key, `${JOBS}/batch`, { jobs: [{ prompt: "x" }] })).statusCode).toBe(403);
  });
});

describe("POST /api/v1/jobs?evaluate=true", () => {
  const ask = async (topic: string) => {
    const answer = await scene.post("submitter-key", `${JOBS}?evaluate=true`, { prompt: "x", topic });
    return { status: answer.statusCode, body: answer.json(), headers: answer.headers };
  };

  it("tells what policy decided, always with both ids", async () => {
    const ids = { job_id: expect.any(String), trace_id: expect.any(String) };
    expect((await ask("job.echo")).body).toEqual({ ...ids, status: "submitted" });
    expect((await ask("job.ask")).body).toEqual({ ...ids, status: "approval_required", reason: "a person must look" });
    const denied = await ask("job.no.x");
    expect([denied.status, denied.headers["content-type"]]).toEqual([403, "application/problem+json; charset=utf-8"]);
    expect(denied.body).toMatchObject({ ...ids, code: "JOB_DENIED", error: "never" });
    const state = (await scene.call("viewer-key", "GET", `${JOBS}/${denied.body.job_id}`)).json().state;
    expect(state).toBe("DENIED");
    const slow = await ask("job.slow");
    expect(slow).toMatchObject({ status: 429, body: { ...ids, code: "JOB_THROTTLED", error: "too many" } });
    expect(Number(slow.headers["retry-after"])).toBeGreaterThan(0);
  });

  it("is not what other clients get", async () => {
    const answer = await scene.post("submitter-key", JOBS, { prompt: "x", topic: "job.no.x" });
    expect([answer.statusCode, Object.keys(answer.json())]).toEqual([200, ["job_id", "trace_id"]]);
  });
});

describe("submitting", () => {
  it("takes a time before which the job must not run, in two spellings", async () => {
    const send = async (over: object) => (await scene.post("submitter-key", JOBS, { prompt: "x", ...over })).json();
    const soon = scene.clock.now() + 3_600_000;
    for (const over of [{ not_before: new Date(soon).toISOString() }, { not_before: soon }]) {
      const { job_id } = await send(over);
      const job = (await scene.call("viewer-key", "GET", `${JOBS}/${job_id}`)).json();
      expect(job).toMatchObject({ state: "SCHEDULED", waiting: "not_before", not_before: soon * 1_000 });
    }
    for (const none of [{ not_before: null, delay_ms: null }, { not_before: "" }, { not_before: 0, delay_ms: 0 }])
      expect((await send(none)).job_id).toEqual(expect.any(String));
    for (const [over, field] of [
      [{ not_before: "tomorrow" }, "not_before"],
      [{ not_before: "2026-02-30T00:00:00Z" }, "not_before"],
      [{ delay_ms: -1 }, "delay_ms"],
      [{ delay_ms: 1e15 }, "delay_ms"],
    ] as const)
      expect(await send(over)).toMatchObject({ status: 400, errors: [{ field }] });
  });

  it("says which part is too large", async () => {
    const labels = Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`l${n}`, "x".repeat(4_096)]));
    const answer = await scene.post("submitter-key", JOBS, { prompt: "x", labels });
    expect([answer.statusCode, answer.json().errors[0].field]).toEqual([413, "labels"]);
    const big = await scene.post("submitter-key", JOBS, { prompt: "x", context: "y".repeat(2_200_000) });
    expect([big.statusCode, big.json().errors[0].field]).toEqual([413, "body"]);
  });
});

describe("the rate at which a tenant submits", () => {
  it("is refused with what is exceeded and when to come again; batches cost their jobs, refused ones make none", async () => {
    const rates = { preset: { perSecond: 1, burst: 5 }, ofTenant: new Map([["other", { perSecond: 0, burst: 1 }]]) };
    await using limited = await openScene({ submitRates: rates });
    const submit = (key: string, url: string, body: object) => limited.post(key, url, body);
    const three = { jobs: [{ prompt: "a" }, { prompt: "b" }, { prompt: 5 }, { prompt: "c" }] };
    expect((await submit("submitter-key", `${JOBS}/batch`, three)).json()).toMatchObject({ accepted: 3 });
    const refused = await submit("submitter-key", `${JOBS}/batch`, three);
    expect(refused.statusCode).toBe(429);
    expect(refused.headers["retry-after"]).toBe("1");
    expect(refused.json()).toMatchObject({
      code: "SUBMIT_RATE_LIMITED",
      retryable: true,
      errors: [{ field: "tenant", reason: "jobs of tenant acme are limited to 1 a second, 5 at once" }],
    });
    for (let nth = 0; nth < 2; nth++)
      expect((await submit("operator-key", JOBS, { prompt: "x" })).statusCode).toBe(200);
    expect((await submit("operator-key", JOBS, { prompt: "x" })).statusCode).toBe(429);
    expect((await submit("operator-key", JOBS, { topic: "no prompt" })).statusCode).toBe(429);
    for (let nth = 0; nth < 8; nth++)
      expect((await submit("other-admin-key", JOBS, { prompt: "x" })).statusCode).toBe(200);
    const counts = (await limited.call("viewer-key", "GET", `${JOBS}/counts`)).json();
    expect(counts.open + counts.ended).toBe(5);
    expect((await limited.call("", "GET", "/metrics")).body).toContain("cordum_gateway_submits_limited_total 5");
  });

  it("is one with what comes over the bus, behind whose line a request is told to wait", async () => {
    const rates = { preset: { perSecond: 1, burst: 2 }, ofTenant: new Map() };
    await using limited = await openScene({ submitRates: rates });
    for (let nth = 1; nth <= 4; nth++) {
      const value = { jobId: `bus-${nth}`, topic: "job.echo", tenantId: "acme" };
      const packet = { senderId: "raw", protocolVersion: 1, payload: { kind: "jobRequest", value } } as const;
      await limited.parts.jobParts.bus.publish(SUBJECTS.jobSubmit, encodePacket(packet), new AbortController().signal);
    }
    const read = async (id: string, aside = "") =>
      (await limited.call("viewer-key", "GET", `${JOBS}/${id}${aside}`)).json();
    await expect.poll(async () => (await read("bus-4")).waiting).toBe("throttled");
    expect(await read("bus-4", "/why")).toMatchObject({
      reason: "throttled",
      explanation: expect.stringContaining("its tenant submits more jobs"),
    });
    const refused = await limited.post("submitter-key", JOBS, { prompt: "x" });
    expect([refused.statusCode, refused.headers["retry-after"]]).toEqual([429, "3"]);
  });
});
