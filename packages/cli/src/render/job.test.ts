import type { JobDetail, StopOrder } from "@cordum/sdk";
import { describe, expect, it } from "vitest";
import { describeJob, describeStop, describeWait } from "./job.ts";

const AT = 1_800_000_000_000_000;
const order = (over: Partial<StopOrder>): StopOrder => ({
  status: "awaited",
  worker_id: "w1",
  asked_at: AT,
  ...over,
});
const JOB: JobDetail = {
  ...{ id: "j1", state: "RUNNING", trace_id: "j1", topic: "job.echo", tenant: "acme", actor_id: "", actor_type: "" },
  ...{ idempotency_key: "", capability: "", pack_id: "", risk_tags: null, requires: null, attempts: 1 },
  ...{ context_ptr: "", context: null, result_ptr: "", result: null, safety_decision: "ALLOW", safety_reason: "" },
  ...{ safety_rule_id: "", safety_snapshot: "", safety_job_hash: "", safety_constraints: null },
  ...{ safety_remediations: null, approval_required: false, approval_ref: "", labels: {}, workflow_id: "" },
  ...{ run_id: "", step_id: "" },
};

describe("what became of the order to stop", () => {
  it.each<[Partial<StopOrder>, string]>([
    [{}, "w1 was told to stop and has not answered yet"],
    [
      { status: "acknowledged", answered_at: AT + 1_500_000, reported: "JOB_STATUS_CANCELLED" },
      "acknowledged by w1 after 1.500s (JOB_STATUS_CANCELLED)",
    ],
    [
      { status: "acknowledged", answered_at: AT + 1_000, reported: "JOB_STATUS_SUCCEEDED" },
      "too late: w1 had done the work, and said so after 0.001s",
    ],
    [{ status: "outcome_unknown" }, "outcome unknown: w1 did not answer; it may have done the work, or still do it"],
    [{ status: "something new" }, "something new"],
  ])("of %j is said as it is", (over, says) => {
    expect(describeStop(order(over))).toBe(says);
  });
});

it("a job that runs says how far it is; results that did not count are listed", () => {
  const running = { ...JOB, worker_id: "w1", percent: 40, progress_message: "reading\u001b[31m", progress_at: AT };
  expect(describeWait(running)).toBe("RUNNING  at w1, 40 %: reading\u001b[31m");
  const stray_results = [{ at: AT, why: "not_assigned", worker_id: "mallory", reported: "JOB_STATUS_SUCCEEDED" }];
  const text = describeJob({ ...running, stray_results });
  expect(text).toMatch(/^progress +40 %: reading.*, at 2027-01-15/m);
  expect(text).not.toContain("\u001b");
  expect(text).toMatch(/JOB_STATUS_SUCCEEDED +mallory +not_assigned/);
});
