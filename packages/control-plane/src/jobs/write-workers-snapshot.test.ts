import { afterEach, describe, expect, it } from "vitest";
import { Fault } from "../ports/fault.ts";
import type { Payloads } from "../ports/payloads.ts";
import { type JobScene, NEVER, openJobScene } from "../testing/job-scene.ts";
import { addWorker } from "../testing/scene-worker.ts";
import { WORKERS_SNAPSHOT_KEY } from "./write-workers-snapshot.ts";

let scene: JobScene;
afterEach(() => scene.settle());

/** Payloads that others can read, as those in Redis. */
function shared(real: Payloads, onPut: () => void = () => undefined): Payloads {
  return {
    ...boundTo(real),
    traits: { ...real.traits, shared: true },
    put: async (key, ...rest) => {
      if (key === WORKERS_SNAPSHOT_KEY) onPut();
      return real.put(key, ...rest);
    },
  };
}
function boundTo(real: Payloads): Payloads {
  return {
    traits: real.traits,
    put: (...call) => real.put(...call),
    get: (...call) => real.get(...call),
    inspect: (...call) => real.inspect(...call),
    keep: (...call) => real.keep(...call),
    delete: (...call) => real.delete(...call),
    sweep: (...call) => real.sweep(...call),
    close: () => real.close(),
  };
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
