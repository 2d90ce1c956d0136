// Which topics workers have announced.
// Owns:          the last announcement of each; when it is forgotten; which of two is the later one.
// Must not know: who is alive beyond being told.
// An announcement outlives its worker's silence: it may come back without saying it again.

import type { EpochMs, Ms } from "../ports/time.ts";

/** Announcements of workers that send no heartbeat (any more). */
const KEEP_MS: Ms = 3_600_000;
const ANNOUNCED_MAX = 10_000;

/** Two processes note the same announcement at different times, by so much at most. */
const CLOCKS_DIFFER_MS: Ms = 5_000;

export interface Announcement {
  readonly topics: ReadonlySet<string>;
  /** When the process that heard it did. */
  readonly saidAt: EpochMs;
}

interface Kept extends Announcement {
  readonly keptSince: EpochMs;
}

type IsAlive = (workerId: string) => boolean;

export class Announcements {
  /** Oldest first. */
  readonly #announced = new Map<string, Kept>();

  /** True when that is news. Where there are too many, the oldest of a worker that is not alive goes. */
  note(workerId: string, announcement: Announcement, now: EpochMs, isAlive: IsAlive): boolean {
    const before = this.of(workerId);
    this.#announced.delete(workerId);
    this.#announced.set(workerId, { ...announcement, keptSince: now });
    if (this.#announced.size > ANNOUNCED_MAX) this.#dropOldest(isAlive);
    return before === undefined || !isSame(before.topics, announcement.topics);
  }

  of(workerId: string): Announcement | undefined {
    return this.#announced.get(workerId);
  }

  expire(now: EpochMs, isAlive: IsAlive): void {
    for (const [id, { keptSince }] of this.#announced) {
      if (now - keptSince <= KEEP_MS) break;
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

/** Whether `one` says something else than `other`, and was said after it for all that clocks differ. */
export function isLater(one: Announcement | undefined, other: Announcement | undefined): boolean {
  if (one === undefined || other === undefined) return one !== undefined;
  return one.saidAt - other.saidAt > CLOCKS_DIFFER_MS && !isSame(one.topics, other.topics);
}

function isSame(one: ReadonlySet<string>, other: ReadonlySet<string>): boolean {
  return one.size === other.size && [...one].every((topic) => other.has(topic));
}
