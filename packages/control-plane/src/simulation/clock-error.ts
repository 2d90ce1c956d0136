// How far a simulated process's clock is off.
// Owns:          the error of one life's clock over time: before the store's clock was measured, and while it is followed.
// Must not know: who reads the clock.
// O1. A life whose first measurement came too late to be used runs on its host's clock until the next one (adapters/system/clock.ts K3);
//     then time steps, perhaps backwards. O2. Afterwards the error drifts, slower than time runs, within its bound.

import type { SeededRandom } from "../adapters/system/seeded-random.ts";
import type { Ms } from "../ports/time.ts";

/** Bounds of the error in either direction. */
export interface ClockErrors {
  readonly followedMs: Ms;
  readonly unfollowedMs: Ms;
}

export const CLOSE_CLOCKS: ClockErrors = { followedMs: 20, unfollowedMs: 20 };
export const DIFFERING_CLOCKS: ClockErrors = { followedMs: 500, unfollowedMs: 2_000 };

/** As production measures again (adapters/system/clock.ts, FOLLOW.everyMs). */
const MEASURE_EVERY_MS = 30_000;
/** One life in so many begins without a measurement. */
const UNFOLLOWED_ONCE_IN = 4;
/** At most one millisecond in so many, as a correction is slewed. */
const DRIFT_ONE_IN = 20;

/** The error in whole milliseconds, `livedMs` after the life began. */
export function drawClockError({ followedMs, unfollowedMs }: ClockErrors, chance: SeededRandom): (livedMs: Ms) => Ms {
  const within = (bound: Ms): Ms => chance.below(2 * bound + 1) - bound;
  const unfollowed = within(unfollowedMs);
  const measuredAfterMs = chance.once(UNFOLLOWED_ONCE_IN) ? MEASURE_EVERY_MS : 0;
  const first = chance.below(4 * followedMs + 1);
  const drift = chance.next() / DRIFT_ONE_IN;
  return (livedMs) =>
    livedMs < measuredAfterMs ? unfollowed : toAndFro(first + (livedMs - measuredAfterMs) * drift, followedMs);
}

/** A triangle between -bound and +bound. */
function toAndFro(way: number, bound: Ms): Ms {
  return Math.round(Math.abs((way % (4 * bound)) - 2 * bound) - bound);
}
