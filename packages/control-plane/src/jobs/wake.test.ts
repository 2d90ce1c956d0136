// What happens by the clock: ends, repetitions, and care for jobs that live long.

import { JobStatus } from "@cordum/protocol";
import { afterEach, describe, expect, it } from "vitest";
import { Fault } from "../ports/fault.ts";
import { type JobScene, NEVER, openJobScene, POLICY, resultsOf, type SceneOptions } from "../testing/job-scene.ts";
import { withCommit, withSending } from "../testing/scene-ports.ts";
import { addWorker } from "../testing/scene-worker.ts";
import { cancelJob } from "./cancel.ts";
import { listJobs } from "./list-jobs.ts";

const HOUR_MS = 3_600_000;
let scene: JobScene;
const open = async (options: SceneOptions = {}): Promise<void> => {
  scene = await openJobScene(options);
};
afterEach(() => scene.settle());

describe("a job ends by the clock", () => {
  it.each([
    ["job.slow", "PENDING"],
    ["job.ask", "APPROVAL_REQUIRED"],
    ["job.nobody", "SCHEDULED"],
    ["job.echo", "DISPATCHED"],
  ])("at its deadline, wherever it is: %s", async (topic, state) => {
    await open();
    await addWorker(scene);
    const { jobId } = await scene.submit({ topic, deadlineMs: 12_000 });
    await scene.pass(11_000);
    expect((await scene.load(jobId)).phase.state).toBe(state);
    const job = await scene.until(jobId, "TIMEOUT", 1_500);
    expect(job.phase).toMatchObject({ outcome: { code: "deadline_exceeded", by: "scheduler" } });
    await scene.quiet();
    expect(Object.keys((await scene.load(jobId)).wakes)).toEqual(state === "DISPATCHED" ? ["stop"] : []);
    expect(resultsOf(scene, jobId)).toMatchObject([{ status: JobStatus.TIMEOUT, errorCode: "deadline_exceeded" }]);
    expect(scene.sent("sys.job.dlq", "jobResult").map((letter) => letter.jobId)).toEqual([jobId]);
    expect(scene.sent("sys.job.cancel", "jobCancel")).toHaveLength(state === "DISPATCHED" ? 1 : 0);
  });

  it("when nobody answers the approval", async () => {
    await open({ settings: { approvalTtlMs: 30_000 } });
    const { jobId } = await scene.submit({ topic: "job.ask" });
    await scene.pass(29_000);
    expect((await scene.load(jobId)).phase.state).toBe("APPROVAL_REQUIRED");
    const job = await scene.until(jobId, "TIMEOUT", 2_000);
    expect(job.phase).toMatchObject({ outcome: { code: "approval_expired" } });
    expect(resultsOf(scene, jobId)).toMatchObject([{ status: JobStatus.TIMEOUT }]);
  });

  it("even while its payloads cannot be kept alive", async () => {
    await open({
      settings: { upkeepMs: 5_000 },
      payloads: (real) => ({
        ...real,
        traits: real.traits,
        put: (...call) => real.put(...call),
        keep: () => Promise.reject(new Fault("PAYLOADS_UNAVAILABLE", "away")),
      }),
    });
    const { jobId } = await scene.submit({ deadlineMs: 20_000 });
    await scene.until(jobId, "TIMEOUT", 32_000);
  });

  it("once, when two processes look", async () => {
    await open({ shared: true });
    await scene.addCore();
    const { jobId } = await scene.submit({ deadlineMs: 5_000 });
    await scene.until(jobId, "TIMEOUT", 6_000);
    await scene.pass(15_000);
    expect(resultsOf(scene, jobId)).toHaveLength(1);
  });
});

describe("a job is looked at again", () => {
  it("after its back-off, not before", async () => {
    await open();
    const { seen } = await addWorker(scene, { topics: ["job.small"], answer: () => ({ status: JobStatus.FAILED }) });
    const { jobId } = await scene.submit({ topic: "job.small" });
    await scene.quiet();
    const { wakes } = await scene.load(jobId);
    const waitMs = (wakes.place ?? 0) - scene.clock.now();
    expect(waitMs).toBeGreaterThan(0);
    expect(waitMs).toBeLessThanOrEqual(1_000);
    await scene.pass(Math.max(0, waitMs - 1));
    expect(seen).toHaveLength(1);
    await scene.pass(300);
    expect(seen).toHaveLength(2);
  });

  it("when its throttle ends, under the policy of that time", async () => {
    const throttling = `
version: v1
rules:
  - id: slow
    match: { topics: ["job.echo"] }
    decision: throttle
    retry_after_ms: 10000
`;
    await open({ policy: throttling });
    await addWorker(scene, { answer: () => ({ status: JobStatus.SUCCEEDED }) });
    const { jobId } = await scene.submit();
    await scene.pass(25_000);
    const job = await scene.load(jobId);
    expect(job.phase).toEqual({ state: "PENDING", waiting: "throttled" });
    expect(job.decisions).toHaveLength(1); // the same answer is no new entry
    expect(job.steps).toHaveLength(2);
    scene.policy.replace(POLICY);
    await scene.until(jobId, "SUCCEEDED", 11_000);
    const denied = await scene.submit();
    expect(denied.state).not.toBe("PENDING");
  });
});

describe("a dispatch rings again", () => {
  it("when the bus lost it: the same dispatch, the same attempt", async () => {
    let fails = 1;
    await open({
      bus: (real) =>
        withSending(real, {
          deliver: async (...call) => {
            if (fails-- > 0) throw new Fault("BUS_UNAVAILABLE", "lost");
            return real.deliver(...call);
          },
        }),
    });
    const { seen } = await addWorker(scene);
    const { jobId } = await scene.submit();
    await scene.pass(4_500);
    expect(seen).toHaveLength(0);
    await scene.pass(1_000);
    const { phase, attempts } = await scene.load(jobId);
    expect(attempts).toBe(1);
    expect(seen.map((request) => request.dispatch?.dispatchId)).toEqual(["dispatch" in phase ? phase.dispatch.id : ""]);
    await scene.pass(60_000);
    expect(seen).toHaveLength(1);
  });

  it("when the process died before it could send, by whichever process lives", async () => {
    let isDead = false;
    await open({
      bus: (real) =>
        withSending(real, {
          deliver: (...call) => (isDead ? new Promise(() => undefined) : real.deliver(...call)),
        }),
    });
    const { seen } = await addWorker(scene);
    isDead = true;
    void scene.submit();
    await scene.quiet();
    isDead = false;
    await scene.addCore();
    await scene.pass(6_000);
    expect(seen).toHaveLength(1);
  });

  it("not, when the process that sent it vouches for it, however long it takes", async () => {
    await open();
    const { seen } = await addWorker(scene);
    const { jobId } = await scene.submit();
    await scene.pass(4_500);
    const job = await scene.load(jobId);
    expect(job.wakes.doorbell).toBeUndefined();
    expect(job.phase).toMatchObject({ dispatch: { heard: true } });
    await scene.pass(600_000);
    expect(seen).toHaveLength(1);
    expect(scene.said.filter(({ event }) => event === "dispatch.rung_again")).toEqual([]);
  });

  it("not, while the store is away and comes back late", async () => {
    let isAway = false;
    await open({
      state: (real) =>
        withCommit(real, async (batch, signal) => {
          if (isAway) throw new Fault("STATE_UNAVAILABLE", "away");
          return real.commit(batch, signal);
        }),
    });
    const { seen } = await addWorker(scene);
    await scene.submit();
    await scene.quiet();
    isAway = true;
    await scene.pass(40_000);
    isAway = false;
    await scene.pass(40_000);
    expect(seen).toHaveLength(1);
  });

  it("and is lost when nobody listens any more", async () => {
    let fails = 1;
    await open({
      bus: (real) =>
        withSending(real, {
          deliver: async (...call) => {
            if (fails-- > 0) throw new Fault("BUS_UNAVAILABLE", "lost");
            return real.deliver(...call);
          },
        }),
    });
    const worker = await addWorker(scene);
    const { jobId } = await scene.submit();
    await worker.die();
    const job = await scene.until(jobId, "TIMEOUT", 16_000);
    expect(job.phase).toMatchObject({ outcome: { code: "worker_lost" } });
  });

  it("costs a short job nothing: two commits, no more", async () => {
    await open();
    await addWorker(scene, { answer: () => ({ status: JobStatus.SUCCEEDED }) });
    const before = scene.committed.length;
    const { jobId } = await scene.submit();
    await scene.until(jobId, "SUCCEEDED");
    await scene.pass(20_000);
    expect(scene.committed.length - before).toBe(2);
  });
});

describe("a worker is told to stop", () => {
  const cancel = (jobId: string) => cancelJob(jobId, { tenant: "acme", by: "ada", reason: "no" }, scene.parts, NEVER);
  const stops = (): number => scene.sent("worker.w1.cancel", "jobCancel").length;

  it("once, when it answers", async () => {
    await open();
    const worker = await addWorker(scene);
    const { jobId } = await scene.submit();
    await cancel(jobId);
    await worker.result({ jobId, status: JobStatus.CANCELLED });
    await scene.quiet();
    expect((await scene.load(jobId)).wakes).toEqual({});
    await scene.pass(30_000);
    expect(stops()).toBe(1);
  });

  it("again and again, while the bus is away", async () => {
    let isAway = false;
    await open({
      bus: (real) =>
        withSending(real, {
          publish: async (...call) => {
            if (isAway) throw new Fault("BUS_UNAVAILABLE", "away");
            return real.publish(...call);
          },
        }),
    });
    const worker = await addWorker(scene);
    const { jobId } = await scene.submit();
    isAway = true;
    expect((await cancel(jobId)).moved).toBe(true);
    await scene.pass(60_000);
    expect(stops()).toBe(0);
    isAway = false;
    for (let waited = 0; stops() === 0 && waited < 6_000; waited += 100) await scene.pass(100);
    expect(stops()).toBe(1);
    await worker.result({ jobId, status: JobStatus.CANCELLED });
    await scene.quiet();
    const job = await scene.load(jobId);
    expect(job).toMatchObject({ phase: { state: "CANCELLED" }, wakes: {} });
    await scene.pass(60_000);
    expect(stops()).toBe(1);
  });

  it("by another process, when the one that cancelled died", async () => {
    let isDead = false;
    await open({
      bus: (real) =>
        withSending(real, { publish: (...call) => (isDead ? new Promise(() => undefined) : real.publish(...call)) }),
    });
    await addWorker(scene);
    const { jobId } = await scene.submit();
    isDead = true;
    void cancel(jobId);
    await scene.quiet();
    isDead = false;
    await scene.addCore();
    await scene.pass(6_000);
    expect(stops()).toBe(1);
  });

  it("not, when it ended the job itself, or never had it", async () => {
    await open();
    await addWorker(scene, { topics: ["job.small"], answer: () => ({ status: JobStatus.FAILED_FATAL }) });
    const own = await scene.submit({ topic: "job.small" });
    const waiting = await scene.submit({ topic: "job.nobody" });
    await cancel(waiting.jobId);
    await scene.until(own.jobId, "FAILED");
    for (const { jobId } of [own, waiting]) expect((await scene.load(jobId)).wakes).toEqual({});
    await scene.pass(15_000);
    expect(scene.sent("sys.job.cancel", "jobCancel")).toEqual([]);
  });
});

it("an accepted job is answered for although its follow-up cannot be written", async () => {
  let commits = 0;
  await open({
    state: (real) =>
      withCommit(real, async (batch, signal) => {
        if (++commits === 2) throw new Fault("STATE_UNAVAILABLE", "away");
        return real.commit(batch, signal);
      }),
  });
  const { seen } = await addWorker(scene, { listens: "on_topic" });
  commits = 0;
  const { jobId, state } = await scene.submit(); // sent directly: nobody; that cannot be written
  expect(state).toBe("DISPATCHED");
  await scene.pass(20_000);
  expect((await scene.load(jobId)).phase.state).not.toBe("SCHEDULED");
  expect(seen.length).toBeLessThanOrEqual(1);
});

describe("a job that lives for days", () => {
  it("keeps its context, and its place in all lists", async () => {
    await open();
    const { jobId } = await scene.submit({ topic: "job.ask", team: "red" });
    await scene.settle();
    const contextKey = `ctx:${jobId}`;
    for (let hours = 0; hours < 29 * 24; hours += 6) {
      await scene.clock.advance(6 * HOUR_MS);
      await scene.ring();
      for (let partition = 0; partition < 3; partition++) await scene.state.sweep(partition, 1_000, NEVER);
      await scene.payloads.sweep(1_000, NEVER);
      expect(await scene.payloads.get(contextKey, NEVER), `context after ${hours} hours`).toBeDefined();
      for (const filter of [{}, { state: "APPROVAL_REQUIRED" as const }, { topic: "job.ask" }, { team: "red" }]) {
        const { jobs } = await listJobs({ tenant: "acme", limit: 10, ...filter }, scene.parts, NEVER);
        expect(
          jobs.map((job) => job.id),
          `${JSON.stringify(filter)} after ${hours} hours`,
        ).toEqual([jobId]);
      }
    }
    await scene.clock.advance(25 * HOUR_MS);
    await scene.ring();
    expect((await scene.load(jobId)).phase.state).toBe("TIMEOUT");
    await scene.clock.advance(7 * 24 * HOUR_MS + 2 * HOUR_MS);
    for (let partition = 0; partition < 3; partition++) await scene.state.sweep(partition, 1_000, NEVER);
    const left = scene.state.dump();
    expect(left.records.map(({ stored }) => stored.key.kind)).toEqual(["dead"]);
    expect(left.indexes.map(({ key }) => key.index).sort()).toEqual([
      "dead.code",
      "dead.signature",
      "dead.signatures",
      "dead.tenant",
      "dead.topic",
    ]);
  }, 60_000);
});
