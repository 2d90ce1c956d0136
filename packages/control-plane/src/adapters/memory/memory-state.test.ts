import { describe, expect, it } from "vitest";
import { stateConformance } from "../../conformance/state-conformance.ts";
import { conformanceLayout, never, put, Scene } from "../../conformance/state-scene.ts";
import { virtualClock } from "../system/virtual-clock.ts";
import { memoryPayloads } from "./memory-payloads.ts";
import { memoryState } from "./memory-state.ts";

stateConformance("memory", async ({ partitions, layout }) => {
  const clock = virtualClock();
  return { state: memoryState({ partitions, layout, clock }), pass: (ms) => clock.advance(ms) };
});
stateConformance(
  "memory with payloads",
  async ({ partitions, layout }) => {
    const clock = virtualClock();
    const payloads = memoryPayloads({ clock, bytesMax: 65_536 });
    return { state: memoryState({ partitions, layout, clock, payloads }), payloads, pass: (ms) => clock.advance(ms) };
  },
  { partitions: [3] },
);

function scene() {
  const clock = virtualClock();
  const state = memoryState({ partitions: 1, layout: conformanceLayout, clock });
  return { clock, state, s: new Scene({ state, pass: (ms) => clock.advance(ms) }, 0) };
}

describe("state: memory", () => {
  it("S5: names of empty indexes and logs are dropped", async () => {
    const { clock, state, s } = scene();
    const index = s.index("rank");
    await s.fill(index, [["m", 1]]);
    await s.must([{ is: "in", index, member: "m" }], [{ do: "leave", index, member: "m" }]);
    expect(state.dump().indexes).toEqual([]);
    const recent = s.index("recent");
    await s.must(
      [{ is: "out", index: recent, member: "m" }],
      [
        { do: "enter", index: recent, member: "m", score: clock.now() },
        { do: "append", log: s.log("brief"), entry: 1 },
      ],
    );
    await s.create("a", 1, { keepMs: 10 });
    await clock.advance(401);
    expect(state.dump()).toMatchObject({ records: [{}], indexes: [{}], logs: [{}] });
    expect(await state.sweep(0, 2, never)).toEqual({ removed: 2, done: false });
    expect(await state.sweep(0, 2, never)).toEqual({ removed: 1, done: true });
    expect(state.dump()).toEqual({ records: [], indexes: [], logs: [] });
  });
  it("dumps records, indexes, alarms and logs in a stable order", async () => {
    const { state, s } = scene();
    await s.must(
      [{ is: "absent", key: s.key("b") }],
      [
        put(s.key("b"), 1, { wakeAt: 5 }),
        put(s.key("a"), 2, { keepMs: 7 }),
        { do: "enter", index: s.index("rank", "x"), member: "m", score: 1 },
        { do: "append", log: s.log("long"), entry: "e" },
      ],
    );
    const { records, indexes, logs } = state.dump();
    expect(records.map(({ stored, alarmAt }) => [stored.key.id, alarmAt])).toEqual([
      ["a", "never"],
      ["b", 5],
    ]);
    expect(indexes).toEqual([{ key: s.index("rank", "x"), entries: [{ member: "m", score: 1 }] }]);
    expect(logs).toEqual([{ key: s.log("long"), entries: ["e"] }]);
  });
  it("puts back what it was, again and again", async () => {
    const { clock, state, s } = scene();
    const before = await s.create("a", 1, { wakeAt: 5, keepMs: 60_000 });
    await s.fill(s.index("recent"), [["m", clock.now()]]);
    await s.must(
      [{ is: "absent", key: s.key("b") }],
      [put(s.key("b"), 1), { do: "append", log: s.log("brief"), entry: 1 }],
    );
    await state.take(0, 1, 500, never);
    const dumped = state.dump();
    const putBack = state.snapshot();
    for (let n = 0; n < 2; n++) {
      await s.must([{ is: "at", ...before }], [put(before.key, 2), { do: "append", log: s.log("brief"), entry: 2 }]);
      await s.must(
        [{ is: "in", index: s.index("recent"), member: "m" }],
        [{ do: "leave", index: s.index("recent"), member: "m" }],
      );
      expect(state.dump()).not.toEqual(dumped);
      putBack();
      expect(state.dump()).toEqual(dumped);
    }
    await clock.advance(60_000);
    while (!(await state.sweep(0, 1, never)).done);
    expect(state.dump()).toMatchObject({ records: [{ stored: { key: { id: "b" } } }], indexes: [], logs: [] });
  });
  it("S1: the id of a batch without put is remembered for ten minutes and then swept", async () => {
    const { clock, state, s } = scene();
    const index = s.index("rank");
    const batch = s.batch([{ is: "out", index, member: "m" }], [{ do: "enter", index, member: "m", score: 1 }]);
    await state.commit(batch, never);
    await clock.advance(599_999);
    expect(await state.commit(batch, never)).toEqual({ kind: "committed", sizes: [] });
    await clock.advance(1);
    expect(await state.sweep(0, 10, never)).toEqual({ removed: 1, done: true });
    expect((await state.commit(batch, never)).kind).toBe("conflict");
  });
});
