// BullMQ as it is used: a queue, and workers that do nothing.
// Owns:          its settings, which are its defaults: finished jobs are kept, as ours are.
// Must not know: HTTP, the bench.

import { Queue, Worker } from "bullmq";

export const QUEUE = "bench";

export interface Workers {
  ended(): number;
  /** Called at each end of a job. */
  listen(listener: (jobId: string) => void): void;
  close(): Promise<void>;
}

export function openQueue(url: string): Queue {
  return new Queue(QUEUE, { connection: connectionOf(url) });
}

export async function startWorkers(
  url: string,
  size: { readonly workers: number; readonly slots: number },
): Promise<Workers> {
  let ended = 0;
  let tell: (jobId: string) => void = () => undefined;
  const options = { connection: connectionOf(url), concurrency: size.slots };
  const workers = Array.from({ length: size.workers }, () => new Worker(QUEUE, async () => null, options));
  for (const worker of workers) {
    worker.on("completed", (job) => {
      ended++;
      tell(job.id ?? "");
    });
    worker.on("error", (error) => console.error(error));
    await worker.waitUntilReady();
  }
  return {
    ended: () => ended,
    listen: (listener) => {
      tell = listener;
    },
    close: async () => {
      await Promise.all(workers.map((worker) => worker.close()));
    },
  };
}

/** BullMQ demands that its workers' connections never give up. */
function connectionOf(url: string) {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port), maxRetriesPerRequest: null };
}
