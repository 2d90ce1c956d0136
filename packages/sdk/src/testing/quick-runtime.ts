// A runtime for tests in which waiting costs nothing: sleeps are recorded, the clock jumps over them.
// Owns:          a clock that only sleeps can move.
// Must not know: who sleeps.

import { type Runtime, systemRuntime } from "../runtime.ts";

export interface QuickRuntime extends Runtime {
  /** Waits that were asked for, in ms, in order; only those of at most `jumpMsMax`. */
  readonly sleeps: readonly number[];
}

/** Sleeps up to `jumpMsMax` end at once and move the clock; longer ones (deadlines) end only by their signal. */
export function quickRuntime(jumpMsMax: number): QuickRuntime {
  let ms = 1_767_225_600_000;
  const sleeps: number[] = [];
  return {
    ...systemRuntime,
    sleeps,
    now: () => ms,
    mono: () => ms,
    random: () => 0.5,
    sleep: async (asked, signal) => {
      if (signal.aborted) return false;
      if (asked > jumpMsMax) {
        await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
        return false;
      }
      sleeps.push(asked);
      ms += asked;
      return true;
    },
  };
}
