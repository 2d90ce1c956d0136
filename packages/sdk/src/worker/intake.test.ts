import { JobStatus } from "@cordum/protocol";
import { describe, expect, it } from "vitest";
import { heldWorker } from "../testing/held-worker.ts";
import { settle } from "../testing/manual-runtime.ts";
import { gate, startTown, TOPIC } from "../testing/worker-town.ts";
import { worker } from "./definition.ts";
import { RetryableError } from "./failure.ts";

describe("worker: concurrency", () => {
  it("runs at most as many jobs of a topic as its definition says, in order of arrival", async () => {
    const held = heldWorker(2);
    const town = await startTown([held.definition]);
    for (const jobId of ["a", "b", "c", "d"]) town.send({ jobId });
    await settle();
    expect(held.started).toEqual(["a", "b"]);
    expect(town.serving.activeJobs).toBe(4);
    await town.clock.advance(100);
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
    await town.clock.advance(100);
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
