// Deadlines: an end for work that has none of its own.
// Owns:          the open calls and the one timer that watches them all.
// Must not know: what is awaited. The work itself goes on: connections have no way to be told.
// E1. A timer per call would cost more than the call it watches (five calls a job); one tick for all costs a set entry each.
//     Therefore a deadline may be late by a tick, 50 ms.

import type { Runtime } from "../runtime.ts";

const TICK_MS = 50;

interface Open {
  readonly endsAt: number;
  end(): void;
}

export class DeadlinePassed extends Error {
  constructor(what: string, ms: number) {
    super(`${what} took more than ${ms} ms`);
    this.name = "DeadlinePassed";
  }
}

export class Deadlines {
  readonly #runtime: Runtime;
  readonly #open = new Set<Open>();
  #isTicking = false;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** Calls `run` after `ms`, or up to a tick later. Gives back what calls that off. */
  after(ms: number, run: () => void): () => void {
    const open: Open = { endsAt: this.#runtime.mono() + ms, end: run };
    this.#watch(open);
    return () => void this.#open.delete(open);
  }

  /** What `work` gives, or DeadlinePassed `ms` (and up to a tick) later. */
  within<T>(ms: number, what: string, work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const open: Open = { endsAt: this.#runtime.mono() + ms, end: () => reject(new DeadlinePassed(what, ms)) };
      this.#watch(open);
      const settle = (end: () => void) => {
        this.#open.delete(open);
        end();
      };
      call(work).then(
        (value) => settle(() => resolve(value)),
        (error: unknown) => settle(() => reject(error)),
      );
    });
  }

  #watch(open: Open): void {
    this.#open.add(open);
    if (!this.#isTicking) void this.#tick();
  }

  async #tick(): Promise<void> {
    this.#isTicking = true;
    while (this.#open.size > 0) {
      await this.#runtime.sleep(TICK_MS, never);
      const now = this.#runtime.mono();
      for (const open of this.#open) {
        if (open.endsAt > now) continue;
        this.#open.delete(open);
        open.end();
      }
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
