// The life of a job through the production composition, over memory and the bus of one process, with a worker that speaks raw CAP.

import { JobStatus, SUBJECTS } from "@cordum/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { approveJob, rejectJob } from "../approvals/answer.ts";
import { listDeadLetters } from "../dead-letters/list-dead-letters.ts";
import { cancelJob } from "../jobs/cancel.ts";
import { type JobScene, NEVER, openJobScene, POLICY } from "../testing/job-scene.ts";
import { person } from "../testing/people.ts";
import { addWorker } from "../testing/scene-worker.ts";

describe("the life of a job", () => {
  let scene: JobScene;
  const succeed = () => ({ status: JobStatus.SUCCEEDED });

  beforeEach(async () => {
    scene = await openJobScene();
  });
  afterEach(() => scene.settle());

  it("runs an allowed job on a worker that listens directly", async () => {
    const { seen } = await addWorker(scene, { answer: succeed });
    const { jobId, state } = await scene.submit();
    expect(state).toBe("DISPATCHED");
    const job = await scene.until(jobId, "SUCCEEDED");
    expect(job.steps.map((step) => step.state)).toEqual(["PENDING", "SCHEDULED", "DISPATCHED", "SUCCEEDED"]);
    expect(seen).toHaveLength(1);
    expect(seen[0]?.dispatch?.assignedWorkerId).toBe("w1");
  });

  it("finds a worker that listens on its topic only", async () => {
    await addWorker(scene, { answer: succeed, listens: "on_topic" });
    const { jobId } = await scene.submit();
    const job = await scene.until(jobId, "SUCCEEDED");
    expect(job.attempts).toBe(1);
  });

  it("lets a job wait for a worker that comes later", async () => {
    const { jobId, state } = await scene.submit();
    expect(state).toBe("SCHEDULED");
    expect((await scene.load(jobId)).phase).toMatchObject({ waiting: "no_workers" });
    await addWorker(scene, { answer: succeed });
    await scene.until(jobId, "SUCCEEDED");
  });

  it("serves a backlog that is longer than the worker's slots", async () => {
    const ids = await Promise.all(Array.from({ length: 50 }, () => scene.submit().then(({ jobId }) => jobId)));
    await addWorker(scene, { answer: succeed });
    for (const id of ids) await scene.until(id, "SUCCEEDED");
  });

  it("denies into the dead letters", async () => {
    const { jobId, state } = await scene.submit({ topic: "job.no.way" });
    expect(state).toBe("DENIED");
    const job = await scene.load(jobId);
    expect(job.phase).toMatchObject({ outcome: { code: "safety_denied", message: "never", by: "policy" } });
    const { letters } = await listDeadLetters(scene.state, { tenant: "acme", limit: 10 }, NEVER);
    expect(letters).toMatchObject([{ jobId, code: "safety_denied", reason: "never", lastState: "PENDING" }]);
  });

  it("waits for a person who is not the requester, then runs once", async () => {
    const { seen } = await addWorker(scene, { topics: ["job.ask"], answer: succeed });
    const { jobId, state } = await scene.submit({ topic: "job.ask" });
    expect(state).toBe("APPROVAL_REQUIRED");
    const answer = { tenant: "acme", actor: person("bob"), reason: "fine", note: "" };
    scene.policy.replace(POLICY.replace("too many", "far too many"));
    const both = await Promise.allSettled([
      approveJob(jobId, answer, scene.parts, NEVER),
      rejectJob(jobId, { ...answer, actor: person("eve") }, scene.parts, NEVER),
    ]);
    expect(both.map((result) => result.status)).toEqual(["fulfilled", "rejected"]);
    const job = await scene.until(jobId, "SUCCEEDED");
    expect(job.approval).toMatchObject({ answer: "approved", by: "bob", reason: "fine" });
    expect(seen).toHaveLength(1);
  });

  it("holds throttled jobs and jobs without a policy", async () => {
    const slow = await scene.submit({ topic: "job.slow" });
    expect(slow.state).toBe("PENDING");
    scene.policy.replace("");
    const unjudged = await scene.submit();
    expect(unjudged.state).toBe("PENDING");
    expect((await scene.load(unjudged.jobId)).phase).toMatchObject({ waiting: "policy_unavailable" });
  });

  it("repeats a failed job as often as the constraint allows, then gives up", async () => {
    const fail = () => ({ status: JobStatus.FAILED, errorMessage: "no" });
    const { seen } = await addWorker(scene, { topics: ["job.small"], answer: fail });
    const { jobId } = await scene.submit({ topic: "job.small" });
    const job = await scene.until(jobId, "FAILED");
    expect(job.attempts).toBe(2);
    expect(seen.map((request) => request.dispatch?.attempt)).toEqual([1, 2]);
    expect(JSON.parse(seen[0]?.env.CORDUM_POLICY_CONSTRAINTS ?? "{}")).toMatchObject({
      budgets: { maxRuntimeMs: "60000", maxRetries: 1 },
    });
  });

  it("cancels, tells the worker, and ignores what comes late", async () => {
    const worker = await addWorker(scene);
    const { jobId } = await scene.submit();
    const { job, moved } = await cancelJob(
      jobId,
      { tenant: "acme", by: "ada", reason: "changed my mind" },
      scene.parts,
      NEVER,
    );
    expect([job.phase.state, moved]).toEqual(["CANCELLED", true]);
    await worker.result({ jobId, status: JobStatus.SUCCEEDED });
    await scene.quiet();
    expect((await scene.load(jobId)).phase.state).toBe("CANCELLED");
    expect(scene.sent(SUBJECTS.jobCancel, "jobCancel")).toMatchObject([{ jobId, reason: "changed my mind" }]);
    const again = await cancelJob(jobId, { tenant: "acme", by: "ada", reason: "" }, scene.parts, NEVER);
    expect(again.moved).toBe(false);
    expect(scene.sent(SUBJECTS.jobCancel, "jobCancel")).toHaveLength(1);
  });

  it("answers the same for the same idempotency key and refuses another body", async () => {
    const first = await scene.submit({ idempotencyKey: "k1" });
    const again = await scene.submit({ idempotencyKey: "k1" });
    expect(again).toMatchObject({ jobId: first.jobId, traceId: first.traceId, isRepeat: true });
    await expect(scene.submit({ idempotencyKey: "k1", prompt: "other" })).rejects.toMatchObject({
      code: "IDEMPOTENCY_CONFLICT",
    });
    expect((await scene.submit({ idempotencyKey: "k1", tenant: "other" })).jobId).not.toBe(first.jobId);
  });
});
