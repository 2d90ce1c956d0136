// The real clock: time, waiting and chance of this machine, corrected by the store's clock.
// Owns:          the only calls of Date.now, performance.now, timers, Math.random and random bytes in the control plane.
// Must not know: who waits; which store it follows.
// C1 to C3 are the port's (ports/clock.ts). Besides:
// K1. While a store is followed, time runs with the monotonic clock, so a step of the host's clock changes nothing.
// K2. The first answer of the store is taken as it is. Later differences up to `jumpMs` are slewed, 1 ms in 20 at most, so that time
//     never runs backwards. Larger ones are refused and logged, except where the host's own clock made the same step: then the
//     host slept. A store whose clock was really set needs a restart of the processes that refuse it.
// K3. An answer that took longer than `roundTripMs` says too little and is thrown away.

import { randomBytes } from "node:crypto";
import type { Clock } from "../../ports/clock.ts";
import type { State } from "../../ports/state.ts";
import type { Log } from "../../ports/telemetry.ts";
import type { EpochMs, Ms } from "../../ports/time.ts";
import { createDeadline } from "./deadlines.ts";

export interface SystemClock extends Clock {
  /** Measures the store's clock now and every `FOLLOW.everyMs` until `signal` fires. Resolves after the first measurement;
   *  rejects when the store does not answer that one. Later failures are logged and tried again. */
  followStore(state: Pick<State, "now">, log: Log, signal: AbortSignal): Promise<void>;
}

export const FOLLOW = { everyMs: 30_000, jumpMs: 2_000, roundTripMs: 1_000, slew: 1 / 20 } as const;

/** Node's timers overflow above this and would fire at once. */
const TIMER_MS_MAX = 2_147_483_647;
const ID_BYTES = 9;
const SHORT_BYTES_MAX = 16;
const POOL_BYTES = 3_072;

export function systemClock(): SystemClock {
  const mono = (): Ms => performance.now();
  const time = followedTime({ wall: () => Date.now(), mono });
  const clock: SystemClock = {
    now: time.now,
    mono,
    sleep,
    deadline: createDeadline(mono, (ms, fire) => startTimer(ms, fire).unref()),
    random: () => Math.random(),
    id: randomId(),
    async followStore(state, log, signal) {
      await measure(state, log, signal);
      void follow(state, log, signal);
    },
  };

  async function measure(state: Pick<State, "now">, log: Log, signal: AbortSignal): Promise<void> {
    const sentAt = mono();
    const storeAt = await state.now(clock.deadline(signal, FOLLOW.roundTripMs));
    const tookMs = mono() - sentAt;
    if (tookMs > FOLLOW.roundTripMs) return log.warn("clock.measurement_late", { tookMs });
    const step = time.correct(storeAt + tookMs / 2);
    if (step.kind === "refused")
      log.warn("clock.jump_refused", { byMs: Math.round(step.byMs), limitMs: FOLLOW.jumpMs });
    if (step.kind === "stepped") log.info("clock.stepped", { byMs: Math.round(step.byMs) });
  }

  async function follow(state: Pick<State, "now">, log: Log, signal: AbortSignal): Promise<void> {
    while (await sleep(FOLLOW.everyMs, signal)) {
      await measure(state, log, signal).catch((error: unknown) => {
        if (!signal.aborted) log.error("clock.measurement_failed", error);
      });
    }
  }
  return clock;
}

export type Step = { readonly kind: "stepped" | "slewed" | "refused"; readonly byMs: number };

/** Time that follows another clock (K1, K2). Pure apart from the two clocks it is given. */
export function followedTime(host: { readonly wall: () => EpochMs; readonly mono: () => Ms }): {
  now(): EpochMs;
  correct(storeNow: number): Step;
} {
  // Time = base.at + what the monotonic clock passed since, plus what of `owedMs` has been slewed by then.
  let base: { at: number; mono: Ms; wallOffsetMs: number; owedMs: number } | undefined;

  const exact = (mono: Ms): number => {
    if (base === undefined) return host.wall();
    const passedMs = mono - base.mono;
    const paidMs = Math.sign(base.owedMs) * Math.min(Math.abs(base.owedMs), passedMs * FOLLOW.slew);
    return base.at + passedMs + paidMs;
  };
  const rebase = (mono: Ms, at: number, storeNow: number): void => {
    base = { at, mono, wallOffsetMs: storeNow - host.wall(), owedMs: storeNow - at };
  };

  return {
    now: () => Math.floor(exact(host.mono())),
    correct(storeNow) {
      const mono = host.mono();
      const before = exact(mono);
      const byMs = storeNow - before;
      const first = base === undefined;
      const hostSlept = base !== undefined && Math.abs(storeNow - host.wall() - base.wallOffsetMs) <= FOLLOW.jumpMs;
      if (first || (Math.abs(byMs) > FOLLOW.jumpMs && hostSlept && byMs > 0)) {
        rebase(mono, storeNow, storeNow);
        return { kind: "stepped", byMs };
      }
      if (Math.abs(byMs) > FOLLOW.jumpMs) return { kind: "refused", byMs };
      rebase(mono, before, storeNow);
      return { kind: "slewed", byMs };
    },
  };
}

async function sleep(ms: Ms, signal: AbortSignal): Promise<boolean> {
  for (let leftMs = Math.max(0, ms); ; leftMs -= TIMER_MS_MAX) {
    if (!(await sleepOnce(Math.min(leftMs, TIMER_MS_MAX), signal))) return false;
    if (leftMs <= TIMER_MS_MAX) return true;
  }
}

function sleepOnce(ms: Ms, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false);
  return new Promise((resolve) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      resolve(false);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", onAbort);
      resolve(true);
    }, ms);
    signal.addEventListener("abort", onAbort, { once: true });
  });
}

function startTimer(ms: Ms, fire: () => void): NodeJS.Timeout {
  if (ms <= TIMER_MS_MAX) return setTimeout(fire, ms);
  return setTimeout(() => startTimer(ms - TIMER_MS_MAX, fire).unref(), TIMER_MS_MAX);
}

/** Short ids are cut from a text that is drawn 3 KiB at a time: a call of the kernel for each, and of the encoder, would cost more than the
 *  id. What is longer may become a secret, and is drawn for itself. */
function randomId(): (bytes?: number) => string {
  let text = "";
  let used = 0;
  return (bytes = ID_BYTES) => {
    if (bytes > SHORT_BYTES_MAX) return randomBytes(bytes).toString("base64url");
    const chars = Math.ceil((bytes * 4) / 3);
    if (used + chars > text.length) {
      text = randomBytes(POOL_BYTES).toString("base64url");
      used = 0;
    }
    used += chars;
    return text.slice(used - chars, used);
  };
}
