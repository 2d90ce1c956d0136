import { describe, expect, it } from "vitest";
import { memoryState } from "../adapters/memory/memory-state.ts";
import { virtualClock } from "../adapters/system/virtual-clock.ts";
import { ruleLimit, Slots, slotLayout, tenantLimit } from "./slots.ts";

const never = new AbortController().signal;

function scene() {
  const clock = virtualClock({ seed: 1, startAt: 1_000_000 });
  const state = memoryState({ partitions: 3, layout: { indexes: slotLayout(), logs: {} }, clock });
  return { clock, state, slots: new Slots(state, clock) };
}
const holder = (at: number) => ({ jobId: `j${at}`, dispatchId: `d${at}` });

describe("Slots", () => {
  it("are never more than the limit, however many ask at once", async () => {
    const { state, clock, slots } = scene();
    const other = new Slots(state, clock);
    const limit = ruleLimit("acme", "r", 3);
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, at) => (at % 2 === 0 ? slots : other).take(limit, holder(at), never)),
    );
    expect(answers.filter((answer) => answer === "taken")).toHaveLength(3);
    expect(await slots.countOf(limit.id, never)).toBe(3);
  });

  it("are taken once by one dispatch and given back once", async () => {
    const { slots } = scene();
    const limit = tenantLimit("acme", 1);
    expect(await slots.take(limit, holder(1), never)).toBe("taken");
    expect(await slots.take(limit, holder(1), never)).toBe("taken");
    expect(await slots.take(limit, holder(2), never)).toBe("full");
    expect(await slots.giveBack(limit.id, "d1", never)).toBe(true);
    expect(await slots.giveBack(limit.id, "d1", never)).toBe(false);
    expect(await slots.take(limit, holder(2), never)).toBe("taken");
    await slots.giveBack(limit.id, "d1", never);
    expect(await slots.countOf(limit.id, never)).toBe(1);
  });

  it("come back by their alarm when nobody has the dispatch any more", async () => {
    const { slots, state, clock } = scene();
    const limit = tenantLimit("acme", 2);
    await slots.take(limit, holder(1), never);
    await slots.take(limit, holder(2), never);
    await clock.advance(60_000);
    const due = (await Promise.all([0, 1, 2].map((partition) => state.take(partition, 10, 1_000, never)))).flat();
    expect(due).toHaveLength(2);
    const freed = await Promise.all(
      due.map(({ key }) => slots.wake(key.id, async ({ jobId }) => jobId === "j1", never)),
    );
    expect(freed.filter((id) => id === limit.id)).toHaveLength(1);
    expect(await slots.countOf(limit.id, never)).toBe(1);
    await clock.advance(59_999);
    expect(
      (await Promise.all([0, 1, 2].map((partition) => state.take(partition, 10, 1_000, never)))).flat(),
    ).toHaveLength(0);
  });

  it("of different tenants and rules are different limits", () => {
    const ids = [
      tenantLimit("a", 1),
      ruleLimit("a", "", 1),
      ruleLimit("a", "b", 1),
      ruleLimit("ab", "", 1),
      tenantLimit("ab", 1),
    ].map(({ id }) => id);
    expect(new Set(ids).size).toBe(5);
    expect(ids.every((id) => !id.includes(":"))).toBe(true);
  });
});
