// Workers that go away, come back, or are somebody else than they seem.

import { encodePacket, JobStatus, SUBJECTS } from "@cordum/protocol";
import { afterEach, describe, expect, it } from "vitest";
import { PLACER_TTL_MS } from "../scheduling/placers.ts";
import { type JobScene, NEVER, openJobScene, resultsOf, type SceneOptions } from "../testing/job-scene.ts";
import { withSending } from "../testing/scene-ports.ts";
import { addWorker } from "../testing/scene-worker.ts";

describe("a worker that falls silent", () => {
  let scene: JobScene;
  const open = async (options: SceneOptions = {}): Promise<JobScene> => {
    scene = await openJobScene(options);
    return scene;
  };
  afterEach(() => scene.settle());

  it("costs its job after 30 seconds: the worker is told to stop, listeners and the dead letters hear of it", async () => {
    await open();
    const worker = await addWorker(scene);
    const { jobId } = await scene.submit();
    await scene.pass(10_000);
    await worker.die();
    await scene.pass(29_000);
    expect((await scene.load(jobId)).phase.state).toBe("DISPATCHED");
    const job = await scene.until(jobId, "TIMEOUT", 10_000);
    expect(job.phase).toMatchObject({ outcome: { code: "worker_lost", workerId: "w1", by: "scheduler" } });
    await scene.quiet();
    expect(scene.sent(SUBJECTS.jobCancel, "jobCancel").map((cancel) => cancel.jobId)).toEqual([jobId]);
    expect(resultsOf(scene, jobId)).toMatchObject([{ status: JobStatus.TIMEOUT, errorCode: "worker_lost" }]);
    expect(scene.sent(SUBJECTS.jobDeadLetter, "jobResult")).toHaveLength(1);
  });

  it("costs one attempt where another is allowed", async () => {
    await open();
    const first = await addWorker(scene, { topics: ["job.small"] });
    const { jobId } = await scene.submit({ topic: "job.small" });
    await first.die();
    const second = await addWorker(scene, {
      id: "w2",
      topics: ["job.small"],
      answer: () => ({ status: JobStatus.SUCCEEDED }),
    });
    const job = await scene.until(jobId, "SUCCEEDED", 45_000);
    expect(job.attempts).toBe(2);
    expect(second.seen.map((request) => request.dispatch?.attempt)).toEqual([2]);
  });

  it("is lost at once when it was started anew, but not when it says so of itself for the first time", async () => {
    await open();
    const worker = await addWorker(scene, { instance: "i-1" });
    const { jobId } = await scene.submit();
    await scene.pass(6_000);
    await worker.heartbeat();
    expect((await scene.load(jobId)).phase.state).toBe("DISPATCHED");
    await worker.restart("i-2");
    await scene.quiet();
    expect((await scene.load(jobId)).phase).toMatchObject({ state: "TIMEOUT", outcome: { code: "worker_lost" } });
  });

  it("is looked at by the next process when the one whose turn it was has died unnoticed", async () => {
    await open({ shared: true });
    const { placers, registry } = scene.parts;
    const worker = await addWorker(scene, { instance: "i-1" });
    const { jobId } = await scene.submit();
    const now = scene.clock.now();
    for (let n = 0; registry.isKeeperOf("w1", now); n++) placers.hear(`ghost-${n}`, now);
    await worker.restart("i-2");
    await scene.quiet();
    expect((await scene.load(jobId)).phase.state).toBe("DISPATCHED");
    const job = await scene.until(jobId, "TIMEOUT", PLACER_TTL_MS + 2_000);
    expect(job.phase).toMatchObject({ outcome: { code: "worker_lost", workerId: "w1" } });
  });

  it("is not lost while the bus is away from this process", async () => {
    let connected = true;
    await open({ bus: (real) => withSending(real, { status: () => ({ connected, reconnects: 0 }) }) });
    const worker = await addWorker(scene, { heartbeatMs: 0 });
    const { jobId } = await scene.submit();
    await scene.pass(10_000);
    connected = false;
    await scene.pass(60_000);
    connected = true;
    await scene.pass(20_000);
    expect((await scene.load(jobId)).phase.state).toBe("DISPATCHED");
    await worker.heartbeat();
    await worker.result({ jobId, status: JobStatus.SUCCEEDED });
    await scene.until(jobId, "SUCCEEDED");
  });

  it.each(["before", "after"])(
    "takes the job with it that it claimed from its topic, heard of %s that",
    async (when) => {
      await open();
      const guessed = await addWorker(scene, { id: "a", listens: "on_topic", instance: "i-a" });
      const { jobId } = await scene.submit();
      await scene.quiet();
      const options = { id: "b", listens: "nowhere", instance: "i-b", heartbeatMs: 5_000 } as const;
      const early = when === "before" ? await addWorker(scene, options) : undefined;
      await scene.bus.publish(
        SUBJECTS.jobProgress,
        encodePacket({
          senderId: "b",
          protocolVersion: 1,
          payload: { kind: "jobProgress", value: { jobId, percent: 10 } },
        }),
        NEVER,
      );
      expect((await scene.until(jobId, "RUNNING")).phase).toMatchObject({ dispatch: { workerId: "b" } });
      const claimer = early ?? (await addWorker(scene, options));
      await guessed.die();
      await scene.pass(120_000);
      expect((await scene.load(jobId)).phase).toMatchObject({ state: "RUNNING" });
      await claimer.die();
      expect((await scene.until(jobId, "TIMEOUT", 35_000)).phase).toMatchObject({
        outcome: { code: "worker_lost", workerId: "b" },
      });
    },
  );

  it("is known again after a restart of the control plane, with what it has in hand", async () => {
    await open();
    const worker = await addWorker(scene, { capacity: 2 });
    const first = await scene.submit();
    await scene.pass(10_000);
    await scene.settle();
    await scene.pass(25_000);
    const core = await scene.addCore();
    await scene.pass(6_000);
    expect(core.parts.registry.find("w1", scene.clock.now())).toMatchObject({ busy: 1, free: 1 });
    await scene.pass(120_000);
    expect((await scene.load(first.jobId)).phase.state).toBe("DISPATCHED");
    expect(worker.seen).toHaveLength(1);
    await worker.result({ jobId: first.jobId, status: JobStatus.SUCCEEDED });
    await scene.until(first.jobId, "SUCCEEDED");
  });

  it("is noticed by its jobs when nobody was there to notice the silence", async () => {
    await open();
    const worker = await addWorker(scene);
    const { jobId } = await scene.submit();
    await scene.pass(10_000);
    await scene.settle();
    await worker.die();
    await scene.pass(60_000);
    await scene.addCore();
    await scene.pass(29_000);
    expect((await scene.load(jobId)).phase.state).toBe("DISPATCHED"); // it may still be heard of
    await scene.until(jobId, "TIMEOUT", 600_000);
  });
});
