// BullMQ without anything around it: one process adds jobs and works on them.
// Owns:          adding by many callers at once, each waiting for its answer before the next, as the load by HTTP does.
// Must not know: HTTP.

import { BATCH_CALLERS, BATCH_JOBS } from "../load.ts";
import { openQueue, startWorkers } from "./bullmq-parts.ts";
import { answerParent, setting } from "./parent.ts";

const workers = await startWorkers(setting("REDIS_URL"), {
  workers: Number(setting("BENCH_WORKERS")),
  slots: Number(setting("BENCH_SLOTS")),
});
const queue = openQueue(setting("REDIS_URL"));
await queue.waitUntilReady();
const callers = Number(setting("BENCH_CONNECTIONS"));
const body = { prompt: "bench", topic: "job.bench" };

async function add(count: number): Promise<readonly number[]> {
  let left = count;
  const latenciesMs: number[] = [];
  const one = async (): Promise<void> => {
    while (left > 0) {
      left--;
      const sentAt = performance.now();
      await queue.add("bench", body);
      latenciesMs.push(performance.now() - sentAt);
    }
  };
  await Promise.all(Array.from({ length: callers }, one));
  return latenciesMs;
}

/** Requests of BATCH_JOBS jobs by BATCH_CALLERS callers, as batches come over HTTP. */
async function addBulk(count: number): Promise<readonly number[]> {
  let left = Math.ceil(count / BATCH_JOBS);
  const jobs = Array.from({ length: BATCH_JOBS }, () => ({ name: "bench", data: body }));
  const latenciesMs: number[] = [];
  const one = async (): Promise<void> => {
    while (left > 0) {
      left--;
      const sentAt = performance.now();
      await queue.addBulk(jobs);
      latenciesMs.push(performance.now() - sentAt);
    }
  };
  await Promise.all(Array.from({ length: BATCH_CALLERS }, one));
  return latenciesMs;
}

/** Milliseconds from adding to the end, one job at a time. */
async function serial(count: number): Promise<readonly number[]> {
  const tookMs: number[] = [];
  for (let n = 0; n < count; n++) {
    const ended = Promise.withResolvers<void>();
    const before = workers.ended();
    workers.listen(() => {
      if (workers.ended() > before) ended.resolve();
    });
    const sentAt = performance.now();
    await queue.add("bench", body);
    if (workers.ended() > before) ended.resolve();
    await ended.promise;
    tookMs.push(performance.now() - sentAt);
  }
  workers.listen(() => undefined);
  return tookMs;
}

answerParent({
  ended: workers.ended,
  tasks: { add, addBulk, serial },
  stop: async () => {
    await workers.close();
    await queue.close();
  },
});
