// Jobs from the bus of a tenant that submits more than it may: each is taken, and waits for its turn in its record.

import { encodePacket, SUBJECTS } from "@cordum/protocol";
import { afterEach, describe, expect, it } from "vitest";
import { listDeadLetters } from "../dead-letters/list-dead-letters.ts";
import { type JobScene, NEVER, openJobScene, type SceneOptions } from "../testing/job-scene.ts";
import { addWorker, type SceneWorker } from "../testing/scene-worker.ts";
import { needsOf } from "./job-request.ts";
import { explain } from "./wait-reasons.ts";

const RATES = { preset: { perSecond: 0, burst: 1 }, ofTenant: new Map([["acme", { perSecond: 2, burst: 3 }]]) };
const HOUR = 3_600_000;

let scene: JobScene;
let worker: SceneWorker;
const open = async (settings: SceneOptions["settings"] = {}): Promise<void> => {
  scene = await openJobScene({ settings: { submitRates: RATES, ...settings } });
  worker = await addWorker(scene, { topics: ["job.echo", "job.no.x"], capacity: 100 });
  await scene.quiet();
};
afterEach(async () => {
  await scene.settle();
  expect(scene.said.filter((said) => said.level === "error")).toEqual([]);
});

const submit = async (jobId: string, over: object = {}): Promise<void> => {
  const value = { jobId, topic: "job.echo", tenantId: "acme", ...over };
  const packet = { senderId: "client", protocolVersion: 1, payload: { kind: "jobRequest", value } } as const;
  await scene.bus.publish(SUBJECTS.jobSubmit, encodePacket(packet), NEVER);
};
const submitMany = async (ids: readonly string[], over: object = {}): Promise<void> => {
  for (const id of ids) await submit(id, over);
  await scene.quiet();
};
const phaseOf = async (jobId: string) => (await scene.load(jobId)).phase;
const statesOf = (ids: readonly string[]) => Promise.all(ids.map(async (id) => (await phaseOf(id)).state));
const IDS = ["j1", "j2", "j3", "j4", "j5", "j6"] as const;

describe("jobs from the bus beyond their tenant's rate", () => {
  it("are all taken; the burst goes at once, the others in their turn, and nobody asks the bus again", async () => {
    await open();
    await submitMany(IDS);
    expect(await statesOf(IDS)).toEqual([...Array(3).fill("DISPATCHED"), ...Array(3).fill("PENDING")]);
    const waiting = await scene.load("j4");
    expect(waiting).toMatchObject({ phase: { waiting: "throttled" }, decisions: [] });
    expect(waiting.steps.map(({ why }) => why)).toEqual(["accepted", "submit_rate"]);
    expect(waiting.wakes.decide).toBe(waiting.acceptedAt + 500);
    expect(explain(waiting, needsOf(waiting))).toMatchObject({
      explanation: "its tenant submits more jobs than it may in a second, and it waits for its turn",
    });
    expect(scene.counts.get("cordum_scheduler_submits_paced_total waits")).toBe(3);
    await scene.pass(1_200);
    expect(await statesOf(IDS)).toEqual([...Array(5).fill("DISPATCHED"), "PENDING"]);
    await scene.pass(500);
    expect(await statesOf(IDS)).toEqual(Array(6).fill("DISPATCHED"));
    expect(worker.seen.map(({ jobId }) => jobId)).toEqual(IDS);
  });

  it("take no turn a second time, when the packet comes again or a gateway rings with it", async () => {
    await open();
    await submitMany(IDS);
    const before = await scene.load("j6");
    await submitMany([...IDS, ...IDS]);
    expect(await scene.load("j6")).toEqual(before);
    const admission = await scene.parts.submitLimiter.take("acme", 1, () => NEVER);
    expect(admission).toMatchObject({ kind: "refused", waitMs: 2_000 });
  });

  it("keep nobody else's waiting", async () => {
    await open();
    await submitMany(IDS);
    await submitMany(["o1", "o2", "o3", "o4"], { tenantId: "other" });
    expect(await statesOf(["o1", "o2", "o3", "o4"])).toEqual(Array(4).fill("DISPATCHED"));
  });

  it("are judged when their turn comes, and can be cancelled before", async () => {
    await open();
    await submitMany(["j1", "j2", "j3"]);
    await submitMany(["no"], { topic: "job.no.x" });
    await submitMany(["cancelled"]);
    expect(await statesOf(["no", "cancelled"])).toEqual(["PENDING", "PENDING"]);
    const value = { jobId: "cancelled", reason: "not needed" };
    const cancel = { senderId: "client", protocolVersion: 1, payload: { kind: "jobCancel", value } } as const;
    await scene.bus.publish(SUBJECTS.jobCancel, encodePacket(cancel), NEVER);
    await scene.pass(1_500);
    expect(await statesOf(["no", "cancelled"])).toEqual(["DENIED", "CANCELLED"]);
  });

  it("are not lost where more wait than could begin in the time that a job may wait: they are dead letters", async () => {
    await open({ backlogMaxMs: 1_000 });
    await submitMany(IDS);
    expect(await statesOf(["j5", "j6"])).toEqual(["PENDING", "FAILED"]);
    expect(await phaseOf("j6")).toMatchObject({ outcome: { code: "submit_rate_limited", by: "scheduler" } });
    const { letters } = await listDeadLetters(scene.state, { tenant: "acme", limit: 10 }, NEVER);
    expect(letters.map(({ jobId }) => jobId)).toEqual(["j6"]);
    expect(scene.counts.get("cordum_scheduler_submits_paced_total failed")).toBe(1);
  });

  it("survive a restart: who drives then begins them in their turn", async () => {
    await open();
    await submitMany(IDS);
    await scene.settle();
    await scene.clock.advance(HOUR);
    await scene.addCore();
    await worker.heartbeat();
    await scene.pass(2_000);
    expect((await statesOf(IDS)).filter((state) => state === "PENDING")).toEqual([]);
  });
});
