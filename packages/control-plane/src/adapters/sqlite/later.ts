// Times in the SQLite file.
// Owns:          their upper end. Must not know: what is to happen then.

import type { EpochMs, Ms } from "../../ports/time.ts";

/** A time that the database gives back as it is: integers beyond 2^53 cannot be read, and every read of the row would fail. */
export function later(now: EpochMs, ms: Ms): EpochMs {
  return Math.min(now + ms, Number.MAX_SAFE_INTEGER);
}
