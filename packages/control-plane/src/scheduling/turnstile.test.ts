import { describe, expect, it } from "vitest";
import { virtualClock } from "../adapters/system/virtual-clock.ts";
import { Congestion } from "./congestion.ts";
import { type Passage, Turnstile } from "./turnstile.ts";

const POOL = "p";
const lane = { pool: POOL, priority: "interactive", tenant: "acme" } as const;

function scene() {
  const clock = virtualClock({ seed: 1, startAt: 1_000_000 });
  const congestion = new Congestion();
  const life = new AbortController();
  const turnstile = new Turnstile(clock, congestion, life.signal);
  const passed: string[] = [];
  /** Enters under a name and notes how it passed. */
  const enter = (name: string, free = 0, holdMs = 100): void => {
    const passing = turnstile.enter(POOL, free, holdMs);
    const note = (how: Passage | "at once"): void => void passed.push(`${name} ${how}`);
    if (passing === undefined) note("at once");
    else void passing.then(note);
  };
  const free = (times: number): void => {
    for (let i = 0; i < times; i++) turnstile.slotFreed([POOL]);
  };
  /** Slots have come free quickly until now, and nobody waits. */
  const turnOver = async (): Promise<void> => {
    free(50);
    await clock.advance(1);
  };
  return { clock, congestion, life, turnstile, passed, enter, free, turnOver };
}

describe("A turnstile", () => {
  it("lets everybody pass while slots are free, or before one ever came free", async () => {
    const { enter, turnOver, passed } = scene();
    enter("first");
    await turnOver();
    enter("second", 1);
    expect(passed).toEqual(["first at once", "second at once"]);
  });

  it("lets one pass for each slot that comes free, in order", async () => {
    const { clock, enter, free, turnOver, passed } = scene();
    await turnOver();
    for (const name of ["a", "b", "c"]) enter(name);
    free(2);
    await clock.advance(1);
    expect(passed).toEqual(["a slot", "b slot"]);
    enter("d", 1); // the slot is for c, which came first
    free(1);
    await clock.advance(1);
    expect(passed).toEqual(["a slot", "b slot", "c slot"]);
  });

  it("hands a slot that its passer did not use to the next", async () => {
    const { clock, turnstile, enter, free, turnOver, passed } = scene();
    await turnOver();
    enter("denied");
    enter("next");
    free(1);
    turnstile.passOn(POOL);
    await clock.advance(1);
    expect(passed).toEqual(["denied slot", "next slot"]);
  });

  it("holds nobody for longer than they say, each by its own word", async () => {
    const { clock, enter, turnOver, passed } = scene();
    await turnOver();
    enter("patient", 0, 250);
    enter("hasty", 0, 50);
    await clock.advance(40);
    expect(passed).toEqual([]);
    await clock.advance(30);
    expect(passed).toEqual(["hasty time"]);
    await clock.advance(200);
    expect(passed).toEqual(["hasty time", "patient time"]);
  });

  it("holds no more than slots come free meanwhile, so that slow jobs hold nobody up", async () => {
    const { clock, enter, free, passed } = scene();
    free(1);
    await clock.advance(50); // one slot in 50 ms: two in 100
    for (const name of ["a", "b", "c"]) enter(name);
    expect(passed).toEqual(["c at once"]);
    await clock.advance(1_000);
    enter("later");
    expect(passed.at(-1)).toBe("later at once");
  });

  it("leaves slots to the backlog until that is empty", async () => {
    const { clock, congestion, turnstile, enter, free, turnOver, passed } = scene();
    await turnOver();
    for (let i = 0; i < 10; i++) congestion.note(lane, 0);
    enter("a");
    enter("b");
    free(1);
    await clock.advance(1);
    expect(passed).toEqual([]);
    congestion.clear(POOL);
    turnstile.open(POOL, 1);
    await clock.advance(1);
    expect(passed).toEqual(["a slot"]);
  });

  it("slows nobody down for a backlog of more than a second", async () => {
    const { congestion, enter, turnOver, passed } = scene();
    await turnOver(); // 50 slots in less than 10 ms count as 5 in a millisecond
    for (let i = 0; i < 5_001; i++) congestion.note(lane, 0);
    enter("late");
    for (let i = 0; i < 1_000; i++) congestion.left(POOL);
    enter("held");
    expect(passed).toEqual(["late at once"]);
  });

  it("lets everybody pass when the process ends", async () => {
    const { clock, life, enter, turnOver, passed } = scene();
    await turnOver();
    enter("a");
    life.abort();
    await clock.advance(20);
    expect(passed).toEqual(["a time"]);
    enter("b");
    expect(passed).toEqual(["a time", "b at once"]);
  });

  it("tries one waiter for a slot of a worker of several pools", async () => {
    const { clock, turnstile, passed, turnOver } = scene();
    await turnOver();
    turnstile.slotFreed(["q"]);
    for (const pool of ["q", POOL]) void turnstile.enter(pool, 0, 100)?.then((how) => passed.push(`${pool} ${how}`));
    turnstile.slotFreed(["q", POOL]);
    await clock.advance(1);
    expect(passed).toEqual(["q slot"]);
  });
});
