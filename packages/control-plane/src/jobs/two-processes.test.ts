// Two processes of the control plane over one state and one bus.

import { JobResult, JobStatus } from "@cordum/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Payloads } from "../ports/payloads.ts";
import { PLACER_TTL_MS } from "../scheduling/placers.ts";
import { NO_TIMEOUTS, OPEN_ROUTING } from "../scheduling/routing.ts";
import type { Core } from "../services/core.ts";
import { COMMAND, type JobScene, NEVER, openJobScene } from "../testing/job-scene.ts";
import { withPayloads } from "../testing/scene-ports.ts";
import { addWorker, type SceneWorker } from "../testing/scene-worker.ts";
import { uselessPlacer } from "../testing/useless-placer.ts";
import { WORKERS_SNAPSHOT_KEY } from "./keep-workers-snapshot.ts";
import { receiveResult } from "./report.ts";
import { submitJob } from "./submit.ts";

let scene: JobScene;
let second: Core;
beforeEach(async () => {
  scene = await openJobScene({ shared: true });
  second = await scene.addCore();
  await scene.pass(3_000); // they have heard of each other
});
afterEach(async () => {
  await scene.settle();
  expect(scene.said.filter((said) => said.level === "error")).toEqual([]);
});

/** A worker that takes a while for each job, and notes how many it had in hand. */
async function slowWorker(capacity: number) {
  let inHand = 0;
  let most = 0;
  const worker: SceneWorker = await addWorker(scene, {
    capacity,
    answer(request) {
      most = Math.max(most, ++inHand);
      void scene.clock.sleep(400, NEVER).then(() => {
        inHand--;
        return worker.result({ jobId: request.jobId, status: JobStatus.SUCCEEDED });
      });
      return undefined;
    },
  });
  return { worker, most: () => most };
}
function withoutSnapshot(real: Payloads): Payloads {
  return withPayloads(real, {
    get: async (key, signal) => (key === WORKERS_SNAPSHOT_KEY ? undefined : real.get(key, signal)),
  });
}
const busy = (core: Core): number | undefined => core.parts.registry.find("w1", scene.clock.now())?.busy;

describe("two processes", () => {
  it("work off one backlog: each job once, and never more than the worker can take", async () => {
    const ids: string[] = [];
    for (let n = 0; n < 60; n++) {
      const { parts } = n % 2 === 0 ? scene.core : second;
      ids.push((await submitJob(COMMAND, parts, NEVER)).jobId);
    }
    const { worker, most } = await slowWorker(5);
    for (const id of ids) await scene.until(id, "SUCCEEDED", 120_000);
    expect(worker.seen.map((request) => request.jobId).sort()).toEqual([...ids].sort());
    expect(most()).toBe(5);
    await scene.pass(6_000);
    expect([busy(scene.core), busy(second)]).toEqual([0, 0]);
  });

  it("share a worker of one slot: what one may not place the other does, soon", async () => {
    const { worker } = await slowWorker(1);
    for (const { parts } of [scene.core, second, scene.core, second]) {
      const { jobId } = await submitJob(COMMAND, parts, NEVER);
      await scene.until(jobId, "SUCCEEDED", 2_500);
    }
    expect(worker.seen).toHaveLength(4);
  });

  it("leave each other's part behind when they go", async () => {
    const { most } = await slowWorker(4);
    await second.settle(scene.clock.deadline(NEVER, 1_000));
    await scene.quiet();
    const ids = await Promise.all(Array.from({ length: 4 }, async () => (await scene.submit()).jobId));
    await scene.quiet();
    expect(most()).toBe(4);
    for (const id of ids) await scene.until(id, "SUCCEEDED");
  });

  it("give a slot back whose job has ended without their hearing of it, and keep one whose job runs", async () => {
    await addWorker(scene, { capacity: 4 });
    const [ended = "", running = ""] = [(await scene.submit()).jobId, (await scene.submit()).jobId];
    await scene.pass(30_000);
    expect(busy(scene.core)).toBe(2);
    const result = { ...JobResult.make(), jobId: ended, workerId: "w1", status: JobStatus.SUCCEEDED };
    expect(await receiveResult(result, "w1", second.parts, NEVER)).toBe("accepted");
    expect(busy(scene.core)).toBe(2);
    await scene.pass(30_000);
    expect(busy(scene.core)).toBe(1);
    expect((await scene.load(running)).phase.state).toMatch(/DISPATCHED|RUNNING/);
  });

  it.each([
    { seed: 1, remembers: true },
    { seed: 5, remembers: true },
    { seed: 1, remembers: false },
    { seed: 5, remembers: false },
  ])("share one slot with who starts later and who dies: whoever has it uses it (%o)", async ({ seed, remembers }) => {
    await scene.settle();
    const routing = { ...OPEN_ROUTING, topics: new Map([["job.echo", ["p"]]]) };
    const forgetful = { scheduling: { routing, timeouts: NO_TIMEOUTS }, payloads: withoutSnapshot };
    scene = await openJobScene({ shared: true, seed, ...(remembers ? {} : forgetful) });
    await slowWorker(1);
    await scene.pass(6_000);
    const kill = await uselessPlacer(scene, "w1");
    const waiting = await scene.submit();
    await scene.pass(3_000);
    await scene.addCore();
    kill();
    expect((await scene.load(waiting.jobId)).phase.state).toBe("SCHEDULED");
    await scene.until(waiting.jobId, "SUCCEEDED", PLACER_TTL_MS + 2_000);
    await scene.pass(PLACER_TTL_MS); // now all know that it has died
    for (const { parts } of scene.cores) {
      const { jobId } = await submitJob(COMMAND, parts, NEVER);
      await scene.until(jobId, "SUCCEEDED", 2_500);
    }
  });

  it("lose a silent worker's job once", async () => {
    const worker = await addWorker(scene);
    const { jobId } = await submitJob(COMMAND, second.parts, NEVER);
    await scene.pass(5_000);
    await worker.die();
    await scene.until(jobId, "TIMEOUT", 35_000);
    await scene.pass(70_000);
    const job = await scene.load(jobId);
    expect(job.steps.filter((step) => step.state === "TIMEOUT")).toHaveLength(1);
    expect(job.stop?.answer.kind).toBe("unknown");
    expect(scene.sent("worker.w1.cancel", "jobCancel")).toHaveLength(4); // one order, repeated by one process at a time
  });
});
