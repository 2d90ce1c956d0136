import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openScene, type Scene } from "../testing/gateway-scene.ts";

let scene: Scene;
beforeEach(async () => {
  scene = await openScene();
});
afterEach(() => scene[Symbol.asyncDispose]());

const ask = async (key = "submitter-key"): Promise<string> =>
  (
    await scene.post(key, "/api/v1/jobs", { prompt: "x", topic: "job.ask", labels: { run_id: "r1", step_id: "s1" } })
  ).json().job_id;
const answer = (key: string, id: string, verdict: "approve" | "reject", body?: object) =>
  scene.call(key, "POST", `/api/v1/approvals/${id}/${verdict}`, body === undefined ? {} : { payload: body });
const detail = async (id: string) => (await scene.call("viewer-key", "GET", `/api/v1/jobs/${id}`)).json();

describe("approvals", () => {
  it("are listed with what is asked and why", async () => {
    const id = await ask();
    const { items, next_cursor } = (await scene.call("viewer-key", "GET", "/api/v1/approvals")).json();
    expect(next_cursor).toBeNull();
    expect(items).toMatchObject([
      {
        job_id: id,
        job: { id, state: "APPROVAL_REQUIRED", principal: "submitter" },
        decision: "REQUIRE_APPROVAL",
        policy_rule_id: "ask",
        policy_reason: "a person must look",
        approval_ref: id,
        approval_required: true,
        approval_status: "pending",
        approval_actionability: "actionable",
        workflow_run_id: "r1",
        workflow_step_id: "s1",
      },
    ]);
    expect(items[0].job_hash).toMatch(/^[0-9a-f]{64}$/);
  });

  it("let a job run, once, and tell what stands when they are repeated", async () => {
    const id = await ask();
    const { trace_id } = await detail(id);
    expect((await answer("approver-key", id, "approve", { reason: " fine ", note: null })).json()).toEqual({
      job_id: id,
      trace_id,
    });
    expect(await detail(id)).toMatchObject({
      state: "SCHEDULED",
      safety_decision: "ALLOW",
      safety_reason: "approval granted",
      approval_required: false,
      approval_by: "approver",
      approval_reason: "fine",
      approval_status: "approved",
      approval_decision: "approve",
    });
    expect((await answer("approver-key", id, "approve")).json()).toMatchObject({
      job_id: id,
      trace_id,
      status: "already_approved",
      approved_by: "approver",
      approved_at: expect.any(Number),
    });
    expect((await answer("operator-key", id, "approve")).json()).toMatchObject({
      status: 409,
      code: "APPROVAL_ALREADY_RESOLVED",
    });
    expect((await answer("operator-key", id, "reject")).statusCode).toBe(409);
    expect((await scene.call("viewer-key", "GET", "/api/v1/approvals")).json().items).toEqual([]);
  });

  it("deny a job into the dead letters", async () => {
    const id = await ask();
    expect((await answer("approver-key", id, "reject", { reason: "too risky" })).json()).toEqual({ job_id: id });
    expect((await answer("approver-key", id, "reject")).json()).toMatchObject({
      job_id: id,
      status: "already_rejected",
      rejected_by: "approver",
    });
    expect(await detail(id)).toMatchObject({
      state: "DENIED",
      error_code: "approval_rejected",
      error_message: "too risky",
      approval_status: "rejected",
    });
    expect((await scene.call("viewer-key", "GET", "/api/v1/dlq")).json()).toMatchObject([
      { job_id: id, reason: "too risky" },
    ]);
  });

  it("are not given by whoever asked, nor for jobs that wait for nobody", async () => {
    expect((await answer("admin-key", await ask("admin-key"), "approve")).json()).toMatchObject({
      status: 403,
      code: "SELF_APPROVAL_DENIED",
    });
    const { job_id } = (await scene.post("admin-key", "/api/v1/jobs", { prompt: "x" })).json();
    expect((await answer("approver-key", job_id, "approve")).json()).toMatchObject({
      status: 409,
      error: "job not awaiting approval",
    });
  });

  it("are given by exactly one of many who answer at once", async () => {
    const id = await ask();
    const answers = await Promise.all(
      ["admin-key", "operator-key", "approver-key", "root-key"].map((key, n) =>
        answer(key, id, n % 2 === 0 ? "approve" : "reject"),
      ),
    );
    expect(answers.map((one) => one.statusCode).toSorted()).toEqual([200, 409, 409, 409]);
  });

  it("cut what people write", async () => {
    const id = await ask();
    expect((await answer("approver-key", id, "approve", { reason: "r".repeat(100_000), note: "n" })).statusCode).toBe(
      200,
    );
    expect((await detail(id)).approval_reason).toHaveLength(512);
  });
});
