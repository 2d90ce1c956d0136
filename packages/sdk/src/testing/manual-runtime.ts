// A runtime for tests whose clock stands still until it is told to move.
// Owns:          the sleeps that are open and the time they end at.
// Must not know: who sleeps.

import { type Runtime, systemRuntime } from "../runtime.ts";

interface Sleep {
  readonly endsAt: number;
  end(elapsed: boolean): void;
}

export const NEW_YEAR_MS = 1_767_225_600_000;

export class ManualRuntime implements Runtime {
  #ms = NEW_YEAR_MS;
  readonly #sleeps = new Set<Sleep>();
  readonly random = () => 0.5;
  readonly id = systemRuntime.id;

  now(): number {
    return this.#ms;
  }

  mono(): number {
    return this.#ms;
  }

  sleep(ms: number, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      if (signal.aborted) {
        resolve(false);
        return;
      }
      const onAbort = () => sleep.end(false);
      const sleep: Sleep = {
        endsAt: this.#ms + ms,
        end: (elapsed) => {
          this.#sleeps.delete(sleep);
          signal.removeEventListener("abort", onAbort);
          resolve(elapsed);
        },
      };
      this.#sleeps.add(sleep);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** Moves the clock, ending sleeps in the order of their times and letting everything that follows from each happen. */
  async advance(ms: number): Promise<void> {
    const target = this.#ms + ms;
    for (;;) {
      await settle();
      const next = [...this.#sleeps].sort((a, b) => a.endsAt - b.endsAt)[0];
      if (next === undefined || next.endsAt > target) break;
      this.#ms = Math.max(this.#ms, next.endsAt);
      next.end(true);
    }
    this.#ms = target;
  }
}

/** Until all promises that can go on have gone on. */
export async function settle(): Promise<void> {
  await systemRuntime.sleep(0, new AbortController().signal);
}
