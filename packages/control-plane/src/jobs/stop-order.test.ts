// What becomes of the order to stop, and of results that do not count.

import { JobStatus, SUBJECTS } from "@cordum/protocol";
import { afterEach, describe, expect, it } from "vitest";
import { Fault } from "../ports/fault.ts";
import { type JobScene, NEVER, openJobScene, type SceneOptions } from "../testing/job-scene.ts";
import { withSending } from "../testing/scene-ports.ts";
import { addWorker, type SceneWorker } from "../testing/scene-worker.ts";
import { cancelJob } from "./cancel.ts";
import { alarmOf, STRAYS_MAX } from "./job.ts";

const BY = { tenant: "acme", by: "ada", reason: "not needed" };
let scene: JobScene;
let worker: SceneWorker;

async function open(options: SceneOptions = {}): Promise<void> {
  scene = await openJobScene(options);
  worker = await addWorker(scene, { topics: ["job.echo", "job.small"] });
}
afterEach(() => scene.settle());

/** A job that was cancelled while w1 worked on it. */
async function cancelled(topic = "job.echo"): Promise<string> {
  const { jobId } = await scene.submit({ topic });
  await worker.progress(jobId, 0);
  await scene.pass(300);
  await cancelJob(jobId, BY, scene.parts, NEVER);
  await scene.quiet();
  return jobId;
}
const stopOf = async (jobId: string) => (await scene.load(jobId)).stop;
const told = (): number => scene.sent("worker.w1.cancel", "jobCancel").length;
const stops = (outcome: string): number => scene.counts.get(`cordum_scheduler_job_stops_total ${outcome}`) ?? 0;

describe("the order to stop", () => {
  it("is acknowledged by the result of the job's worker, and not sent again", async () => {
    await open();
    const jobId = await cancelled();
    expect(await stopOf(jobId)).toMatchObject({ dispatch: { workerId: "w1" }, answer: { kind: "awaited" } });
    const before = await scene.load(jobId);
    await worker.result({ jobId, status: JobStatus.CANCELLED, errorCode: "CANCELLED" });
    await scene.quiet();
    const job = await scene.load(jobId);
    expect(job.stop?.answer).toMatchObject({ kind: "acknowledged", workerId: "w1", reported: "JOB_STATUS_CANCELLED" });
    expect(job).toMatchObject({ phase: before.phase, updatedAt: before.updatedAt, steps: before.steps });
    expect(alarmOf(job)).toBe("never");
    await scene.pass(120_000);
    expect(told()).toBe(1);
    expect([stops("acknowledged"), stops("unknown")]).toEqual([1, 0]);
  });

  it("comes too late when the work was done: the job stays cancelled, the record says what the worker did", async () => {
    await open();
    const jobId = await cancelled();
    await worker.result({ jobId, status: JobStatus.SUCCEEDED, resultPtr: "redis://res:x" });
    await scene.quiet();
    const job = await scene.load(jobId);
    expect(job.phase).toMatchObject({ state: "CANCELLED", outcome: { resultPtr: "" } });
    expect(job.stop?.answer).toMatchObject({ kind: "acknowledged", reported: "JOB_STATUS_SUCCEEDED" });
    expect(job.strays).toBeUndefined();
  });

  it("is repeated until the grace is over; then the outcome is unknown, until the worker says it after all", async () => {
    await open();
    const jobId = await cancelled();
    await scene.pass(29_000);
    expect(told()).toBe(4); // at once, after 5, 10 and 20 s
    expect(await stopOf(jobId)).toMatchObject({ answer: { kind: "awaited" } });
    await scene.pass(2_000);
    expect(await stopOf(jobId)).toMatchObject({ answer: { kind: "unknown" } });
    expect(alarmOf(await scene.load(jobId))).toBe("never");
    await scene.pass(300_000);
    expect(told()).toBe(4);
    expect(stops("unknown")).toBe(1);
    await worker.result({ jobId, status: JobStatus.SUCCEEDED });
    await scene.quiet();
    expect(await stopOf(jobId)).toMatchObject({ answer: { kind: "acknowledged", reported: "JOB_STATUS_SUCCEEDED" } });
  });

  it("has the grace that is set", async () => {
    await open({ settings: { stopGraceMs: 120_000 } });
    const jobId = await cancelled();
    await scene.pass(110_000);
    expect(await stopOf(jobId)).toMatchObject({ answer: { kind: "awaited" } });
    await scene.pass(12_000);
    expect(await stopOf(jobId)).toMatchObject({ answer: { kind: "unknown" } });
  });

  it("is not given up while nobody can be told: the grace begins when the bus is back", async () => {
    let isAway = false;
    await open({
      bus: (real) =>
        withSending(real, {
          publish: async (subject, bytes, signal) => {
            if (isAway && subject.includes("cancel")) throw new Fault("BUS_UNAVAILABLE", "away");
            return real.publish(subject, bytes, signal);
          },
        }),
    });
    isAway = true;
    const jobId = await cancelled();
    await scene.pass(90_000);
    expect(told()).toBe(0);
    expect(await stopOf(jobId)).toMatchObject({ answer: { kind: "awaited" } });
    isAway = false;
    await scene.pass(6_000);
    expect(told()).toBeGreaterThan(0);
    await scene.pass(40_000);
    expect(await stopOf(jobId)).toMatchObject({ answer: { kind: "unknown" } });
  });

  it("survives the process that gave it", async () => {
    await open();
    const jobId = await cancelled();
    await scene.settle();
    await scene.addCore();
    await scene.pass(35_000);
    expect(await stopOf(jobId)).toMatchObject({ answer: { kind: "unknown" } });
    expect(told()).toBeGreaterThan(1);
  });

  it("is not answered by strangers, by other dispatches, or by our own announcement", async () => {
    await open();
    const jobId = await cancelled();
    const stranger = await addWorker(scene, { id: "w2", topics: ["job.other"] });
    await stranger.result({ jobId, status: JobStatus.CANCELLED });
    const dispatch = { dispatchId: "other", attempt: 1, assignedWorkerId: "w1", unknownFields: undefined };
    await worker.result({ jobId, status: JobStatus.CANCELLED, dispatch });
    await scene.quiet();
    const job = await scene.load(jobId);
    expect(job.stop?.answer).toEqual({ kind: "awaited" });
    expect(job.strays?.map(({ why, workerId }) => [why, workerId])).toEqual([
      ["not_assigned", "w2"],
      ["ended", "w1"],
    ]);
  });

  it("is given wherever a job ends under its worker's hands, and nowhere else", async () => {
    await open();
    const late = await scene.submit({ deadlineMs: 5_000 });
    const waiting = await scene.submit({ labels: { "placement.gpu": "a100" } });
    const done = await scene.submit();
    await worker.result({ jobId: done.jobId, status: JobStatus.SUCCEEDED });
    await scene.until(late.jobId, "TIMEOUT", 10_000);
    await cancelJob(waiting.jobId, BY, scene.parts, NEVER);
    expect(await stopOf(late.jobId)).toMatchObject({ answer: { kind: "awaited" } });
    expect([await stopOf(waiting.jobId), await stopOf(done.jobId)]).toEqual([undefined, undefined]);
  });
});

describe("results that do not count", () => {
  it("are noted with who said what and why it did not count", async () => {
    await open();
    const { jobId } = await scene.submit({ topic: "job.small" });
    const first = (await scene.load(jobId)).phase;
    if (!("dispatch" in first)) throw new Error("not out");
    await worker.result({ jobId, status: JobStatus.FAILED });
    await scene.until(jobId, "DISPATCHED", 5_000);
    const dispatch = { dispatchId: first.dispatch.id, attempt: 1, assignedWorkerId: "w1", unknownFields: undefined };
    await worker.result({ jobId, status: JobStatus.FAILED, dispatch, errorCode: "E1" });
    await worker.result({ jobId, status: JobStatus.SUCCEEDED, workerId: "mallory" });
    await scene.quiet();
    const at = scene.clock.now();
    expect((await scene.load(jobId)).strays).toEqual([
      {
        at,
        why: "earlier_attempt",
        workerId: "w1",
        via: "",
        dispatchId: first.dispatch.id,
        reported: "JOB_STATUS_FAILED",
        code: "E1",
      },
      {
        at,
        why: "not_assigned",
        workerId: "mallory",
        via: "w1",
        dispatchId: "",
        reported: "JOB_STATUS_SUCCEEDED",
        code: "",
      },
    ]);
    const refused = scene.said.filter(({ event }) => event === "result.refused").map(({ fields }) => fields.why);
    expect(refused).toEqual(["earlier_attempt", "not_assigned"]);
  });

  it("are written once each, and so often at most, however often they come", async () => {
    await open();
    const { jobId } = await scene.submit();
    await worker.result({ jobId, status: JobStatus.SUCCEEDED });
    await scene.quiet();
    const before = scene.committed.length;
    for (let again = 0; again < 20; again++) await worker.result({ jobId, status: JobStatus.SUCCEEDED });
    await scene.quiet();
    expect(scene.committed.length - before).toBe(1);
    for (let nth = 0; nth < 50; nth++)
      await worker.result({ jobId, status: JobStatus.FAILED, workerId: `w${nth}`, errorCode: "x".repeat(10_000) });
    await scene.pass(1_000);
    const job = await scene.load(jobId);
    expect(job.strays).toHaveLength(STRAYS_MAX);
    expect(scene.committed.length - before).toBe(STRAYS_MAX);
    expect(JSON.stringify(job.strays).length).toBeLessThan(6_000);
    expect(job.phase.state).toBe("SUCCEEDED");
    expect(scene.counts.get("cordum_scheduler_stray_results_total foreign")).toBe(49);
  });

  it("leave the job's lists, alarm and announcements alone", async () => {
    await open();
    const { jobId } = await scene.submit();
    await worker.result({ jobId, status: JobStatus.FAILED_FATAL, errorCode: "E1" });
    await scene.quiet();
    const before = scene.state.dump();
    const announced = scene.sent(SUBJECTS.jobDeadLetter, "jobResult").length;
    await worker.result({ jobId, status: JobStatus.SUCCEEDED });
    await scene.quiet();
    const after = scene.state.dump();
    expect(after.indexes).toEqual(before.indexes);
    expect(after.records.map(({ alarmAt }) => alarmAt)).toEqual(before.records.map(({ alarmAt }) => alarmAt));
    expect(scene.sent(SUBJECTS.jobDeadLetter, "jobResult")).toHaveLength(announced);
  });
});
