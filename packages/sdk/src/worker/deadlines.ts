// Deadlines: an end for work that has none of its own.
// Owns:          the open calls and the one timer that watches them all.
// Must not know: what is awaited. The work itself goes on: connections have no way to be told.
// E1. A timer per call would cost more than the call it watches (five calls a job); one tick for all costs an entry of a list each.
//     Therefore a deadline may be late by a tick, 50 ms.

import type { Runtime } from "../runtime.ts";

const TICK_MS = 50;

/** Something that happens unless it is called off. */
export class Alarm {
  readonly endsAt: number;
  /** Undefined once nobody waits any more: whatever it holds on to is let go at once, the entry itself with the next tick. */
  end: (() => void) | undefined;

  constructor(endsAt: number, end: () => void) {
    this.endsAt = endsAt;
    this.end = end;
  }

  callOff(): void {
    this.end = undefined;
  }
}

export class DeadlinePassed extends Error {
  constructor(what: string, ms: number) {
    super(`${what} took more than ${ms} ms`);
    this.name = "DeadlinePassed";
  }
}

export class Deadlines {
  readonly #runtime: Runtime;
  #open: Alarm[] = [];
  #isTicking = false;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** Calls `run` after `ms`, or up to a tick later. */
  after(ms: number, run: () => void): Alarm {
    const alarm = new Alarm(this.#runtime.mono() + ms, run);
    this.#open.push(alarm);
    if (!this.#isTicking) void this.#tick();
    return alarm;
  }

  /** What `work` gives, or DeadlinePassed `ms` (and up to a tick) later. */
  within<T>(ms: number, what: string, work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const alarm = this.after(ms, () => reject(new DeadlinePassed(what, ms)));
      call(work).then(
        (value) => {
          alarm.callOff();
          resolve(value);
        },
        (error: unknown) => {
          alarm.callOff();
          reject(error);
        },
      );
    });
  }

  async #tick(): Promise<void> {
    this.#isTicking = true;
    while (this.#open.length > 0) {
      await this.#runtime.sleep(TICK_MS, never);
      const now = this.#runtime.mono();
      const due: Alarm[] = [];
      const later: Alarm[] = [];
      for (const alarm of this.#open) if (alarm.end !== undefined) (alarm.endsAt <= now ? due : later).push(alarm);
      this.#open = later;
      // One that ends may call off others.
      for (const alarm of due) alarm.end?.();
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
