import { JobStatus } from "@cordum/protocol";
import { describe, expect, it } from "vitest";
import { settle } from "../testing/manual-runtime.ts";
import { gate, startTown, TOPIC } from "../testing/worker-town.ts";
import { type JobContext, worker } from "./definition.ts";
import { RetryableError } from "./failure.ts";

/** A handler whose runs end when the test says so. */
function heldWorker(concurrency = 1, topic = TOPIC) {
  const started: string[] = [];
  const gates = new Map<string, ReturnType<typeof gate<unknown>>>();
  const contexts = new Map<string, JobContext>();
  const definition = worker({
    topic,
    concurrency,
    run: (_input, context) => {
      started.push(context.jobId);
      contexts.set(context.jobId, context);
      const held = gate<unknown>();
      gates.set(context.jobId, held);
      return held.promise;
    },
  });
  return {
    definition,
    started,
    contexts,
    end: (jobId: string, value: unknown = jobId) => gates.get(jobId)?.resolve(value),
  };
}

/** Ends when its signal fires, by throwing the signal's reason. */
const obedient = worker(
  TOPIC,
  (_input, { signal }) =>
    new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
);

describe("worker: concurrency", () => {
  it("runs at most as many jobs of a topic as its definition says, in order of arrival", async () => {
    const held = heldWorker(2);
    const town = await startTown([held.definition]);
    for (const jobId of ["a", "b", "c", "d"]) town.send({ jobId });
    await settle();
    expect(held.started).toEqual(["a", "b"]);
    expect(town.serving.activeJobs).toBe(4);
    expect(town.bus.all("jobProgress").map(({ jobId }) => jobId)).toEqual(["a", "b"]);
    held.end("b");
    await town.bus.first("jobResult");
    await settle();
    expect(held.started).toEqual(["a", "b", "c"]);
    await town.clock.advance(5_000);
    expect(town.bus.all("heartbeat").at(-1)).toMatchObject({ activeJobs: 3, maxParallelJobs: 2 });
  });

  it("does not let a full topic hold up another one, and keeps to the limit of the process", async () => {
    const [slow, quick] = [heldWorker(1), heldWorker(5, "job.test.quick")];
    const town = await startTown([slow.definition, quick.definition], { concurrency: 3 });
    for (const jobId of ["s1", "s2"]) town.send({ jobId });
    for (const jobId of ["q1", "q2", "q3"]) town.send({ jobId, topic: "job.test.quick" });
    await settle();
    expect([slow.started, quick.started]).toEqual([["s1"], ["q1", "q2"]]);
    quick.end("q1");
    await settle();
    expect([slow.started, quick.started]).toEqual([["s1"], ["q1", "q2", "q3"]]);
  });

  it("gives back at once what does not fit into its queue, and takes it when it comes again", async () => {
    const held = heldWorker();
    const town = await startTown([held.definition], { waitingMax: 1 });
    for (const jobId of ["a", "b", "c"]) town.send({ jobId });
    const result = await town.bus.first("jobResult");
    expect(result).toMatchObject({
      jobId: "c",
      status: JobStatus.FAILED_RETRYABLE,
      errorCode: "WORKER_FULL",
      errorCodeEnum: 201,
    });
    held.end("a");
    await town.bus.first("jobResult", ({ jobId }) => jobId === "a");
    await settle();
    town.send({ jobId: "c" });
    held.end("b");
    await town.bus.first("jobResult", ({ jobId }) => jobId === "b");
    await settle();
    expect(held.started).toEqual(["a", "b", "c"]);
  });
});

describe("worker: doubled deliveries", () => {
  it("runs a job once that arrives on its topic and on the worker's subject", async () => {
    const held = heldWorker(5);
    const town = await startTown([held.definition]);
    town.send({ jobId: "j1" });
    await settle();
    town.send({ jobId: "j1" }, { on: "worker.w1.jobs" });
    await settle();
    expect(held.started).toEqual(["j1"]);
    expect(town.bus.all("jobProgress")).toHaveLength(2);
    held.end("j1");
    await town.bus.first("jobResult");
    await settle();
    expect(town.bus.all("jobResult")).toHaveLength(1);
  });

  it("does not run a doubled job that still waits", async () => {
    const held = heldWorker(1);
    const town = await startTown([held.definition]);
    for (const jobId of ["a", "b", "b"]) town.send({ jobId });
    await settle();
    expect(town.serving.activeJobs).toBe(2);
    held.end("a");
    await settle();
    held.end("b");
    await settle();
    expect(held.started).toEqual(["a", "b"]);
  });

  it("answers a later delivery from memory, for the dispatch that asks", async () => {
    let calls = 0;
    const town = await startTown([worker(TOPIC, () => ++calls)]);
    town.send({ jobId: "j1", dispatch: { dispatchId: "d1", attempt: 1 } });
    await town.bus.first("jobResult");
    await settle();
    town.send({ jobId: "j1", dispatch: { dispatchId: "d2", attempt: 1 } });
    await settle();
    const results = town.bus.all("jobResult");
    expect(results.map(({ dispatch, resultPtr }) => [dispatch?.dispatchId, resultPtr])).toEqual([
      ["d1", "redis://res:j1"],
      ["d2", "redis://res:j1"],
    ]);
    expect(calls).toBe(1);
  });

  it("runs the next attempt of a job again", async () => {
    let calls = 0;
    const town = await startTown([worker(TOPIC, () => ++calls)]);
    for (const attempt of [1, 2, 2, 1]) {
      town.send({ jobId: "j1", dispatch: { attempt } });
      await settle();
    }
    expect(calls).toBe(2);
    expect(town.bus.all("jobResult").map(({ dispatch }) => dispatch?.attempt)).toEqual([1, 2, 2, 1]);
  });

  it("runs again what failed retryably when attempts are not numbered, and not when they are", async () => {
    let calls = 0;
    const flaky = worker(TOPIC, () => {
      calls++;
      throw new RetryableError("later");
    });
    const town = await startTown([flaky]);
    for (const job of [
      { jobId: "old" },
      { jobId: "old" },
      { jobId: "new", dispatch: { attempt: 1 } },
      { jobId: "new", dispatch: { attempt: 1 } },
    ]) {
      town.send(job);
      await settle();
    }
    expect(calls).toBe(3);
    expect(town.bus.all("jobResult")).toHaveLength(4);
  });

  it("lets a later attempt supersede the one that runs, which then leaves no trace", async () => {
    const ends: ReturnType<typeof gate<string>>[] = [];
    const signals: AbortSignal[] = [];
    const definition = worker({
      topic: TOPIC,
      concurrency: 2,
      run: (_input, { signal }) => {
        signals.push(signal);
        const end = gate<string>();
        ends.push(end);
        return end.promise;
      },
    });
    const town = await startTown([definition]);
    town.send({ jobId: "j1", dispatch: { attempt: 1 } });
    await settle();
    town.send({ jobId: "j1", dispatch: { attempt: 2 } });
    await settle();
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
    ends[1]?.resolve("second");
    await town.bus.first("jobResult");
    ends[0]?.resolve("first");
    await settle();
    expect(town.stored("j1")).toBe("second");
    expect(town.bus.all("jobResult").map(({ dispatch }) => dispatch?.attempt)).toEqual([2]);
    town.send({ jobId: "j2", dispatch: { attempt: 2 } });
    await settle();
    town.send({ jobId: "j2", dispatch: { attempt: 1 } });
    await settle();
    expect(signals).toHaveLength(3);
    expect(town.logged.at(-1)).toMatchObject({ event: "job.ignored", fields: { reason: "stale_attempt" } });
  });

  it("forgets the oldest results first", async () => {
    let calls = 0;
    const town = await startTown([worker(TOPIC, () => void calls++)], { rememberedMax: 2 });
    for (const jobId of ["a", "b", "c", "c", "b", "a"]) {
      town.send({ jobId });
      await settle();
    }
    expect(calls).toBe(4);
  });
});

describe("worker: cancel", () => {
  it("fires the signal and reports CANCELLED with who and why", async () => {
    const town = await startTown([obedient]);
    town.send({ jobId: "j1" });
    await settle();
    town.cancel("j1");
    const result = await town.bus.first("jobResult");
    expect(result).toMatchObject({
      status: JobStatus.CANCELLED,
      errorCode: "CANCELLED",
      errorMessage: "cancelled by ada: not needed",
    });
  });

  it("reports CANCELLED and keeps the result of a handler that had finished anyway", async () => {
    const held = heldWorker();
    const town = await startTown([held.definition]);
    town.send({ jobId: "j1" });
    await settle();
    town.cancel("j1");
    held.end("j1", { sent: true });
    const result = await town.bus.first("jobResult");
    expect(result).toMatchObject({ status: JobStatus.CANCELLED, resultPtr: "redis://res:j1" });
    expect(result.errorMessage).toContain("had finished");
    expect(town.stored("j1")).toEqual({ sent: true });
  });

  it("reports a deaf handler after the grace time and keeps its slot until it ends", async () => {
    const held = heldWorker();
    const town = await startTown([held.definition], { stopGraceMs: 2_000 });
    for (const jobId of ["j1", "j2"]) town.send({ jobId });
    await settle();
    town.cancel("j1");
    await town.clock.advance(1_000);
    expect(town.bus.all("jobResult")).toEqual([]);
    await town.clock.advance(1_000);
    expect(await town.bus.first("jobResult")).toMatchObject({
      status: JobStatus.CANCELLED,
      errorMessage: expect.stringContaining("still running"),
    });
    expect(held.started).toEqual(["j1"]);
    held.end("j1");
    await settle();
    expect(held.started).toEqual(["j1", "j2"]);
    expect(town.bus.all("jobResult")).toHaveLength(1);
    expect(town.stored("j1")).toBeUndefined();
  });

  it("cancels a job that waits without running it, also when it is delivered again", async () => {
    const held = heldWorker();
    const town = await startTown([held.definition]);
    for (const jobId of ["a", "b"]) town.send({ jobId });
    town.cancel("b");
    expect(await town.bus.first("jobResult")).toMatchObject({ jobId: "b", status: JobStatus.CANCELLED });
    town.send({ jobId: "b" });
    held.end("a");
    await settle();
    expect(held.started).toEqual(["a"]);
  });

  it("ignores cancels of other jobs, other attempts and jobs that have ended", async () => {
    const held = heldWorker();
    const town = await startTown([held.definition]);
    town.send({ jobId: "j1", dispatch: { attempt: 2 } });
    await settle();
    town.cancel("other");
    town.cancel("j1", 1);
    expect(held.contexts.get("j1")?.signal.aborted).toBe(false);
    held.end("j1");
    await town.bus.first("jobResult");
    await settle();
    town.cancel("j1");
    await settle();
    expect(town.bus.all("jobResult")).toHaveLength(1);
  });

  it("stops a job that runs longer than policy allows", async () => {
    const town = await startTown([obedient]);
    town.send({ jobId: "j1", env: { CORDUM_POLICY_CONSTRAINTS: '{"budgets":{"maxRuntimeMs":"1500"}}' } });
    await town.clock.advance(1_400);
    expect(town.bus.all("jobResult")).toEqual([]);
    await town.clock.advance(200);
    expect(await town.bus.first("jobResult")).toMatchObject({
      status: JobStatus.TIMEOUT,
      errorCode: "TIMEOUT",
      errorCodeEnum: 200,
      executionMs: 1_500,
    });
  });
});

describe("worker: drain", () => {
  it("stops listening, says so, and lets running and waiting jobs end", async () => {
    const held = heldWorker();
    const town = await startTown([held.definition], { labels: { zone: "a" } });
    for (const jobId of ["a", "b"]) town.send({ jobId });
    await settle();
    let drained = false;
    const draining = town.serving.drain().then(() => {
      drained = true;
    });
    await settle();
    expect([...town.bus.subscribers].map(({ subject }) => subject)).toEqual(["sys.job.cancel", "worker.w1.cancel"]);
    expect(town.bus.all("heartbeat").at(-1)).toMatchObject({
      activeJobs: 2,
      labels: expect.objectContaining({ zone: "a", draining: "true" }),
    });
    await town.clock.advance(6_000);
    expect(town.bus.all("heartbeat")).toHaveLength(3);
    held.end("a");
    await settle();
    held.end("b");
    await draining;
    expect(drained).toBe(true);
    expect(town.bus.all("jobResult").map(({ status }) => status)).toEqual([JobStatus.SUCCEEDED, JobStatus.SUCCEEDED]);
    expect(town.bus.subscribers.size).toBe(0);
    expect(town.bus.isClosed).toBe(false);
  });

  it("stops what has not ended in time and gives back what has not begun", async () => {
    const town = await startTown([obedient], { drainTimeoutMs: 3_000 });
    for (const jobId of ["a", "b"]) town.send({ jobId });
    await settle();
    const draining = town.serving.drain();
    await town.clock.advance(2_900);
    expect(town.bus.all("jobResult")).toEqual([]);
    await town.clock.advance(200);
    await draining;
    const results = town.bus
      .all("jobResult")
      .map(({ jobId, status, errorCode, errorCodeEnum }) => ({ jobId, status, errorCode, errorCodeEnum }));
    const given = { status: JobStatus.FAILED_RETRYABLE, errorCode: "WORKER_STOPPED", errorCodeEnum: 206 };
    expect(results.sort((x, y) => x.jobId.localeCompare(y.jobId))).toEqual([
      { jobId: "a", ...given },
      { jobId: "b", ...given },
    ]);
  });

  it("ends even when handlers are deaf and the bus is gone", async () => {
    const town = await startTown([heldWorker().definition], {
      drainTimeoutMs: 1_000,
      stopGraceMs: 500,
      ioTimeoutMs: 500,
    });
    town.send({ jobId: "a" });
    await settle();
    town.bus.before = () => {
      throw new Error("gone");
    };
    const draining = town.serving.drain();
    await town.clock.advance(10_000);
    await draining;
    const beats = town.bus.sent.length;
    await town.clock.advance(60_000);
    expect(town.bus.sent).toHaveLength(beats);
  });

  it("can be asked by a signal, twice, and by disposal", async () => {
    const stop = new AbortController();
    const town = await startTown([obedient], { signal: stop.signal });
    stop.abort();
    await town.serving.drain();
    await town.serving[Symbol.asyncDispose]();
    expect(town.bus.all("heartbeat").filter(({ labels }) => labels.draining === "true")).toHaveLength(1);
    const late = await startTown([obedient], { signal: AbortSignal.abort() });
    expect(late.bus.subscribers.size).toBe(0);
  });
});
