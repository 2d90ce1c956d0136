// Clock: time, waiting and chance.
// Owns:          the only way to ask the time, to wait, and to roll dice, so that a simulation can own all three.
// Must not know: who asks, and why.
// C1. `now` follows the store's clock: never backwards by more than a correction, refused when it jumps.
// C2. `mono` never goes backwards; use it for spans.
// C3. `sleep` and `deadline` end soon after their signal fires, and leave no timer behind.

import type { EpochMs, Ms } from "./time.ts";

export interface Clock {
  now(): EpochMs;
  /** Milliseconds from an arbitrary start, with fractions. */
  mono(): Ms;
  /** True after `ms`; false as soon as `signal` fires. Never rejects. */
  sleep(ms: Ms, signal: AbortSignal): Promise<boolean>;
  /** Fires when `parent` fires or after about `ms` (rounded up to 50 ms, so that many calls share one timer). */
  deadline(parent: AbortSignal, ms: Ms): AbortSignal;
  /** Evenly spread over [0, 1). Not for secrets. */
  random(): number;
  /** `bytes` random bytes, fit for keys and ids (default 9: twelve characters of base64url). */
  id(bytes?: number): string;
}
