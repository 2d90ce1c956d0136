// Workers for tests: one whose runs end when the test says so, one that only ends by its signal.
// Owns:          the gates.
// Must not know: how jobs come to a worker.

import { worker } from "../worker/definition.ts";
import type { JobContext } from "../worker/job-context.ts";
import { gate, TOPIC } from "./worker-town.ts";

/** A handler whose runs end when the test says so. */
export function heldWorker(concurrency = 1, topic = TOPIC) {
  const started: string[] = [];
  const gates = new Map<string, ReturnType<typeof gate<unknown>>>();
  const contexts = new Map<string, JobContext>();
  const listeners = new Set<() => void>();
  const definition = worker({
    topic,
    concurrency,
    run: (_input, context) => {
      started.push(context.jobId);
      contexts.set(context.jobId, context);
      for (const listener of listeners) listener();
      const held = gate<unknown>();
      gates.set(context.jobId, held);
      return held.promise;
    },
  });
  return {
    definition,
    started,
    contexts,
    /** Resolves when `count` runs have begun. */
    async begun(count: number): Promise<void> {
      while (started.length < count) {
        const { promise, resolve } = gate();
        listeners.add(resolve);
        await promise;
        listeners.delete(resolve);
      }
    },
    end: (jobId: string, value: unknown = jobId) => gates.get(jobId)?.resolve(value),
  };
}

/** Ends when its signal fires, by throwing the signal's reason. */
export const obedient = worker(
  TOPIC,
  (_input, { signal }) =>
    new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
);
