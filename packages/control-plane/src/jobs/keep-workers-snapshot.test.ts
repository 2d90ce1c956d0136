import { JobStatus } from "@cordum/protocol";
import { afterEach, describe, expect, it } from "vitest";
import { Fault } from "../ports/fault.ts";
import type { Payloads } from "../ports/payloads.ts";
import { COMMAND, type JobScene, NEVER, openJobScene } from "../testing/job-scene.ts";
import { withPayloads } from "../testing/scene-ports.ts";
import { addWorker } from "../testing/scene-worker.ts";
import { uselessPlacer } from "../testing/useless-placer.ts";
import { WORKERS_SNAPSHOT_KEY } from "./keep-workers-snapshot.ts";
import { submitJob } from "./submit.ts";

let scene: JobScene;
afterEach(() => scene.settle());

/** Payloads that others can read, as those in Redis. */
function shared(real: Payloads, onPut: () => void = () => undefined): Payloads {
  return withPayloads(real, {
    traits: { ...real.traits, shared: true },
    put: async (key, ...rest) => {
      if (key === WORKERS_SNAPSHOT_KEY) onPut();
      return real.put(key, ...rest);
    },
  });
}
/** The snapshot stays as a test has put it. */
function readOnly(real: Payloads): Payloads {
  return withPayloads(real, { put: async () => undefined });
}
async function written(): Promise<{ readonly captured_at: string; readonly workers: readonly unknown[] } | undefined> {
  const bytes = await scene.payloads.get(WORKERS_SNAPSHOT_KEY, NEVER);
  return bytes === undefined ? undefined : JSON.parse(Buffer.from(bytes).toString());
}

describe("the snapshot of workers", () => {
  it("is written every five seconds, by one process of several, and by another when that has gone", async () => {
    let puts = 0;
    scene = await openJobScene({ shared: true, payloads: (real) => shared(real, () => puts++) });
    const second = await scene.addCore();
    await scene.pass(3_000);
    await addWorker(scene);
    await scene.pass(6_000);
    expect(await written()).toMatchObject({ workers: [{ worker_id: "w1", max_parallel_jobs: 4 }] });
    puts = 0;
    await scene.pass(20_000);
    expect(puts).toBe(4);
    await second.settle(scene.clock.deadline(NEVER, 1_000));
    await scene.pass(10_000);
    const at = Date.parse((await written())?.captured_at ?? "");
    expect(scene.clock.now() - at).toBeLessThanOrEqual(5_000);
  });

  it("tells who starts later what a worker has said once, before it says anything again", async () => {
    scene = await openJobScene({ shared: true });
    const worker = await addWorker(scene, { capacity: 3, heartbeatMs: 0, labels: { zone: "a" }, pool: "small" });
    await scene.pass(4_500);
    const third = await scene.addCore();
    expect(third.parts.registry.find(worker.id, scene.clock.now())).toMatchObject({
      heartbeat: { pool: "small", capacity: 3, labels: { zone: "a" } },
      topics: new Set(["job.echo"]),
      pools: new Set(["small", "@job.echo"]),
      seenAt: scene.parts.registry.find(worker.id, scene.clock.now())?.seenAt,
    });
  });

  it("tells topics again to all that have missed them, and to who starts when nobody is left", async () => {
    scene = await openJobScene({ shared: true });
    const worker = await addWorker(scene, { answer: () => ({ status: JobStatus.SUCCEEDED }) });
    await scene.pass(6_000);
    await scene.core.settle(scene.clock.deadline(NEVER, 1_000));
    await scene.pass(90_000);
    const next = await scene.addCore();
    expect(next.parts.registry.find(worker.id, scene.clock.now())).toBeUndefined();
    await scene.pass(5_000);
    expect(next.parts.registry.find(worker.id, scene.clock.now())?.topics).toEqual(new Set(["job.echo"]));
    const { jobId } = await submitJob(COMMAND, next.parts, NEVER);
    await scene.until(jobId, "SUCCEEDED", 3_000);
  });

  it.each([1, 2, 3, 4])("tells topics to whoever writes it, if another process has heard them (%i)", async (seed) => {
    scene = await openJobScene({ shared: true, seed });
    const kill = await uselessPlacer(scene, WORKERS_SNAPSHOT_KEY);
    const worker = await addWorker(scene);
    await scene.pass(6_000);
    const second = await scene.addCore();
    kill();
    await scene.pass(1_000);
    const known = () => second.parts.registry.find(worker.id, scene.clock.now())?.topics;
    expect(known()).toBeUndefined();
    await scene.pass(42_000);
    expect(known()).toEqual(new Set(["job.echo"]));
  });

  it.each(["the first", "the second"] as const)(
    "corrects %s process, which has missed the last announcement",
    async (which) => {
      scene = await openJobScene({ shared: true });
      const second = await scene.addCore();
      const [missed, heard] = which === "the first" ? [scene.core, second] : [second, scene.core];
      await addWorker(scene, { topics: [] });
      await scene.pass(6_000);
      const now = scene.clock.now();
      missed.parts.registry.announce("w1", ["job.old"], now - 20_000);
      heard.parts.registry.announce("w1", ["job.new"], now);
      await scene.pass(42_000);
      for (const { parts } of [missed, heard])
        expect(parts.registry.find("w1", scene.clock.now())?.topics).toEqual(new Set(["job.new"]));
    },
  );

  it("has what only a gateway has heard, since no scheduler was there", async () => {
    scene = await openJobScene({ shared: true, drives: false });
    await addWorker(scene, { answer: () => ({ status: JobStatus.SUCCEEDED }) });
    await scene.pass(31_000);
    expect(await written()).toBeUndefined();
    const scheduler = await scene.addCore({ drives: true });
    const known = () => scheduler.parts.registry.find("w1", scene.clock.now())?.topics;
    expect(known()).toBeUndefined();
    await scene.pass(42_000);
    expect(known()).toEqual(new Set(["job.echo"]));
  });

  it("brings nobody back to life, and takes nothing from what cannot be read", async () => {
    scene = await openJobScene({ shared: true, payloads: readOnly });
    const put = (text: string): Promise<void> =>
      scene.payloads.put(WORKERS_SNAPSHOT_KEY, Buffer.from(text), 60_000, NEVER);
    const now = scene.clock.now();
    const old = { worker_id: "old", seen_at: new Date(now - 31_000).toISOString(), max_parallel_jobs: 4 };
    const late = { ...old, worker_id: "late", seen_at: new Date(now - 29_000).toISOString() };
    const odd = [
      { worker_id: 7 },
      null,
      { worker_id: "of the original" },
      { ...late, worker_id: "odd", labels: 3, ready_topics: {} },
    ];
    await put(JSON.stringify({ workers: [old, late, ...odd] }));
    const second = await scene.addCore();
    const alive = (): readonly string[] => second.parts.registry.alive(scene.clock.now()).map(({ id }) => id);
    expect(alive()).toEqual(["late", "odd"]);
    await scene.pass(2_000);
    expect(alive()).toEqual([]);
    expect(scene.said.filter(({ event }) => event === "worker.lost")).toEqual([]);

    for (const text of ["", "{", "[]", "7", '{"workers":{}}', `{"workers":"${"x".repeat(2_097_152)}"}`]) {
      await put(text);
      const core = await scene.addCore();
      expect(core.parts.registry.alive(scene.clock.now())).toEqual([]);
    }
    expect(scene.said.filter(({ event }) => event === "workers.snapshot_not_read")).toHaveLength(2);
  });

  it("lists fewer where workers say too much", async () => {
    scene = await openJobScene({ shared: true });
    const labels = Object.fromEntries(Array.from({ length: 10 }, (_, n) => [`label-${n}`, "x".repeat(1_000)]));
    for (let n = 0; n < 300; n++) await addWorker(scene, { id: `w${n}`, heartbeatMs: 0, labels, topics: [] });
    await scene.pass(6_000);
    expect(await written()).toMatchObject({ workers: { length: 150 }, workers_omitted: 150 });
  });

  it("is not written where nobody else could read it", async () => {
    scene = await openJobScene();
    await addWorker(scene);
    await scene.pass(11_000);
    expect(await written()).toBeUndefined();
  });

  it("is written again once the store is back", async () => {
    let isAway = true;
    const failing = (): void => {
      if (isAway) throw new Fault("STATE_UNAVAILABLE", "away");
    };
    scene = await openJobScene({ payloads: (real) => shared(real, failing) });
    await scene.pass(6_000);
    expect(scene.said).toMatchObject([{ level: "warn", event: "workers.snapshot_not_written" }]);
    isAway = false;
    await scene.pass(5_000);
    expect(await written()).toMatchObject({ workers: [] });
  });
});
