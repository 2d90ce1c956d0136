// The virtual clock: time that moves only when told to, and chance from a seed.
// Owns:          virtual time, its waiting timers in order, one seeded stream of chance.
// Must not know: who drives it (a test, the simulation) or who waits.
// V1. Timers fire in the order of their time, then of their start; `now` is the timer's time while it fires.
// V2. Nothing fires except inside advance, runUntil and fireNext.
// V3. Same seed, same calls: same times, ids and numbers.

import type { Clock } from "../../ports/clock.ts";
import type { EpochMs, Ms } from "../../ports/time.ts";
import { createDeadline } from "./deadlines.ts";
import { seededRandom } from "./seeded-random.ts";
import { timerQueue } from "./timer-queue.ts";
import { turn } from "./turn.ts";

export interface VirtualClock extends Clock {
  /** Moves time by `ms`, firing what falls due on the way. Promises settle between one moment and the next, so that a loop that
   *  sleeps again is woken again. */
  advance(ms: Ms): Promise<void>;
  /** Moves from timer to timer until `condition` holds. False when nothing is left to wait for or `limitMs` have passed. */
  runUntil(condition: () => boolean, limitMs: Ms): Promise<boolean>;
  /** When the next timer is due. */
  nextAt(): EpochMs | undefined;
  /** Moves to the next timer and fires that one only; false when there is none. For the simulation, which settles by itself. */
  fireNext(): boolean;
  /** Timers that wait. */
  readonly pending: number;
}

export interface VirtualClockOptions {
  readonly seed?: number;
  /** Default: 2030-01-01T00:00:00Z, far from every clock a test may run under. */
  readonly startAt?: EpochMs;
}

const START_AT = 1_893_456_000_000;
const ID_BYTES = 9;

export function virtualClock(options: VirtualClockOptions = {}): VirtualClock {
  const startAt = options.startAt ?? START_AT;
  const chance = seededRandom(options.seed ?? 1);
  const timers = timerQueue();
  let now = startAt;

  const start = (ms: Ms, fire: () => void): (() => void) => timers.start(now + Math.max(0, Math.ceil(ms)), fire);
  const fireNext = (): boolean => {
    const due = timers.takeNext();
    if (due === undefined) return false;
    now = Math.max(now, due.at);
    due.fire();
    return true;
  };
  const fireDueBy = async (end: EpochMs): Promise<void> => {
    for (let at = timers.nextAt(); at !== undefined && at <= end; at = timers.nextAt()) {
      while (timers.nextAt() === at) fireNext();
      await turn();
    }
  };

  return {
    now: () => now,
    mono: () => now - startAt,
    sleep: (ms, signal) => sleep(start, ms, signal),
    deadline: createDeadline(() => now - startAt, start),
    random: chance.next,
    id: (bytes = ID_BYTES) => chance.id(bytes),
    async advance(ms) {
      const end = now + ms;
      await turn(); // what was started before the call may still be on its way to its timer
      await fireDueBy(end);
      now = Math.max(now, end);
    },
    async runUntil(condition, limitMs) {
      const end = now + limitMs;
      await turn();
      while (!condition()) {
        const at = timers.nextAt();
        if (at === undefined || at > end) return false;
        await fireDueBy(at);
      }
      return true;
    },
    nextAt: timers.nextAt,
    fireNext,
    get pending() {
      return timers.size();
    },
  };
}

function sleep(start: (ms: Ms, fire: () => void) => () => void, ms: Ms, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false);
  return new Promise((resolve) => {
    const onAbort = (): void => {
      stop();
      resolve(false);
    };
    const stop = start(ms, () => {
      signal.removeEventListener("abort", onAbort);
      resolve(true);
    });
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
