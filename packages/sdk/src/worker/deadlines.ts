// Deadlines: an end for work that has none of its own.
// Owns:          the open calls and the one timer that watches them all.
// Must not know: what is awaited. The work itself goes on: connections have no way to be told.
// E1. A timer per call would cost more than the call it watches (five calls a job); one tick for all costs an entry of a list each.
//     Therefore a deadline may be late by a tick, 50 ms.

import type { Runtime } from "../runtime.ts";

const TICK_MS = 50;

interface Open {
  readonly endsAt: number;
  /** Undefined once nobody waits any more: whatever it holds on to is let go at once, the entry itself with the next tick. */
  end: (() => void) | undefined;
}

export class DeadlinePassed extends Error {
  constructor(what: string, ms: number) {
    super(`${what} took more than ${ms} ms`);
    this.name = "DeadlinePassed";
  }
}

export class Deadlines {
  readonly #runtime: Runtime;
  #open: Open[] = [];
  #isTicking = false;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** Calls `run` after `ms`, or up to a tick later. Gives back what calls that off. */
  after(ms: number, run: () => void): () => void {
    const open = this.#watch(ms, run);
    return () => {
      open.end = undefined;
    };
  }

  /** What `work` gives, or DeadlinePassed `ms` (and up to a tick) later. */
  within<T>(ms: number, what: string, work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const open = this.#watch(ms, () => reject(new DeadlinePassed(what, ms)));
      call(work).then(
        (value) => {
          open.end = undefined;
          resolve(value);
        },
        (error: unknown) => {
          open.end = undefined;
          reject(error);
        },
      );
    });
  }

  #watch(ms: number, end: () => void): Open {
    const open: Open = { endsAt: this.#runtime.mono() + ms, end };
    this.#open.push(open);
    if (!this.#isTicking) void this.#tick();
    return open;
  }

  async #tick(): Promise<void> {
    this.#isTicking = true;
    while (this.#open.length > 0) {
      await this.#runtime.sleep(TICK_MS, never);
      const now = this.#runtime.mono();
      const due = this.#open.filter(({ endsAt, end }) => end !== undefined && endsAt <= now);
      this.#open = this.#open.filter(({ endsAt, end }) => end !== undefined && endsAt > now);
      // One that ends may call off others.
      for (const open of due) open.end?.();
    }
    this.#isTicking = false;
  }
}

const never = new AbortController().signal;

/** A connection that throws instead of rejecting counts as one that rejects. */
function call<T>(work: () => Promise<T>): Promise<T> {
  try {
    return work();
  } catch (error) {
    return Promise.reject(error);
  }
}
