// Back-off: how long to wait before the same thing is tried again.
// Owns:          the formula.
// Must not know: what is tried.

export interface BackoffLimits {
  readonly baseMs: number;
  readonly capMs: number;
}

/** Wait in ms before try `n` is repeated (1 = the first): between half of and the whole exponential step, at most `capMs`.
 *  `random` is in [0, 1). Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 ("equal jitter": the wait
 *  never comes near zero, so a server that asks for rest gets some). */
export function backoffMs(n: number, limits: BackoffLimits, random: number): number {
  const step = Math.min(limits.capMs, limits.baseMs * 2 ** Math.min(n - 1, 30));
  return step / 2 + (step / 2) * random;
}
