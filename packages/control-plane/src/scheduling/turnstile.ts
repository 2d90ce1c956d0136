// The turnstile: a submission whose pool has no free slot, but will have one in milliseconds, waits for it before its job is stored.
// Owns:          who waits, in order; how fast slots of a pool come free; for whom waiting is worth it.
// Must not know: jobs, records, how a worker is chosen.
// T1. A job that is stored as waiting costs a commit, places in the backlog and a look at it, as much again as the rest of the job. Who
//     waits here is stored once, as dispatched. Nothing is promised meanwhile: the caller has no answer, and a crash loses nothing.
// T2. Nobody waits longer than they say. No more wait than slots come free in that time, so that slow jobs hold nobody up; and nobody where
//     the backlog is longer than a second's work: then it is a backlog, and is left to be one.
// T3. First come, first served. Slots that come free while jobs wait in the backlog are the backlog's.
// T4. All of it is guesswork by one process: who passes with nothing free is stored as waiting, as without a turnstile.

import type { Clock } from "../ports/clock.ts";
import type { Ms } from "../ports/time.ts";
import type { Congestion } from "./congestion.ts";

/** Work in the backlog that is still worth slowing down for, so that it does not grow. */
const BACKLOG_MS: Ms = 1_000;
/** Slots that come free are counted by windows of this length. */
const WINDOW_MS: Ms = 50;
/** A window that has only begun says little. */
const BEGUN_MS: Ms = 10;
/** How often it is looked whether somebody's time is over. */
const LOOK_MS: Ms = 10;
const POOLS_MAX = 1_000;

export type Passage = "slot" | "time";

interface Waiter {
  readonly until: Ms;
  readonly pass: (passage: Passage) => void;
}

interface Gate {
  waiters: Waiter[];
  /** Moments are on the monotonic clock. */
  windowAt: Ms;
  freed: number;
  freedBefore: number;
  isWatched: boolean;
}

export class Turnstile {
  readonly #clock: Clock;
  readonly #congestion: Congestion;
  readonly #life: AbortSignal;
  readonly #gates = new Map<string, Gate>();

  /** When `life` ends, whoever waits passes. */
  constructor(clock: Clock, congestion: Congestion, life: AbortSignal) {
    this.#clock = clock;
    this.#congestion = congestion;
    this.#life = life;
  }

  /** Undefined: go on at once. `free`: slots of the pool that are free now. Never rejects. */
  enter(pool: string, free: number, holdMs: Ms): Promise<Passage> | undefined {
    const gate = this.#gates.get(pool);
    if (gate === undefined || this.#life.aborted) return undefined;
    const waiting = this.#congestion.waiting(pool);
    if (free > gate.waiters.length && waiting === 0) return undefined;
    const now = this.#clock.mono();
    const perMs = freedPerMs(gate, now);
    if (gate.waiters.length + 1 > perMs * holdMs || waiting > perMs * BACKLOG_MS) return undefined;
    return new Promise((pass) => {
      gate.waiters.push({ until: now + holdMs, pass });
      if (!gate.isWatched) void this.#watch(gate);
    });
  }

  /** A slot of a worker of these pools is free again. */
  slotFreed(pools: Iterable<string>): void {
    let isTaken = false;
    for (const pool of pools) {
      const gate = this.#gateOf(pool);
      if (gate === undefined) continue;
      turnWindow(gate, this.#clock.mono());
      gate.freed += 1;
      if (!isTaken) isTaken = this.passOn(pool);
    }
  }

  /** A slot is free, or still is although somebody was let in for it. True when somebody has it now: who waits here, or the backlog. */
  passOn(pool: string): boolean {
    if (this.#congestion.has(pool)) return true;
    const first = this.#gates.get(pool)?.waiters.shift();
    first?.pass("slot");
    return first !== undefined;
  }

  /** The backlog of the pool is empty, and so many slots are still free. */
  open(pool: string, free: number): void {
    for (const { pass } of this.#gates.get(pool)?.waiters.splice(0, free) ?? []) pass("slot");
  }

  /** Pools beyond the bound have no turnstile. */
  #gateOf(pool: string): Gate | undefined {
    const known = this.#gates.get(pool);
    if (known !== undefined || this.#gates.size >= POOLS_MAX) return known;
    const gate: Gate = { waiters: [], windowAt: this.#clock.mono(), freed: 0, freedBefore: 0, isWatched: false };
    this.#gates.set(pool, gate);
    return gate;
  }

  async #watch(gate: Gate): Promise<void> {
    gate.isWatched = true;
    while (gate.waiters.length > 0) {
      await this.#clock.sleep(LOOK_MS, this.#life);
      const now = this.#life.aborted ? Number.POSITIVE_INFINITY : this.#clock.mono();
      const { waiters } = gate;
      gate.waiters = waiters.filter(({ until }) => until > now);
      for (const { until, pass } of waiters) if (until <= now) pass("time");
    }
    gate.isWatched = false;
  }
}

function turnWindow(gate: Gate, now: Ms): void {
  const age = now - gate.windowAt;
  if (age < WINDOW_MS) return;
  gate.freedBefore = age < 2 * WINDOW_MS ? gate.freed : 0;
  gate.freed = 0;
  gate.windowAt = now;
}

function freedPerMs(gate: Gate, now: Ms): number {
  turnWindow(gate, now);
  return Math.max(gate.freedBefore / WINDOW_MS, gate.freed / Math.max(BEGUN_MS, now - gate.windowAt));
}
