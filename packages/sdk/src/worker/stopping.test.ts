import { JobStatus } from "@cordum/protocol";
import { describe, expect, it } from "vitest";
import { heldWorker, obedient } from "../testing/held-worker.ts";
import { settle } from "../testing/manual-runtime.ts";
import { gate, startTown } from "../testing/worker-town.ts";

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

  it("is too late once the handler has ended and its result is on its way", async () => {
    const held = heldWorker();
    const town = await startTown([held.definition]);
    const stored = gate();
    town.bus.before = (operation) => (operation === "store" ? stored.promise : undefined);
    town.send({ jobId: "j1" });
    await settle();
    held.end("j1");
    await settle();
    town.cancel("j1");
    stored.resolve();
    expect(await town.bus.first("jobResult")).toMatchObject({
      status: JobStatus.SUCCEEDED,
      resultPtr: "redis://res:j1",
    });
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
    const given = { status: JobStatus.FAILED_RETRYABLE, errorCodeEnum: 206 };
    expect(results.sort((x, y) => x.jobId.localeCompare(y.jobId))).toEqual([
      { jobId: "a", errorCode: "WORKER_STOPPED", ...given },
      { jobId: "b", errorCode: "WORKER_DRAINED", ...given },
    ]);
  });

  it("reports what a handler finished after it was told to stop as done", async () => {
    const held = heldWorker();
    const town = await startTown([held.definition], { drainTimeoutMs: 1_000, stopGraceMs: 2_000 });
    town.send({ jobId: "a" });
    await settle();
    const draining = town.serving.drain();
    await town.clock.advance(1_500);
    expect(held.contexts.get("a")?.signal.reason).toMatchObject({
      name: "JobStopped",
      stop: { kind: "worker_stopping" },
    });
    held.end("a");
    await draining;
    expect(town.bus.all("jobResult")).toMatchObject([{ status: JobStatus.SUCCEEDED, resultPtr: "redis://res:a" }]);
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

  it("waits for SIGTERM and then drains", async () => {
    const town = await startTown([obedient]);
    const ended = town.serving.untilStopped();
    await settle();
    expect(town.bus.subscribers.size).toBeGreaterThan(0);
    process.emit("SIGTERM", "SIGTERM");
    await ended;
    expect(town.bus.subscribers.size).toBe(0);
  });

  it("lets a cancel reach a job while the worker drains", async () => {
    const town = await startTown([obedient]);
    town.send({ jobId: "a" });
    await settle();
    const draining = town.serving.drain();
    await settle();
    town.cancel("a");
    await draining;
    expect(town.bus.all("jobResult")).toMatchObject([{ jobId: "a", status: JobStatus.CANCELLED }]);
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
