// Workers whose jobs another process was to look at.
// Owns:          who they are, and when it is certain whether that process lives.
// Must not know: how a worker's jobs are looked at (review-worker.ts).
// Who has died is believed to live for PLACER_TTL_MS. Until then it may be the one that is to look, and nobody would.

import type { EpochMs, Ms } from "../ports/time.ts";
import { PLACER_TTL_MS } from "../scheduling/placers.ts";

const AFTER_MS: Ms = PLACER_TTL_MS + 1;
/** Beyond it the jobs' own wakes look, later. */
const WORKERS_MAX = 10_000;

export class SecondLooks {
  /** When each is due; oldest first. */
  readonly #dueAt = new Map<string, EpochMs>();

  note(workerId: string, now: EpochMs): void {
    this.#dueAt.delete(workerId);
    if (this.#dueAt.size < WORKERS_MAX) this.#dueAt.set(workerId, now + AFTER_MS);
  }

  /** Takes out those that are due. */
  takeDue(now: EpochMs): readonly string[] {
    const due: string[] = [];
    for (const [workerId, at] of this.#dueAt) {
      if (at > now) break;
      due.push(workerId);
      this.#dueAt.delete(workerId);
    }
    return due;
  }
}
