import { describe, expect, it } from "vitest";
import { memoryState } from "../adapters/memory/memory-state.ts";
import { virtualClock } from "../adapters/system/virtual-clock.ts";
import type { State } from "../ports/state.ts";
import { silentLog } from "../telemetry/log.ts";
import { Processes, processLayout, type Shapes } from "./processes.ts";

const never = new AbortController().signal;

function scene() {
  const clock = virtualClock({ seed: 1, startAt: 1_000_000 });
  const state = memoryState({ partitions: 3, layout: { indexes: processLayout(), logs: {} }, clock });
  const start = (id: string, reads: Shapes, over: State = state) =>
    new Processes(over, clock, { id, roles: ["scheduler"], version: "1.0.0", reads });
  return { clock, state, start };
}

describe("Processes", () => {
  it("let a new shape be written only when all that live can read it", async () => {
    const { clock, start } = scene();
    const [fresh, old] = [start("new", { job: 2 }), start("old", { job: 1 })];
    expect(fresh.canAllRead("job", 1)).toBe(false);
    await old.meet(never);
    await fresh.meet(never);
    expect(fresh.canAllRead("job", 1)).toBe(true);
    expect(fresh.canAllRead("job", 2)).toBe(false);
    expect(fresh.canAllRead("other", 1)).toBe(false);
    await old.leave(never);
    await fresh.meet(never);
    expect(fresh.canAllRead("job", 2)).toBe(true);
    await old.meet(never);
    await clock.advance(29_000);
    await fresh.meet(never);
    expect(fresh.canAllRead("job", 2)).toBe(false);
    await clock.advance(2_000);
    await fresh.meet(never);
    expect(fresh.canAllRead("job", 2)).toBe(true);
    expect(fresh.alive().map(({ id }) => id)).toEqual(["new"]);
  });

  it("write the old shape while the store does not answer", async () => {
    const { clock, state, start } = scene();
    let isAway = false;
    const flaky: State = new Proxy(state, {
      get: (real, name) =>
        name === "list" && isAway
          ? () => Promise.reject(new Error("away"))
          : (Reflect.get(real, name).bind?.(real) ?? Reflect.get(real, name)),
    });
    const one = start("one", { job: 2 }, flaky);
    await one.meet(never);
    expect(one.canAllRead("job", 2)).toBe(true);
    const stop = new AbortController();
    const running = one.run(silentLog(), stop.signal);
    isAway = true;
    await clock.advance(10_000);
    await expect.poll(() => one.canAllRead("job", 2)).toBe(false);
    isAway = false;
    await clock.advance(10_000);
    await expect.poll(() => one.canAllRead("job", 2)).toBe(true);
    stop.abort();
    await clock.advance(1);
    await running;
  });
});
