import { describe, expect, it } from "vitest";
import { clockConformance } from "../../conformance/clock-conformance.ts";
import type { Log } from "../../ports/telemetry.ts";
import { FOLLOW, followedTime, systemClock } from "./clock.ts";

clockConformance("system", () => {
  const clock = systemClock();
  return { clock, pass: async (ms) => void (await clock.sleep(ms + 2, new AbortController().signal)) };
});

describe("time that follows a store", () => {
  const host = (): { wall: () => number; mono: () => number; pass(ms: number): void; setWall(by: number): void } => {
    let [wall, mono] = [1_000_000, 50];
    return {
      wall: () => wall,
      mono: () => mono,
      pass: (ms) => {
        wall += ms;
        mono += ms;
      },
      setWall: (by) => {
        wall += by;
      },
    };
  };

  it("is the host's time until a store has answered", () => {
    const machine = host();
    const time = followedTime(machine);
    machine.pass(7);
    expect(time.now()).toBe(1_000_007);
  });

  it("takes the store's first answer however far it is", () => {
    const time = followedTime(host());
    expect(time.correct(4_600_000)).toEqual({ kind: "stepped", byMs: 3_600_000 });
    expect(time.now()).toBe(4_600_000);
  });

  it("pays a small difference slowly, in both directions, and never runs backwards", () => {
    for (const byMs of [100, -100]) {
      const machine = host();
      const time = followedTime(machine);
      time.correct(2_000_000);
      machine.pass(1_000);
      expect(time.correct(2_001_000 + byMs).kind).toBe("slewed");
      expect(time.now()).toBe(2_001_000);
      let last = time.now();
      for (let step = 0; step < 400; step++) {
        machine.pass(10);
        expect(time.now()).toBeGreaterThanOrEqual(last);
        last = time.now();
      }
      expect(last).toBe(2_005_000 + byMs);
    }
  });

  it("refuses a jump of the store", () => {
    const machine = host();
    const time = followedTime(machine);
    time.correct(2_000_000);
    machine.pass(1_000);
    expect(time.correct(2_001_000 + FOLLOW.jumpMs + 1).kind).toBe("refused");
    expect(time.correct(1_000_000).kind).toBe("refused");
    expect(time.now()).toBe(2_001_000);
  });

  it("does not notice that the host's clock is set", () => {
    const machine = host();
    const time = followedTime(machine);
    time.correct(2_000_000);
    machine.setWall(86_400_000);
    machine.pass(1_000);
    expect(time.now()).toBe(2_001_000);
    expect(time.correct(2_001_000).kind).toBe("slewed");
    expect(time.now()).toBe(2_001_000);
  });

  it("steps when the host slept, as its own clock tells", () => {
    const machine = host();
    const time = followedTime(machine);
    time.correct(2_000_000);
    machine.setWall(600_000); // the monotonic clock stood still
    expect(time.correct(2_600_000).kind).toBe("stepped");
    expect(time.now()).toBe(2_600_000);
  });
});

describe("followStore", () => {
  it("corrects by half of the measured round trip and stops with its signal", async () => {
    const clock = systemClock();
    const stop = new AbortController();
    await clock.followStore({ now: async () => clock.now() + 60_000 }, quietLog(), stop.signal);
    expect(Math.abs(clock.now() - (Date.now() + 60_000))).toBeLessThan(1_000);
    stop.abort();
  });

  it("rejects when the store does not answer the first time", async () => {
    const clock = systemClock();
    const away = { now: () => Promise.reject(new Error("away")) };
    await expect(clock.followStore(away, quietLog(), new AbortController().signal)).rejects.toThrow("away");
  });
});

function quietLog(): Log {
  const nothing = (): void => undefined;
  return { debug: nothing, info: nothing, warn: nothing, error: nothing };
}
