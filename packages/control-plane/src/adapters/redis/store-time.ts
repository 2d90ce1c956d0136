// What time it is at Redis, as far as its answers tell.
// Owns:          the distance between Redis' clock and the monotonic one of this process.
// Must not know: what the time is for.
// Z1. An answer is read some time after it was given, so what it tells is never more than the truth: the largest of what was told is nearest
//     to it. Z2. Redis' clock may be set back; so what was told is believed a little less with every second.

import type { EpochMs, Ms } from "../../ports/time.ts";

const DOUBT_PER_MS = 0.01;

export class StoreTime {
  #ahead: Ms = Number.NEGATIVE_INFINITY;
  #toldAt: Ms = 0;

  /** Redis said `storeMs` in an answer that was read at `mono`. */
  told(storeMs: EpochMs, mono: Ms): void {
    this.#ahead = Math.max(storeMs - mono, this.#ahead - DOUBT_PER_MS * (mono - this.#toldAt));
    this.#toldAt = mono;
  }

  /** Redis' time at a moment of our monotonic clock; undefined before it has told any. */
  at(mono: Ms): EpochMs | undefined {
    return this.#ahead === Number.NEGATIVE_INFINITY ? undefined : Math.floor(this.#ahead + mono);
  }
}
