// Keeping the snapshot of workers where the original keeps it.
// Owns:          its key, which process writes it.
// Must not know: what it says (scheduling/workers-snapshot.ts).
// Of several processes one writes, by rank; when it is gone the next does, a few seconds later. `captured_at` tells how old it is.

import { messageOf } from "../ports/fault.ts";
import { snapshotOf } from "../scheduling/workers-snapshot.ts";
import type { JobParts } from "./job-parts.ts";

export const WORKERS_SNAPSHOT_KEY = "sys:workers:snapshot";

/** Where nobody else could read it nothing is written. Never rejects: what cannot be written now is with the next. */
export async function writeWorkersSnapshot(parts: JobParts, signal: AbortSignal): Promise<void> {
  const { payloads, registry, clock, scheduling, settings, log } = parts;
  const now = clock.now();
  if (!payloads.traits.shared || !registry.isKeeperOf(WORKERS_SNAPSHOT_KEY, now)) return;
  const snapshot = snapshotOf(registry.alive(now), scheduling.current.routing, now);
  const until = clock.deadline(signal, settings.storeTimeoutMs);
  try {
    await payloads.put(WORKERS_SNAPSHOT_KEY, Buffer.from(JSON.stringify(snapshot)), settings.contextKeepMs, until);
  } catch (error) {
    if (!signal.aborted) log.warn("workers.snapshot_not_written", { reason: messageOf(error) });
  }
}
