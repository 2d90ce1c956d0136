// How often a job waits for the store, one wait after the other, and what it asks of it: the shape that decides speed.
// Time is virtual and every call takes a step of it, so the steps between two moments are the waits between them.
// Only the control plane's own: a worker reads its input and stores its result besides. May only be lowered.

import { type JobScene, openJobScene } from "@cordum/control-plane/testing/job-scene";
import { withCommit, withSending } from "@cordum/control-plane/testing/scene-ports";
import { addWorker } from "@cordum/control-plane/testing/scene-worker";
import { JobStatus } from "@cordum/protocol";
import { expect, it } from "vitest";

const STEP_MS = 100;
/** Record and context are one commit, except on a cluster and for large contexts; the result needs no read, since its dispatch was
 *  written here. */
const STORE_WAITS = { untilAnswer: 1, untilEnd: 2 };
/** The answer waits for the verdict of the delivery. */
const BUS_WAITS = { untilAnswer: 1 };

interface Measured {
  readonly untilAnswer: number;
  readonly untilEnd: number;
  readonly calls: Readonly<Record<string, number>>;
}

/** What is configured for a tenant is read with its first job. */
async function meetTenant(scene: JobScene): Promise<void> {
  const first = scene.submit();
  for (let n = 0; n < 20; n++) await scene.pass(STEP_MS);
  await first;
  await scene.quiet();
}

async function measure(slow: "store" | "bus"): Promise<Measured> {
  const calls: Record<string, number> = {};
  let scene: JobScene | undefined;
  let endedAt = 0;
  const wait = async (what: string, port: "store" | "bus"): Promise<void> => {
    calls[what] = (calls[what] ?? 0) + 1;
    if (port === slow) await scene?.clock.sleep(STEP_MS, new AbortController().signal);
  };
  scene = await openJobScene({
    state: (real) => ({
      ...withCommit(real, async (batch, signal) => {
        await wait("commit", "store");
        const outcome = await real.commit(batch, signal);
        endedAt = scene?.clock.now() ?? 0;
        return outcome;
      }),
      get: async (keys, signal) => {
        await wait("get", "store");
        return real.get(keys, signal);
      },
    }),
    payloads: (real) => ({
      traits: real.traits,
      put: async (key, bytes, ttlMs, signal) => {
        await wait("put", "store");
        await real.put(key, bytes, ttlMs, signal);
      },
      get: async (key, signal) => {
        await wait("load", "store");
        return real.get(key, signal);
      },
      inspect: (key, limits, signal) => real.inspect(key, limits, signal),
      keep: async (key, ttlMs, signal) => {
        await wait("keep", "store");
        return real.keep(key, ttlMs, signal);
      },
      delete: (key, signal) => real.delete(key, signal),
      sweep: (budget, signal) => real.sweep(budget, signal),
      close: () => real.close(),
    }),
    bus: (real) =>
      withSending(real, {
        deliver: async (subject, bytes, signal) => {
          await wait("deliver", "bus");
          return real.deliver(subject, bytes, signal);
        },
      }),
  });
  try {
    await addWorker(scene, { answer: () => ({ status: JobStatus.SUCCEEDED, resultPtr: "redis://res:1" }) });
    await scene.quiet();
    await meetTenant(scene);
    for (const name of Object.keys(calls)) delete calls[name];
    const startedAt = scene.clock.now();
    let answeredAt: number | undefined;
    const submitting = scene.submit().then(() => {
      answeredAt = scene?.clock.now();
    });
    for (let n = 0; n < 20 && answeredAt === undefined; n++) await scene.pass(STEP_MS);
    await submitting;
    await scene.pass(10 * STEP_MS);
    const stepsSince = (at: number | undefined): number => Math.round(((at ?? Number.NaN) - startedAt) / STEP_MS);
    return { untilAnswer: stepsSince(answeredAt), untilEnd: stepsSince(endedAt), calls: { ...calls } };
  } finally {
    await scene.settle();
  }
}

it("a job that succeeds waits for the store this often", async () => {
  const { untilAnswer, untilEnd, calls } = await measure("store");
  expect({ untilAnswer, untilEnd }).toEqual(STORE_WAITS);
  expect(calls).toMatchObject({ commit: 2 });
  expect(calls.put).toBeUndefined();
});

it("its caller waits for the bus this often", async () => {
  const { untilAnswer, calls } = await measure("bus");
  expect(untilAnswer).toBe(BUS_WAITS.untilAnswer);
  expect(calls.deliver).toBe(1);
});
