// What must hold of workers that are drained.
// Owns:          since when a worker is drained, by what was committed.
// Must not know: who drains; how processes learn of it.
// G23: A worker that is drained gets no new jobs, once every process could have learned of it.

import type { Batch } from "../../ports/state.ts";
import type { EpochMs } from "../../ports/time.ts";
import { DRAIN_KIND } from "../../scheduling/drain.ts";
import { REREAD_MS } from "../../scheduling/drains.ts";

/** A read is slow, clocks differ. */
const BOUND_MS = REREAD_MS + 8_000;

export class DrainWatch {
  /** By worker: since when. */
  readonly #drained = new Map<string, EpochMs>();

  forget(): void {
    this.#drained.clear();
  }

  observe({ changes }: Batch, now: EpochMs): void {
    for (const change of changes) {
      if ((change.do !== "put" && change.do !== "delete") || change.key.kind !== DRAIN_KIND) continue;
      const workerId = change.key.id.slice(change.key.id.indexOf(":") + 1);
      if (change.do === "delete") this.#drained.delete(workerId);
      else if (!this.#drained.has(workerId)) this.#drained.set(workerId, now);
    }
  }

  /** For so long that everybody could have learned of it, where State answers. */
  isKnownToAll(workerId: string, now: EpochMs): boolean {
    const since = this.#drained.get(workerId);
    return since !== undefined && now > since + BOUND_MS;
  }
}
