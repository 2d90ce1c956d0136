// Submissions that wait for a slot before their job is stored.

import { JobStatus } from "@cordum/protocol";
import { afterEach, beforeEach, expect, it } from "vitest";
import { COMMAND, type JobScene, NEVER, openJobScene } from "../testing/job-scene.ts";
import { addWorker, type SceneWorker } from "../testing/scene-worker.ts";
import { JOB_KIND } from "./job-store.ts";
import { submitBatch } from "./submit-batch.ts";

const POLICY = `
version: v1
rules:
  - { id: out, match: { tenants: ["evil"] }, decision: deny, reason: no }
`;
let scene: JobScene;
let worker: SceneWorker;

const endLast = async (): Promise<void> => {
  await worker.result({ jobId: worker.seen.at(-1)?.jobId ?? "", status: JobStatus.SUCCEEDED });
  await scene.quiet();
};
const writesOf = (jobId: string): number =>
  scene.committed.filter(
    ({ checks: [first] }) => "key" in first && first.key.kind === JOB_KIND && first.key.id === jobId,
  ).length;

/** One slot, which has come free a few times lately and is taken again. */
beforeEach(async () => {
  scene = await openJobScene({ policy: POLICY, settings: { patienceMs: 100, longPatienceMs: 250 } });
  worker = await addWorker(scene, { capacity: 1 });
  for (let ended = 0; ended < 5; ended++) {
    await scene.submit();
    await scene.quiet();
    await endLast();
  }
  await scene.submit();
  await scene.quiet();
  expect(worker.seen).toHaveLength(6);
});
afterEach(() => scene.settle());

it("stores a job once, as dispatched, when a slot comes free while its submission waits", async () => {
  const before = scene.committed.length;
  const submitting = scene.submit();
  await scene.pass(5);
  expect(scene.committed).toHaveLength(before);
  await endLast();
  const { jobId, state } = await submitting;
  expect(state).toBe("DISPATCHED");
  expect(writesOf(jobId)).toBe(1);
  expect(worker.seen.at(-1)?.jobId).toBe(jobId);
  expect(scene.counts.get("cordum_scheduler_submits_held_total slot")).toBe(1);
});

it("stores it as waiting when none does, after what the caller can be expected to wait", async () => {
  const submitting = scene.submit();
  await scene.pass(120);
  const { jobId, state } = await submitting;
  expect(state).toBe("SCHEDULED");
  await endLast();
  expect((await scene.load(jobId)).phase.state).toBe("DISPATCHED");
});

it("hands the slot on when the job is denied", async () => {
  const denied = scene.submit({ tenant: "evil" });
  await scene.pass(1);
  const next = scene.submit();
  await scene.pass(5);
  await endLast();
  expect(await Promise.all([denied, next])).toMatchObject([{ state: "DENIED" }, { state: "DISPATCHED" }]);
});

it("does not hold a critical job, which comes first in the backlog", async () => {
  const held = scene.submit();
  const { jobId, state } = await scene.submit({ priority: "critical" });
  expect(state).toBe("SCHEDULED");
  await endLast();
  expect(worker.seen.at(-1)?.jobId).toBe(jobId);
  await endLast();
  expect(worker.seen.at(-1)?.jobId).toBe((await held).jobId);
});

it("gives jobs of a batch more time, since nobody expects its answer as soon", async () => {
  const answering = submitBatch([COMMAND], scene.parts, NEVER);
  await scene.pass(200);
  await endLast();
  expect(await answering).toMatchObject([{ state: "DISPATCHED" }]);
});
