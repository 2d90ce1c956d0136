// Submitting: one job per idempotency key, whatever happens on the way.

import { contextKey, parsePointer } from "@cordum/protocol";
import { afterEach, describe, expect, it } from "vitest";
import { Fault } from "../ports/fault.ts";
import type { Batch } from "../ports/state.ts";
import { type JobScene, NEVER, openJobScene, type SceneOptions } from "../testing/job-scene.ts";
import { withCommit } from "../testing/scene-ports.ts";
import { addWorker } from "../testing/scene-worker.ts";
import { requestOf } from "./job-request.ts";
import { JOB_KIND } from "./job-store.ts";
import { readJob } from "./read-job.ts";

let scene: JobScene;
const open = async (options: SceneOptions = {}): Promise<void> => {
  scene = await openJobScene(options);
};
afterEach(() => scene.settle());
const jobsStored = (): number => scene.state.dump().records.filter(({ stored }) => stored.key.kind === JOB_KIND).length;
const createsJob = (batch: Batch): boolean => batch.checks[0].is === "absent" && batch.checks[0].key.kind === JOB_KIND;

describe("an idempotency key", () => {
  it("makes one job of fifty submits at once", async () => {
    await open();
    await addWorker(scene, { capacity: 100 });
    const all = await Promise.all(Array.from({ length: 50 }, () => scene.submit({ idempotencyKey: "k" })));
    expect(new Set(all.map(({ jobId }) => jobId)).size).toBe(1);
    expect(new Set(all.map(({ traceId }) => traceId)).size).toBe(1);
    expect(all.filter(({ isRepeat }) => !isRepeat)).toHaveLength(1);
    expect(jobsStored()).toBe(1);
    expect(scene.counts.get("cordum_scheduler_jobs_received_total job.echo")).toBe(1);
    expect(scene.parts.registry.find("w1", scene.clock.now())?.busy).toBe(1);
  });

  it("makes one winner of different bodies that race, with the winner's context", async () => {
    await open();
    const prompts = Array.from({ length: 20 }, (_, n) => `prompt ${n}`);
    const all = await Promise.allSettled(prompts.map((prompt) => scene.submit({ idempotencyKey: "k", prompt })));
    const won = all.flatMap((result, n) => (result.status === "fulfilled" ? [n] : []));
    expect(won).toHaveLength(1);
    for (const result of all)
      if (result.status === "rejected") expect(result.reason).toMatchObject({ code: "IDEMPOTENCY_CONFLICT" });
    const winner = all[won[0] ?? 0];
    if (winner?.status !== "fulfilled") throw new Error("nobody won");
    const { context } = await readJob(winner.value.jobId, "acme", scene.parts, NEVER);
    expect(context).toMatchObject({ prompt: prompts[won[0] ?? 0] });
  });

  it.each([
    ["the order of members", { context: { a: 1, b: 2 } }, { context: { b: 2, a: 1 } }, true],
    ["a label", { labels: { a: "1" } }, { labels: { a: "2" } }, false],
    ["the kind of a value", { context: { a: 1 } }, { context: { a: "1" } }, false],
    ["where one list ends", { tags: ["a,b"] }, { tags: ["a", "b"] }, false],
    ["nothing and null", { context: undefined }, { context: null }, true],
  ])("tells bodies apart by %s", async (_, first, second, isSame) => {
    await open();
    await scene.submit({ idempotencyKey: "k", ...first });
    const again = scene.submit({ idempotencyKey: "k", ...second });
    if (isSame) expect(await again).toMatchObject({ isRepeat: true });
    else await expect(again).rejects.toMatchObject({ code: "IDEMPOTENCY_CONFLICT" });
  });

  it("of one tenant is not that of another, however they are cut", async () => {
    await open();
    const ids = [
      await scene.submit({ tenant: "a", idempotencyKey: "b1" }),
      await scene.submit({ tenant: "ab", idempotencyKey: "1" }),
      await scene.submit({ tenant: "ab1", idempotencyKey: "1" }),
    ];
    expect(new Set(ids.map(({ jobId }) => jobId)).size).toBe(3);
  });

  it("is free again when the commit fails, and the retry runs", async () => {
    let fails = 1;
    await open({
      state: (real) =>
        withCommit(real, async (batch, signal) => {
          if (createsJob(batch) && fails-- > 0) throw new Fault("STATE_UNAVAILABLE", "not now");
          return real.commit(batch, signal);
        }),
    });
    const worker = await addWorker(scene);
    await expect(scene.submit({ idempotencyKey: "k" })).rejects.toMatchObject({ code: "STATE_UNAVAILABLE" });
    expect(jobsStored()).toBe(0);
    expect(scene.parts.registry.find("w1", scene.clock.now())?.busy).toBe(0);
    const again = await scene.submit({ idempotencyKey: "k", prompt: "another body" });
    expect(again).toMatchObject({ isRepeat: false, state: "DISPATCHED" });
    await scene.quiet();
    expect(worker.seen).toHaveLength(1);
  });

  it("answers with the job when the commit happened and its answer was lost; the job runs", async () => {
    let fails = 1;
    await open({
      state: (real) =>
        withCommit(real, async (batch, signal) => {
          const outcome = await real.commit(batch, signal);
          if (createsJob(batch) && fails-- > 0) throw new Fault("STATE_OUTCOME_UNKNOWN", "no answer");
          return outcome;
        }),
    });
    const worker = await addWorker(scene);
    await expect(scene.submit({ idempotencyKey: "k" })).rejects.toMatchObject({ code: "STATE_OUTCOME_UNKNOWN" });
    const again = await scene.submit({ idempotencyKey: "k" });
    expect(again).toMatchObject({ isRepeat: true, state: "DISPATCHED" });
    expect(worker.seen).toHaveLength(0);
    await scene.pass(6_000); // the doorbell
    expect(worker.seen.map((request) => request.jobId)).toEqual([again.jobId]);
  });
});

describe("a submit", () => {
  it("stores nothing when the context cannot be stored", async () => {
    await open({
      payloads: (real) => ({
        ...real,
        traits: real.traits,
        put: async () => {
          throw new Fault("PAYLOADS_UNAVAILABLE", "not now");
        },
      }),
    });
    const large = { context: "x".repeat(20_000) };
    await expect(scene.submit(large)).rejects.toMatchObject({ code: "PAYLOADS_UNAVAILABLE" });
    expect(jobsStored()).toBe(0);
  });

  it("waits while no policy is loaded, and goes on when one comes", async () => {
    await open({ policy: "" });
    await addWorker(scene, { topics: ["job.echo", "job.ask"] });
    const { jobId, state } = await scene.submit();
    const asked = await scene.submit({ topic: "job.ask" });
    expect(state).toBe("PENDING");
    expect((await scene.load(jobId)).phase).toEqual({ state: "PENDING", waiting: "policy_unavailable" });
    await scene.pass(60_000);
    scene.policy.replace(
      "version: v1\nrules:\n  - id: ask\n    match: { topics: [job.ask] }\n    decision: require_approval",
    );
    await scene.until(jobId, "DISPATCHED", 61_000);
    await scene.until(asked.jobId, "APPROVAL_REQUIRED", 61_000);
  });

  it("fixes the deadline when it is accepted", async () => {
    await open({ policy: "" });
    const at = scene.clock.now();
    const { jobId } = await scene.submit({ deadlineMs: 30_000 });
    await scene.pass(20_000);
    expect((await scene.load(jobId)).wakes.deadline).toBe(at + 30_000);
    const job = await scene.until(jobId, "TIMEOUT", 12_000);
    expect(job.phase).toMatchObject({ outcome: { code: "deadline_exceeded" } });
  });

  it.each(["critical", "interactive", "batch"] as const)("keeps the priority %s", async (priority) => {
    await open();
    const { jobId } = await scene.submit({ priority });
    expect((await scene.load(jobId)).priority).toBe(priority);
  });

  it("refuses what would not fit into a worker's packet", async () => {
    await open();
    const labels = Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`l${n}`, "x".repeat(4_096)]));
    await expect(scene.submit({ labels })).rejects.toMatchObject({ code: "PAYLOAD_TOO_LARGE" });
    expect(jobsStored()).toBe(0);
  });

  it("lets two jobs of one id without a key be two", async () => {
    await open();
    const [a, b] = await Promise.all([scene.submit(), scene.submit()]);
    expect(a.jobId).not.toBe(b.jobId);
    const { contextPtr } = requestOf(await scene.load(a.jobId));
    expect(parsePointer(contextPtr)).toMatchObject({ key: contextKey(a.jobId) });
  });
});
