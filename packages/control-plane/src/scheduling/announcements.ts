// Which topics workers have announced.
// Owns:          the last announcement of each; when it is forgotten.
// Must not know: who is alive beyond being told.
// An announcement outlives its worker's silence: it may come back without saying it again.

import type { EpochMs, Ms } from "../ports/time.ts";

/** Announcements of workers that send no heartbeat (any more). */
const KEEP_MS: Ms = 3_600_000;
const ANNOUNCED_MAX = 10_000;

interface Announcement {
  readonly topics: ReadonlySet<string>;
  readonly at: EpochMs;
}

type IsAlive = (workerId: string) => boolean;

export class Announcements {
  /** Oldest first. */
  readonly #announced = new Map<string, Announcement>();

  /** True when that is news. Where there are too many, the oldest of a worker that is not alive goes. */
  note(workerId: string, topics: readonly string[], now: EpochMs, isAlive: IsAlive): boolean {
    const before = this.topicsOf(workerId);
    this.#announced.delete(workerId);
    this.#announced.set(workerId, { topics: new Set(topics), at: now });
    if (this.#announced.size > ANNOUNCED_MAX) this.#dropOldest(isAlive);
    return before?.size !== new Set(topics).size || !topics.every((topic) => before.has(topic));
  }

  topicsOf(workerId: string): ReadonlySet<string> | undefined {
    return this.#announced.get(workerId)?.topics;
  }

  expire(now: EpochMs, isAlive: IsAlive): void {
    for (const [id, { at }] of this.#announced) {
      if (now - at <= KEEP_MS) break;
      if (!isAlive(id)) this.#announced.delete(id);
    }
  }

  #dropOldest(isAlive: IsAlive): void {
    for (const [id] of this.#announced) {
      if (isAlive(id)) continue;
      this.#announced.delete(id);
      return;
    }
  }
}
