import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { approveJob } from "../approvals/answer.ts";
import { type JobScene, NEVER, openJobScene } from "../testing/job-scene.ts";
import { person } from "../testing/people.ts";
import { addWorker, type SceneWorker } from "../testing/scene-worker.ts";
import { cancelJob } from "./cancel.ts";

const HOUR = 3_600_000;
let scene: JobScene;
let worker: SceneWorker;
beforeEach(async () => {
  scene = await openJobScene();
  worker = await addWorker(scene, { topics: ["job.echo", "job.ask", "job.slow"] });
});
afterEach(() => scene.settle());

const got = (jobId: string) => worker.seen.filter((request) => request.jobId === jobId).length;

describe("a job that is not to run yet", () => {
  it.each([
    ["a delay", () => ({ delayMs: HOUR })],
    ["a moment", () => ({ notBefore: scene.clock.now() + HOUR })],
  ])("waits for %s, then runs once", async (_, start) => {
    const { jobId, state } = await scene.submit(start());
    expect(state).toBe("SCHEDULED");
    expect((await scene.load(jobId)).phase).toMatchObject({ waiting: "not_before" });
    await scene.clock.advance(HOUR - 10_000);
    await scene.pass(9_000);
    expect([got(jobId), (await scene.load(jobId)).phase.state]).toEqual([0, "SCHEDULED"]);
    await scene.until(jobId, "DISPATCHED", 20_000);
    await scene.pass(2_000);
    expect(got(jobId)).toBe(1);
  });

  it("is judged at once, and again when policy has changed meanwhile", async () => {
    const denied = await scene.submit({ topic: "job.no.x", delayMs: HOUR });
    expect(denied.state).toBe("DENIED");
    const { jobId } = await scene.submit({ delayMs: HOUR });
    scene.policy.replace('version: v1\nrules: [{ id: late, match: { topics: ["job.echo"] }, decision: deny }]');
    await scene.clock.advance(HOUR - 1_000);
    await scene.until(jobId, "DENIED", 20_000);
    expect(got(jobId)).toBe(0);
  });

  it("asks a person at once, whose early yes does not hurry it", async () => {
    const { jobId, state } = await scene.submit({ topic: "job.ask", delayMs: HOUR });
    expect(state).toBe("APPROVAL_REQUIRED");
    const by = { tenant: "acme", actor: person("bob"), reason: "", note: "" } as const;
    await approveJob(jobId, by, scene.parts, NEVER);
    expect((await scene.load(jobId)).phase).toMatchObject({ state: "SCHEDULED", waiting: "not_before" });
    await scene.clock.advance(HOUR - 1_000);
    await scene.until(jobId, "DISPATCHED", 20_000);
  });

  it("is cancelled like any other, and no free worker pulls it", async () => {
    const { jobId } = await scene.submit({ delayMs: HOUR });
    scene.core.catchUp();
    await worker.heartbeat();
    await scene.pass(2_000);
    expect(got(jobId)).toBe(0);
    await cancelJob(jobId, { tenant: "acme", by: "ada", reason: "" }, scene.parts, NEVER);
    expect((await scene.load(jobId)).phase.state).toBe("CANCELLED");
  });

  it("does not spend its wait for a worker on the delay", async () => {
    await using brief = await openJobScene({ settings: { backlogMaxMs: 60_000 } });
    const { jobId } = await brief.submit({ delayMs: 90_000 });
    await brief.pass(95_000);
    expect((await brief.load(jobId)).phase).toMatchObject({ state: "SCHEDULED", waiting: "no_workers" });
    await brief.until(jobId, "FAILED", 65_000);
  });

  it("begins at once when its moment has passed", async () => {
    for (const start of [{ delayMs: 0 }, { notBefore: scene.clock.now() - HOUR }])
      expect((await scene.submit(start)).state).toBe("DISPATCHED");
  });

  it("repeats its answer under its key, however much later", async () => {
    const first = await scene.submit({ delayMs: HOUR, idempotencyKey: "k" });
    await scene.clock.advance(60_000);
    const again = await scene.submit({ delayMs: HOUR, idempotencyKey: "k" });
    expect([again.jobId, again.isRepeat]).toEqual([first.jobId, true]);
    await expect(scene.submit({ delayMs: HOUR + 1, idempotencyKey: "k" })).rejects.toMatchObject({
      code: "IDEMPOTENCY_CONFLICT",
    });
  });

  it.each([
    [{ delayMs: 367 * 24 * HOUR }, "delay_ms"],
    [{ notBefore: 8e15 }, "not_before"],
    [{ delayMs: -1 }, "delay_ms"],
    [{ delayMs: 0.5 }, "delay_ms"],
    [{ delayMs: 5, notBefore: 5 }, "delay_ms"],
    [{ delayMs: HOUR, deadlineMs: HOUR }, "deadline_ms"],
  ])("is refused for %j", async (over, field) => {
    await expect(scene.submit(over)).rejects.toMatchObject({ code: "INVALID_REQUEST", fields: [{ field }] });
    expect(scene.committed).toEqual([]);
  });
});
