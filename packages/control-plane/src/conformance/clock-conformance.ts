// What every Clock must do, rule by rule (ports/clock.ts).
// Owns:          the cases C1 to C3.
// Must not know: whether time is real; `pass` moves it.

import { describe, expect, it } from "vitest";
import type { Clock } from "../ports/clock.ts";
import type { Ms } from "../ports/time.ts";

export interface ClockUnderTest {
  readonly clock: Clock;
  /** Returns when at least `ms` have passed on the clock. */
  pass(ms: Ms): Promise<void>;
}

export function clockConformance(name: string, open: () => ClockUnderTest): void {
  describe(`clock: ${name}`, () => {
    timeCases(open);
    sleepCases(open);
    deadlineCases(open);
    chanceCases(open);
  });
}

function timeCases(open: () => ClockUnderTest): void {
  it("C1 tells the time in whole milliseconds", async () => {
    const { clock, pass } = open();
    const before = clock.now();
    await pass(20);
    expect(Number.isSafeInteger(before)).toBe(true);
    expect(clock.now()).toBeGreaterThanOrEqual(before + 19);
  });

  it("C2 never lets mono go backwards", async () => {
    const { clock, pass } = open();
    let last = clock.mono();
    for (let round = 0; round < 50; round++) {
      if (round % 10 === 0) await pass(1);
      const next = clock.mono();
      expect(next).toBeGreaterThanOrEqual(last);
      last = next;
    }
  });
}

function sleepCases(open: () => ClockUnderTest): void {
  it("C3 sleeps until the time has passed, and says so", async () => {
    const { clock, pass } = open();
    const before = clock.mono();
    const slept = clock.sleep(30, new AbortController().signal);
    await pass(30);
    expect(await slept).toBe(true);
    expect(clock.mono() - before).toBeGreaterThanOrEqual(29);
  });

  it("C3 ends a sleep as soon as its signal fires", async () => {
    const { clock } = open();
    const stop = new AbortController();
    const slept = clock.sleep(3_600_000, stop.signal);
    stop.abort();
    expect(await slept).toBe(false);
    expect(await clock.sleep(3_600_000, stop.signal)).toBe(false);
  });

  it("C3 sleeps longer than a 32-bit timer can", async () => {
    const { clock, pass } = open();
    const stop = new AbortController();
    let woken = false;
    const slept = clock.sleep(2 ** 31 + 10, stop.signal).then((whole) => {
      woken = true;
      return whole;
    });
    await pass(20);
    expect(woken).toBe(false);
    stop.abort();
    expect(await slept).toBe(false);
  });

  it("C3 takes a negative or no time as none", async () => {
    const { clock, pass } = open();
    const slept = Promise.all([
      clock.sleep(-5, new AbortController().signal),
      clock.sleep(0, new AbortController().signal),
    ]);
    await pass(5);
    expect(await slept).toEqual([true, true]);
  });
}

function deadlineCases(open: () => ClockUnderTest): void {
  it("C3 fires a deadline after its time, at most 50 ms late, with a TimeoutError", async () => {
    const { clock, pass } = open();
    const deadline = clock.deadline(new AbortController().signal, 60);
    await pass(40);
    expect(deadline.aborted).toBe(false);
    await pass(90);
    expect(deadline.aborted).toBe(true);
    expect(deadline.reason).toMatchObject({ name: "TimeoutError" });
  });

  it("C3 fires a deadline with its parent and the parent's reason", () => {
    const { clock } = open();
    const parent = new AbortController();
    const deadlines = [clock.deadline(parent.signal, 1_000), clock.deadline(parent.signal, 9_000)];
    const reason = new Error("stopped");
    parent.abort(reason);
    expect(deadlines.map((deadline) => deadline.reason)).toEqual([reason, reason]);
    expect(clock.deadline(parent.signal, 1_000).aborted).toBe(true);
  });

  it("C3 puts one listener on a parent, however many deadlines it has, and leaves none", async () => {
    const { clock, pass } = open();
    const parent = countedSignal();
    for (let call = 0; call < 1_000; call++) clock.deadline(parent.signal, 20 + (call % 3) * 30);
    expect(parent.listeners()).toBe(1);
    await pass(140);
    expect(parent.listeners()).toBe(0);
    clock.deadline(parent.signal, 10);
    expect(parent.listeners()).toBe(1);
    await pass(70);
    expect(parent.listeners()).toBe(0);
  });

  it("C3 keeps the deadlines of two parents apart", () => {
    const { clock } = open();
    const [one, other] = [new AbortController(), new AbortController()];
    const [first, second] = [clock.deadline(one.signal, 500), clock.deadline(other.signal, 500)];
    one.abort();
    expect([first.aborted, second.aborted]).toEqual([true, false]);
    other.abort();
  });
}

function chanceCases(open: () => ClockUnderTest): void {
  it("rolls numbers that are evenly spread over [0, 1)", () => {
    const { clock } = open();
    const tenths = new Array<number>(10).fill(0);
    for (let roll = 0; roll < 10_000; roll++) {
      const tenth = Math.floor(clock.random() * 10);
      tenths[tenth] = (tenths[tenth] ?? Number.NaN) + 1;
    }
    for (const count of tenths) {
      expect(count).toBeGreaterThan(800);
      expect(count).toBeLessThan(1_200);
    }
  });

  it("makes ids of twelve characters that never repeat and need no escaping", () => {
    const { clock } = open();
    const ids = Array.from({ length: 20_000 }, () => clock.id());
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.every((id) => /^[A-Za-z0-9_-]{12}$/.test(id))).toBe(true);
    expect(clock.id(24)).toMatch(/^[A-Za-z0-9_-]{32}$/);
    expect(clock.id(6_000)).toHaveLength(8_000);
  });
}

/** A signal that counts its listeners. */
function countedSignal(): { readonly signal: AbortSignal; listeners(): number } {
  const { signal } = new AbortController();
  let count = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    count++;
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    count--;
    remove(...args);
  };
  return { signal, listeners: () => count };
}
