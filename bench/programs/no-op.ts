// Workers of our SDK whose handler does nothing.
// Owns:          how many there are, and their slots.
// Must not know: what carries their packets.

import { type Serving, serve, type WorkerConnection, worker } from "@cordum/sdk";

const ignore = (): void => undefined;
export const quiet = { debug: ignore, info: ignore, warn: ignore, error: console.error };

/** Each worker has a connection of its own, as if it were alone in its process. Resolves when all have said that they are there. */
export async function serveNoOps(
  open: () => Promise<WorkerConnection>,
  size: { readonly workers: number; readonly slots: number },
): Promise<() => Promise<void>> {
  const definition = worker({ topic: "job.bench", concurrency: size.slots, run: () => null });
  const serving: Serving[] = [];
  for (let n = 0; n < size.workers; n++)
    serving.push(await serve([definition], { connection: await open(), workerId: `bench-${n}`, log: quiet }));
  return async () => {
    await Promise.all(serving.map((one) => one.drain()));
  };
}
