import { describe, expect, it } from "vitest";
import { clockConformance } from "../../conformance/clock-conformance.ts";
import { environment } from "./environment.ts";
import { seededRandom } from "./seeded-random.ts";
import { timerQueue } from "./timer-queue.ts";
import { virtualClock } from "./virtual-clock.ts";

const never = new AbortController().signal;

clockConformance("virtual", () => {
  const clock = virtualClock({ seed: 7 });
  return { clock, pass: clock.advance };
});

describe("virtualClock", () => {
  it("V1 fires timers by time, then by start, with its own time for each", async () => {
    const clock = virtualClock({ startAt: 0 });
    const fired: string[] = [];
    const note = (name: string, ms: number): void =>
      void clock.sleep(ms, never).then(() => fired.push(`${name}@${clock.now()}`));
    note("c", 30);
    note("a", 10);
    note("b", 10);
    await clock.advance(100);
    expect(fired).toEqual(["a@10", "b@10", "c@30"]);
    expect(clock.now()).toBe(100);
  });

  it("V2 wakes a loop that sleeps again as often as time allows", async () => {
    const clock = virtualClock();
    const stop = new AbortController();
    let rounds = 0;
    const loop = (async () => {
      while (await clock.sleep(100, stop.signal)) rounds++;
    })();
    await clock.advance(1_000);
    expect(rounds).toBe(10);
    stop.abort();
    await loop;
    expect(clock.pending).toBe(0);
  });

  it("runs until a condition holds, and says when it never does", async () => {
    const clock = virtualClock({ startAt: 0 });
    let woken = 0;
    void clock.sleep(500, never).then(() => woken++);
    expect(await clock.runUntil(() => woken === 1, 499)).toBe(false);
    expect(await clock.runUntil(() => woken === 1, 1_000)).toBe(true);
    expect(clock.now()).toBe(500);
    expect(await clock.runUntil(() => woken === 2, 1_000)).toBe(false);
  });

  it("V3 repeats itself for the same seed, and only then", () => {
    const draw = (seed: number): unknown => {
      const clock = virtualClock({ seed });
      return [clock.id(), clock.random(), clock.id(3), clock.random()];
    };
    expect(draw(3)).toEqual(draw(3));
    expect(draw(3)).not.toEqual(draw(4));
  });
});

describe("timerQueue", () => {
  it("keeps its order through ten thousand starts and stops", () => {
    const chance = seededRandom(11);
    const timers = timerQueue();
    const fired: number[] = [];
    const alive = new Set<number>();
    for (let order = 0; order < 10_000; order++) {
      const at = chance.below(500);
      const stop = timers.start(at, () => fired.push(at * 10_000 + order));
      if (chance.once(2)) alive.add(at * 10_000 + order);
      else {
        stop();
        stop();
      }
    }
    expect(timers.size()).toBe(alive.size);
    for (let due = timers.takeNext(); due !== undefined; due = timers.takeNext()) due.fire();
    expect(fired).toEqual([...alive].sort((a, b) => a - b));
  });
});

describe("seededRandom", () => {
  it("draws the same numbers in every release", () => {
    const chance = seededRandom(42);
    expect([chance.below(1_000_000), chance.below(1_000_000), chance.id(6)]).toMatchInlineSnapshot(`
      [
        456255,
        564175,
        "CGbQJmEW",
      ]
    `);
  });

  it("gives forks of their own", () => {
    const [one, two] = [seededRandom(1), seededRandom(1)];
    const fork = one.fork("bus");
    two.fork("bus");
    fork.next();
    expect(one.next()).toBe(two.next());
    expect(seededRandom(1).fork("bus").next()).not.toBe(seededRandom(1).fork("state").next());
  });
});

describe("environment", () => {
  it("is a frozen copy without the names of Object", () => {
    const copy = environment();
    expect(copy.PATH).toBe(process.env.PATH);
    expect(copy.constructor).toBeUndefined();
    expect(Object.isFrozen(copy)).toBe(true);
  });
});
