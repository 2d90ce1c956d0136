// Results: which count, and what they end.

import { ErrorCode, type JobResult, JobStatus, SUBJECTS } from "@cordum/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DEAD_LETTER_KIND } from "../dead-letters/dead-letter.ts";
import { Fault } from "../ports/fault.ts";
import { parseTimeouts } from "../scheduling/routing.ts";
import { type JobScene, NEVER, openJobScene, resultsOf } from "../testing/job-scene.ts";
import { withCommit } from "../testing/scene-ports.ts";
import { addWorker, type SceneWorker } from "../testing/scene-worker.ts";
import { readJob } from "./read-job.ts";

let scene: JobScene;
let worker: SceneWorker;
const TOPICS = ["job.echo", "job.small", "job.ask", "job.slow"];

beforeEach(async () => {
  scene = await openJobScene();
  worker = await addWorker(scene, { topics: TOPICS, capacity: 50 });
});
afterEach(async () => {
  await scene.settle();
  expect(scene.said.filter((said) => said.level === "error")).toEqual([]);
});

/** A dispatched job after this result. */
async function after(result: Partial<JobResult>, topic = "job.echo") {
  const { jobId } = await scene.submit({ topic });
  await worker.result({ jobId, ...result });
  await scene.quiet();
  const job = await scene.load(jobId);
  const letter = scene.state
    .dump()
    .records.find(({ stored }) => stored.key.kind === DEAD_LETTER_KIND && stored.key.id === jobId)?.stored.value;
  return { job, jobId, letter };
}
const stray = (reason: string): number => scene.counts.get(`cordum_scheduler_stray_results_total ${reason}`) ?? 0;

describe("the status of a result", () => {
  it.each<[number, string, string]>([
    [JobStatus.UNSPECIFIED, "FAILED", "JOB_STATUS_UNSPECIFIED"],
    [JobStatus.PENDING, "FAILED", "JOB_STATUS_PENDING"],
    [JobStatus.SCHEDULED, "FAILED", "JOB_STATUS_SCHEDULED"],
    [JobStatus.DISPATCHED, "FAILED", "JOB_STATUS_DISPATCHED"],
    [JobStatus.RUNNING, "FAILED", "JOB_STATUS_RUNNING"],
    [JobStatus.SUCCEEDED, "SUCCEEDED", "JOB_STATUS_SUCCEEDED"],
    [JobStatus.FAILED, "FAILED", "JOB_STATUS_FAILED"],
    [JobStatus.CANCELLED, "CANCELLED", "JOB_STATUS_CANCELLED"],
    [JobStatus.DENIED, "DENIED", "JOB_STATUS_DENIED"],
    [JobStatus.TIMEOUT, "TIMEOUT", "JOB_STATUS_TIMEOUT"],
    [JobStatus.FAILED_RETRYABLE, "FAILED", "JOB_STATUS_FAILED_RETRYABLE"],
    [JobStatus.FAILED_FATAL, "FAILED", "JOB_STATUS_FAILED_FATAL"],
    [12, "FAILED", "12"],
    [2_147_483_647, "FAILED", "2147483647"],
    [-1, "FAILED", "-1"],
  ])("%i ends the job as %s", async (status, state, reported) => {
    const { job, letter } = await after({ status });
    expect(job.phase).toMatchObject({ state, outcome: { reported, by: "worker", workerId: "w1" } });
    if (state === "SUCCEEDED") expect(letter).toBeUndefined();
    else expect(letter).toMatchObject({ status: reported, lastState: "DISPATCHED", attempts: 1 });
  });

  it.each<[Partial<JobResult>, string, string]>([
    [{ resultPtr: "redis://res:x" }, "SUCCEEDED", ""],
    [{ resultPtr: "redis://res:x", errorMessage: "no" }, "FAILED", "PROTOCOL_MALFORMED_PACKET"],
    [{ resultPtr: "redis://res:x", errorCode: "E1" }, "FAILED", "E1"],
    [{ resultPtr: "redis://res:x", errorCodeEnum: ErrorCode.JOB_TIMEOUT }, "FAILED", "JOB_TIMEOUT"],
    [{}, "FAILED", "PROTOCOL_MALFORMED_PACKET"],
    [{ errorMessage: "no" }, "FAILED", "PROTOCOL_MALFORMED_PACKET"],
  ])("that is missing means success only beside a pointer and no error: %j", async (result, state, code) => {
    expect((await after({ ...result, status: 0 })).job.phase).toMatchObject({ state, outcome: { code } });
  });

  it.each<[Partial<JobResult>, string]>([
    [{ status: JobStatus.FAILED }, "SCHEDULED"],
    [{ status: JobStatus.FAILED_RETRYABLE }, "SCHEDULED"],
    [{ status: JobStatus.FAILED_FATAL }, "FAILED"],
    [{ status: JobStatus.FAILED, errorCodeEnum: ErrorCode.JOB_INVALID_INPUT }, "FAILED"],
    [{ status: JobStatus.FAILED, errorCodeEnum: ErrorCode.JOB_PERMISSION_DENIED }, "FAILED"],
    [{ status: JobStatus.FAILED, errorCodeEnum: ErrorCode.SAFETY_DENIED }, "FAILED"],
    [{ status: JobStatus.TIMEOUT }, "TIMEOUT"],
    [{ status: JobStatus.CANCELLED }, "CANCELLED"],
  ])("leads to another attempt only where that can help: %j", async (result, state) => {
    expect((await after(result, "job.small")).job.phase.state).toBe(state);
  });

  it("of a job given back costs no attempt", async () => {
    const { job } = await after({ status: JobStatus.FAILED_RETRYABLE, errorCode: "WORKER_FULL" });
    expect(job).toMatchObject({ attempts: 0, phase: { state: "SCHEDULED", waiting: "retry_backoff" } });
  });
});

describe("what a result brings", () => {
  it("is kept with the job in one commit, within bounds", async () => {
    const before = scene.committed.length;
    const { job } = await after({
      status: JobStatus.FAILED_FATAL,
      errorCode: `${"c".repeat(127)}😀`,
      errorMessage: `${"m".repeat(4_095)}😀`,
      executionMs: 1_234,
      artifactPtrs: [...Array(150).fill("redis://art:1"), "x".repeat(2_000)],
      resultPtr: "redis://res:1",
    });
    if (!("outcome" in job.phase)) throw new Error("no outcome");
    const { outcome } = job.phase;
    expect(outcome.code).toBe(`${"c".repeat(127)}\ufffd`);
    expect(outcome.message).toHaveLength(4_096);
    expect(outcome.message.isWellFormed()).toBe(true);
    expect(outcome).toMatchObject({ executionMs: 1_234, resultPtr: "redis://res:1" });
    expect(outcome.artifactPtrs).toHaveLength(100);
    expect(scene.committed.length - before).toBe(2);
  });

  it.each<[Partial<JobResult>, object]>([
    [{ executionMs: -5 }, { executionMs: 0 }],
    [{ resultPtr: "r".repeat(1_025) }, { resultPtr: "" }],
    [{ artifactPtrs: ["a".repeat(1_025), "redis://art:2"] }, { artifactPtrs: ["redis://art:2"] }],
  ])("is bounded: %j", async (result, outcome) => {
    expect((await after({ status: JobStatus.SUCCEEDED, ...result })).job.phase).toMatchObject({ outcome });
  });

  it("has a time that any store can keep", async () => {
    const { job } = await after({ status: JobStatus.SUCCEEDED, executionMs: 2n ** 62n });
    expect(job.phase).toMatchObject({ outcome: { executionMs: Number.MAX_SAFE_INTEGER } });
  });

  it("is read only from keys of the job's own", async () => {
    await scene.payloads.put("res:secret", Buffer.from('"theirs"'), 60_000, NEVER);
    const { jobId } = await after({ status: JobStatus.SUCCEEDED, resultPtr: "redis://res:secret" });
    expect((await readJob(jobId, "acme", scene.parts, NEVER)).result).toBeNull();
    const own = await scene.submit();
    await scene.payloads.put(`res:${own.jobId}`, Buffer.from('"ours"'), 60_000, NEVER);
    await worker.result({ jobId: own.jobId, status: JobStatus.SUCCEEDED, resultPtr: `redis://res:${own.jobId}` });
    await scene.quiet();
    expect((await readJob(own.jobId, "acme", scene.parts, NEVER)).result).toBe("ours");
  });
});

describe("a result that does not count", () => {
  it("comes from a worker that the job was not sent to", async () => {
    const { job } = await after({ status: JobStatus.SUCCEEDED, workerId: "mallory" });
    expect(job.phase.state).toBe("DISPATCHED");
    expect(stray("foreign")).toBe(1);
  });

  it("names another dispatch", async () => {
    const { job } = await after({
      status: JobStatus.SUCCEEDED,
      dispatch: { dispatchId: "stale", attempt: 1, assignedWorkerId: "w1", unknownFields: undefined },
    });
    expect(job.phase.state).toBe("DISPATCHED");
    expect(stray("foreign")).toBe(1);
  });

  it("comes twice, late, or otherwise than the first", async () => {
    const { jobId } = await after({ status: JobStatus.SUCCEEDED });
    await worker.result({ jobId, status: JobStatus.SUCCEEDED });
    await worker.result({ jobId, status: JobStatus.FAILED });
    await scene.quiet();
    expect((await scene.load(jobId)).phase.state).toBe("SUCCEEDED");
    expect([stray("late"), stray("doubled")]).toEqual([1, 1]);
    expect((await scene.load(jobId)).strays).toMatchObject([
      { why: "repeated", workerId: "w1", reported: "JOB_STATUS_SUCCEEDED" },
      { why: "ended", workerId: "w1", reported: "JOB_STATUS_FAILED" },
    ]);
  });

  it.each(["", "unknown", "x".repeat(300), "__proto__"])("is for job %j, which nobody knows", async (jobId) => {
    await worker.result({ jobId, status: JobStatus.SUCCEEDED });
    await scene.quiet();
    expect(stray("unknown_job")).toBe(1);
    expect(scene.state.dump().records).toEqual([]);
  });

  it.each([
    ["job.ask", "APPROVAL_REQUIRED"],
    ["job.slow", "PENDING"],
  ])("is for a job of %s that waits for somebody else", async (topic, state) => {
    const { jobId } = await scene.submit({ topic });
    const before = await scene.load(jobId);
    expect(before.phase.state).toBe(state);
    for (const status of [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.DENIED, 0])
      await worker.result({ jobId, status, resultPtr: "redis://res:x" });
    await scene.quiet();
    const { strays = [], ...job } = await scene.load(jobId);
    expect(job).toEqual(before);
    expect(strays.map(({ why }) => why)).toEqual(["not_out", "not_out", "not_out", "not_out"]);
    expect(stray("foreign")).toBe(4);
  });

  it("is for a job that has never been out", async () => {
    const { jobId } = await scene.submit({ labels: { "placement.gpu": "a100" } });
    await worker.result({ jobId, status: JobStatus.SUCCEEDED });
    await scene.quiet();
    expect((await scene.load(jobId)).phase.state).toBe("SCHEDULED");
  });

  it("answers the first attempt when the second is out, unless it names none", async () => {
    const { jobId } = await scene.submit({ topic: "job.small" });
    const first = (await scene.load(jobId)).phase;
    if (!("dispatch" in first)) throw new Error("not out");
    await worker.result({ jobId, status: JobStatus.FAILED });
    await scene.until(jobId, "DISPATCHED", 3_000);
    const dispatch = { dispatchId: first.dispatch.id, attempt: 1, assignedWorkerId: "w1", unknownFields: undefined };
    await worker.result({ jobId, status: JobStatus.SUCCEEDED, dispatch });
    await scene.quiet();
    expect((await scene.load(jobId)).phase.state).toBe("DISPATCHED");
  });

  it("of an earlier attempt counts while the job waits for the next", async () => {
    const { jobId } = await scene.submit({ topic: "job.small" });
    await worker.result({ jobId, status: JobStatus.FAILED });
    await scene.quiet();
    await worker.result({ jobId, status: JobStatus.SUCCEEDED });
    await scene.quiet();
    expect((await scene.load(jobId)).phase.state).toBe("SUCCEEDED");
  });
});

describe("progress", () => {
  it("of the job's own worker is written, of others not", async () => {
    const { jobId } = await scene.submit();
    const stranger = await addWorker(scene, { id: "w2", topics: ["job.other"] });
    await stranger.progress(jobId, 90);
    await scene.pass(300);
    expect((await scene.load(jobId)).phase.state).toBe("DISPATCHED");
    await worker.progress(jobId, 150);
    await scene.pass(300);
    expect((await scene.load(jobId)).phase).toMatchObject({ state: "RUNNING", percent: 100 });
    await worker.progress(jobId, -5);
    await scene.pass(300);
    expect((await scene.load(jobId)).phase).toMatchObject({ percent: 100 });
  });

  it("of a stranger does not hide that of the worker", async () => {
    const { jobId } = await scene.submit();
    const stranger = await addWorker(scene, { id: "w2", topics: ["job.other"] });
    await worker.progress(jobId, 10);
    await stranger.progress(jobId, 90);
    await scene.pass(300);
    expect((await scene.load(jobId)).phase).toMatchObject({ state: "RUNNING", percent: 10 });
  });

  it("of unknown jobs, or too late, is nothing", async () => {
    await worker.progress("unknown", 1);
    await worker.progress("x".repeat(300), 1);
    const { jobId } = await after({ status: JobStatus.SUCCEEDED });
    await worker.progress(jobId, 50);
    await scene.pass(300);
    expect((await scene.load(jobId)).phase.state).toBe("SUCCEEDED");
  });
});

describe("an end that no worker reported", () => {
  it("is announced once, and its echo changes nothing", async () => {
    const { jobId } = await scene.submit({ topic: "job.no.way" });
    await scene.quiet();
    expect(resultsOf(scene, jobId)).toMatchObject([{ status: JobStatus.DENIED, errorCode: "safety_denied" }]);
    expect(stray("late")).toBe(0);
  });

  it("comes from the running timeout of the topic: stop, result and dead letter", async () => {
    const timeouts = parseTimeouts("topics: { job.echo: { timeout_seconds: 20 } }");
    if (timeouts.kind !== "parsed") throw new Error("bad timeouts");
    scene.core.useScheduling({ ...scene.parts.scheduling.current, timeouts: timeouts.value });
    const { jobId } = await scene.submit();
    await worker.progress(jobId, 50);
    await scene.pass(19_000);
    expect((await scene.load(jobId)).phase.state).toBe("RUNNING");
    const job = await scene.until(jobId, "TIMEOUT", 2_000);
    expect(job.phase).toMatchObject({ outcome: { code: "running_timeout", workerId: "w1" } });
    await scene.quiet();
    expect(scene.sent("worker.w1.cancel", "jobCancel").map((cancel) => cancel.jobId)).toEqual([jobId]);
    expect(resultsOf(scene, jobId)).toMatchObject([{ status: JobStatus.TIMEOUT, errorCode: "running_timeout" }]);
    expect(scene.sent(SUBJECTS.jobDeadLetter, "jobResult").map((letter) => letter.jobId)).toEqual([jobId]);
  });
});

it("comes again while the store is away, for as long as that takes", async () => {
  let isAway = false;
  const away = await openJobScene({
    state: (real) =>
      withCommit(real, async (batch, signal) => {
        if (isAway) throw new Fault("STATE_UNAVAILABLE", "away");
        return real.commit(batch, signal);
      }),
  });
  const one = await addWorker(away);
  const { jobId } = await away.submit();
  await away.pass(10_000);
  isAway = true;
  await one.result({ jobId, status: JobStatus.SUCCEEDED });
  await away.pass(120_000);
  isAway = false;
  await away.until(jobId, "SUCCEEDED", 10_000);
  await away.settle();
});
