// Draining workers: nothing new, running jobs end, every process heeds it.

import { JobStatus } from "@cordum/protocol";
import { afterEach, describe, expect, it } from "vitest";
import { readAudit } from "../audit/read-audit.ts";
import { submitJob } from "../jobs/submit.ts";
import { Fault } from "../ports/fault.ts";
import { COMMAND, type JobScene, NEVER, openJobScene, type SceneOptions } from "../testing/job-scene.ts";
import { withSending, withState } from "../testing/scene-ports.ts";
import { addWorker } from "../testing/scene-worker.ts";
import { DRAINS_MAX, orderDrain, takeBackDrain } from "./drain.ts";
import { DRAIN_SUBJECT, REREAD_MS } from "./drains.ts";

const BY = { tenant: "acme", principal: "ada", role: "operator", keyId: "" };
let scene: JobScene;
const open = async (options: SceneOptions = {}): Promise<void> => {
  scene = await openJobScene(options);
};
/** A scene whose store can be told to refuse lists. */
async function openWithLists(): Promise<{ areAway: boolean }> {
  const lists = { areAway: false };
  const away = () => Promise.reject(new Fault("STATE_UNAVAILABLE", "away"));
  await open({
    state: (real) => withState(real, { list: (...call) => (lists.areAway ? away() : real.list(...call)) }),
  });
  return lists;
}
afterEach(() => scene.settle());

/** As the gateway does it. */
async function drain(workerId = "w1", reason = "new kernel"): Promise<void> {
  await orderDrain({ workerId, tenant: "", by: BY, reason }, scene, NEVER);
  await scene.parts.drains.announce();
  await scene.quiet();
}
async function undrain(workerId = "w1"): Promise<boolean> {
  const was = await takeBackDrain({ workerId, by: BY, reason: "" }, scene, NEVER);
  await scene.parts.drains.announce();
  await scene.quiet();
  return was;
}
const stateOf = async (jobId: string) => (await scene.load(jobId)).phase;

describe("a drained worker", () => {
  it("gets nothing new, keeps what it has, and has jobs again at once when the order is taken back", async () => {
    await open();
    const worker = await addWorker(scene);
    const running = await scene.submit();
    await drain();
    const waiting = await scene.submit();
    await scene.pass(60_000);
    expect(await stateOf(waiting.jobId)).toMatchObject({ state: "SCHEDULED", waiting: "workers_draining" });
    expect(await stateOf(running.jobId)).toMatchObject({ state: "DISPATCHED" });
    await worker.result({ jobId: running.jobId, status: JobStatus.SUCCEEDED });
    await scene.quiet();
    expect(await stateOf(running.jobId)).toMatchObject({ state: "SUCCEEDED" });
    await scene.pass(60_000);
    expect(worker.seen).toHaveLength(1);
    await undrain();
    expect(await stateOf(waiting.jobId)).toMatchObject({ state: "DISPATCHED" });
  });

  it("is passed by: others get its jobs", async () => {
    await open();
    const [first, second] = [await addWorker(scene), await addWorker(scene, { id: "w2" })];
    await drain();
    for (let nth = 0; nth < 4; nth++) await scene.submit();
    await scene.quiet();
    expect([first.seen.length, second.seen.length]).toEqual([0, 4]);
  });

  it("stays drained when it is started anew, and when we are", async () => {
    await open();
    const worker = await addWorker(scene, { instance: "one" });
    await drain();
    await worker.restart("two");
    const before = await scene.submit();
    await scene.pass(5_000);
    expect(await stateOf(before.jobId)).toMatchObject({ state: "SCHEDULED" });
    await scene.settle();
    const again = await scene.addCore();
    await scene.pass(20_000);
    expect(again.parts.registry.find("w1", scene.clock.now())).toMatchObject({ isDraining: true, free: 0 });
    expect(worker.seen).toEqual([]);
  });

  it("says itself that it drains: the same, without an order, until it says so no more", async () => {
    await open();
    const worker = await addWorker(scene, { labels: { draining: "true" } });
    const { jobId } = await scene.submit();
    await scene.pass(5_000);
    expect(await stateOf(jobId)).toMatchObject({ state: "SCHEDULED" });
    await worker.heartbeat({ labels: {} });
    expect(await stateOf(jobId)).toMatchObject({ state: "DISPATCHED" });
    await worker.heartbeat({ capacity: -1 });
    const next = await scene.submit();
    await scene.quiet();
    expect(await stateOf(next.jobId)).toMatchObject({ state: "SCHEDULED" });
  });
});

describe("an order", () => {
  it("reaches every process by the news of it", async () => {
    await open({ shared: true });
    const other = await scene.addCore();
    const worker = await addWorker(scene, { capacity: 50 });
    await drain();
    for (let nth = 0; nth < 5; nth++) await submitJob(COMMAND, other.parts, NEVER);
    await scene.pass(3_000);
    expect(worker.seen).toEqual([]);
    await undrain();
    await scene.pass(2_000);
    expect(worker.seen).toHaveLength(5);
  });

  it("reaches a process that did not hear the news by reading again", async () => {
    await open({
      shared: true,
      bus: (real) =>
        withSending(real, {
          publish: (subject, ...rest) =>
            subject === DRAIN_SUBJECT
              ? Promise.reject(new Fault("BUS_UNAVAILABLE", "lost"))
              : real.publish(subject, ...rest),
        }),
    });
    const other = await scene.addCore();
    await addWorker(scene);
    await drain();
    await scene.pass(REREAD_MS + 500);
    for (const { parts } of [scene.core, other])
      expect(parts.registry.find("w1", scene.clock.now())).toMatchObject({ isDraining: true, free: 0 });
    expect(scene.said.filter(({ event }) => event === "drain.news_not_sent")).toHaveLength(1);
  });

  it("holds while the store cannot be read, and is read as soon as it can", async () => {
    const lists = await openWithLists();
    await addWorker(scene);
    await drain();
    lists.areAway = true;
    await takeBackDrain({ workerId: "w1", by: BY, reason: "" }, scene, NEVER);
    await scene.pass(20_000);
    expect(scene.parts.drains.find("w1")).toBeDefined();
    lists.areAway = false;
    await scene.pass(1_500);
    expect(scene.parts.drains.find("w1")).toBeUndefined();
  });

  it("is known soon to a process whose first read failed", async () => {
    const lists = await openWithLists();
    await drain();
    lists.areAway = true;
    const late = await scene.addCore();
    lists.areAway = false;
    expect(late.parts.drains.find("w1")).toBeUndefined();
    await scene.pass(1_500);
    expect(late.parts.drains.find("w1")).toBeDefined();
  });

  it("is given once: a repeat changes nothing, and only changes are in the audit", async () => {
    await open();
    await drain("w1", "first");
    await drain("w1", "second");
    expect(scene.parts.drains.find("w1")).toMatchObject({ reason: "first", by: BY });
    expect([await undrain(), await undrain()]).toEqual([true, false]);
    const audit = await readAudit(scene.state, { tenant: "acme", limit: 10 }, NEVER);
    expect(audit.map(({ action, of, reason }) => [action, of.id, reason])).toEqual([
      ["worker.drain", "w1", "first"],
      ["worker.undrain", "w1", ""],
    ]);
    expect(scene.state.dump().records).toEqual([]);
  });

  it("of a worker of one tenant is in that tenant's audit", async () => {
    await open();
    await orderDrain({ workerId: "other.w1", tenant: "other", by: BY, reason: "" }, scene, NEVER);
    expect(await readAudit(scene.state, { tenant: "other", limit: 10 }, NEVER)).toMatchObject([{ actor: BY }]);
  });

  it("is one of so many", async () => {
    await open();
    const order = (nth: number) => orderDrain({ workerId: `w${nth}`, tenant: "", by: BY, reason: "" }, scene, NEVER);
    for (let nth = 0; nth < DRAINS_MAX; nth++) await order(nth);
    await expect(order(DRAINS_MAX)).rejects.toMatchObject({ code: "DRAIN_LIMIT" });
    await expect(order(0)).resolves.toMatchObject({ workerId: "w0" });
    await scene.parts.drains.refresh();
    expect(scene.parts.drains.all()).toHaveLength(DRAINS_MAX);
  });
});
