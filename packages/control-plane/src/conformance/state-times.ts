// S4 (alarms), S5 (expiry) and S7 (take) of State.

import { expect } from "vitest";
import type { Due, IndexKey, Stored } from "../ports/state.ts";
import { never, newCommitId, put, type Run, type Scene } from "./state-scene.ts";

export function timeRules(run: Run): void {
  alarms(run);
  takes(run);
  recordExpiry(run);
  entryExpiry(run);
  sweeps(run);
}

const HOUR_MS = 3_600_000;
/** Over before a test tires, and not before a busy machine has looked at what holds until then. */
const SOON_MS = 500;

async function take(s: Scene, limit = 100, leaseMs = HOUR_MS): Promise<readonly Due[]> {
  return s.state.take(s.partition, limit, leaseMs, never);
}

async function rewrite(s: Scene, stored: Stored, wakeAt: number | "never"): Promise<Stored> {
  const batch = s.batch([{ is: "at", ...stored }], [put(stored.key, stored.value, { wakeAt })]);
  expect((await s.state.commit(batch, never)).kind).toBe("committed");
  return { ...stored, version: batch.id };
}

function alarms(run: Run): void {
  run("S4: put sets, moves and clears the alarm", async (s) => {
    const now = await s.now();
    const first = await s.create("a", 1, { wakeAt: now + HOUR_MS });
    expect(await take(s)).toEqual([]);
    const second = await rewrite(s, first, now - 5);
    expect(await take(s)).toEqual([{ key: s.key("a"), at: now - 5 }]);
    const third = await rewrite(s, second, now - 7);
    expect(await take(s)).toEqual([{ key: s.key("a"), at: now - 7 }]);
    const fourth = await rewrite(s, third, now - 9);
    await rewrite(s, fourth, "never");
    expect(await take(s)).toEqual([]);
  });
  run("S4: delete clears the alarm", async (s) => {
    const stored = await s.create("a", 1, { wakeAt: (await s.now()) - 1 });
    await s.must([{ is: "at", ...stored }], [{ do: "delete", key: stored.key }]);
    expect(await take(s)).toEqual([]);
    await s.create("a", 2);
    expect(await take(s)).toEqual([]);
  });
  run("S4: an alarm in the future is due when its time has come", async (s) => {
    const at = (await s.now()) + SOON_MS;
    await s.create("a", 1, { wakeAt: at });
    expect(await take(s)).toEqual([]);
    await s.opened.pass(SOON_MS);
    expect(await take(s)).toEqual([{ key: s.key("a"), at }]);
  });
  run("S4: alarms of other partitions are theirs", async (s) => {
    if (s.state.traits.partitions === 1) return;
    await s.create("a", 1, { wakeAt: (await s.now()) - 1 });
    const elsewhere = s.partition === 0 ? 1 : 0;
    expect(await s.state.take(elsewhere, 10, HOUR_MS, never)).toEqual([]);
    expect(await take(s)).toHaveLength(1);
  });
}

function takes(run: Run): void {
  run("S7: hands out the oldest first, up to the limit", async (s) => {
    const now = await s.now();
    for (const age of [3, 5, 1, 4, 2]) await s.create(`a${age}`, age, { wakeAt: now - age });
    expect((await take(s, 2)).map((due) => due.key.id)).toEqual(["a5", "a4"]);
    expect(await take(s, 10)).toEqual([3, 2, 1].map((age) => ({ key: s.key(`a${age}`), at: now - age })));
    expect(await take(s, 10)).toEqual([]);
  });
  run("S7: two takers never share", async (s) => {
    const now = await s.now();
    for (let n = 0; n < 30; n++) await s.create(`a${n}`, n, { wakeAt: now - n });
    const hands = await Promise.all(Array.from({ length: 5 }, () => take(s, 10)));
    const ids = hands.flat().map((due) => due.key.id);
    expect(ids).toHaveLength(30);
    expect(new Set(ids).size).toBe(30);
  });
  run("S7: what was taken and not written is handed out again after the lease", async (s) => {
    await s.create("a", 1, { wakeAt: (await s.now()) - 1 });
    expect(await take(s, 10, SOON_MS)).toHaveLength(1);
    expect(await take(s, 10, SOON_MS)).toEqual([]);
    await s.opened.pass(SOON_MS + 20);
    expect((await take(s, 10, SOON_MS)).map((due) => due.key)).toEqual([s.key("a")]);
  });
  run("S7: a put during the lease decides the alarm", async (s) => {
    const now = await s.now();
    const done = await s.create("done", 1, { wakeAt: now - 1 });
    const soon = await s.create("soon", 1, { wakeAt: now - 1 });
    expect(await take(s, 10, 40)).toHaveLength(2);
    await rewrite(s, done, "never");
    await rewrite(s, soon, now - 3);
    expect(await take(s)).toEqual([{ key: s.key("soon"), at: now - 3 }]);
    await s.opened.pass(60);
    expect(await take(s)).toEqual([]);
  });
  run("S4, S5, S7: takes the longest times there are", async (s) => {
    const longest = Number.MAX_SAFE_INTEGER;
    await s.create("a", 1, { keepMs: longest, wakeAt: longest });
    await s.create("b", 1, { wakeAt: 0 });
    expect(await take(s, 10, longest)).toEqual([{ key: s.key("b"), at: 0 }]);
    expect(await take(s, 10, longest)).toEqual([]);
    expect([(await s.get("a"))?.value, (await s.get("b"))?.value]).toEqual([1, 1]);
  });
  run("S7: a record that is gone wakes nobody", async (s) => {
    await s.create("a", 1, { wakeAt: (await s.now()) + 50, keepMs: 40 });
    await s.opened.pass(80);
    expect(await take(s)).toEqual([]);
  });
  run("S7: hands out keys as they were written", async (s) => {
    const ids = ["__proto__", "a:b", "a%3Ab", "grüße😀", "run:job@1"];
    for (const id of ids) await s.create(id, 1, { wakeAt: 1 });
    expect((await take(s)).map((due) => due.key.id).sort()).toEqual(ids.toSorted());
  });
}

function recordExpiry(run: Run): void {
  run("S5: a record with keepMs is gone afterwards, and absent", async (s) => {
    const stored = await s.create("a", 1, { keepMs: SOON_MS });
    await s.create("b", 1);
    expect(await s.get("a")).toEqual(stored);
    await s.opened.pass(SOON_MS + 30);
    expect(await s.get("a")).toBeUndefined();
    expect(await s.commit([{ is: "at", ...stored }], [put(stored.key, 2)])).toEqual({
      kind: "conflict",
      check: 0,
      found: undefined,
    });
    await s.create("a", 3);
    expect((await s.get("b"))?.value).toBe(1);
  });
  run("S5: a put without keepMs lets a record stay, one with keepMs starts anew", async (s) => {
    const [a, b] = [await s.create("a", 1, { keepMs: 600 }), await s.create("b", 1, { keepMs: 600 })];
    await s.must([{ is: "at", ...a }], [put(a.key, 2)]);
    await s.must([{ is: "at", ...b }], [put(b.key, 2, { keepMs: HOUR_MS })]);
    const c = await s.create("c", 1);
    await s.must([{ is: "at", ...c }], [put(c.key, 2, { keepMs: 50 })]);
    await s.opened.pass(630);
    expect([(await s.get("a"))?.value, (await s.get("b"))?.value, await s.get("c")]).toEqual([2, 2, undefined]);
    await sweepAll(s);
    expect((await s.get("a"))?.value).toBe(2);
  });
}

/** Enters with a score that may be old already, under a check that fails afterwards. */
async function enter(s: Scene, index: IndexKey, member: string, score: number): Promise<readonly number[]> {
  const key = s.key(`marker-${newCommitId()}`);
  return s.must([{ is: "absent", key }], [put(key, 1), { do: "enter", index, member, score }], [index]);
}

function entryExpiry(run: Run): void {
  run("S5: entries older than keepMs are invisible at once to lists, counts, sizes and checks", async (s) => {
    const [index, now] = [s.index("recent"), await s.now()];
    expect(await enter(s, index, "old", now - 401)).toEqual([0]);
    expect(await enter(s, index, "fresh", now + HOUR_MS)).toEqual([1]);
    expect(await s.count(index)).toBe(1);
    expect(await s.members(index)).toEqual(["fresh"]);
    expect(await s.members(index, "down")).toEqual(["fresh"]);
    const key = s.key("x");
    expect((await s.commit([{ is: "in", index, member: "old" }], [put(key, 1)])).kind).toBe("conflict");
    expect(
      await s.must(
        [
          { is: "out", index, member: "old" },
          { is: "fewer", index, than: 2 },
        ],
        [put(key, 1)],
        [index],
      ),
    ).toEqual([1]);
    await enter(s, s.index("rank"), "old", 1);
    await enter(s, s.index("rank"), "fresh", 2);
    const query = { span: { index: s.index("rank") }, alsoIn: [index], order: "up", limit: 9, examineMax: 9 } as const;
    expect((await s.state.list(query, never)).entries.map((entry) => entry.member)).toEqual(["fresh"]);
  });
  run("S5: entries become invisible as time passes, not only when they are swept", async (s) => {
    const [index, now] = [s.index("recent"), await s.now()];
    await enter(s, index, "a", now - 300);
    await enter(s, index, "b", now + HOUR_MS);
    await s.opened.pass(120);
    expect(await s.members(index)).toEqual(["b"]);
    expect(await s.count(index)).toBe(1);
    const [bounded] = await s.state.count([{ index, min: now - 1000, max: now }], never);
    expect(bounded).toBe(0);
  });
  run("S5: an enter moves the score of a member, also of one that has expired", async (s) => {
    const [index, now] = [s.index("recent"), await s.now()];
    expect(await enter(s, index, "a", now - 1000)).toEqual([0]);
    expect(await enter(s, index, "a", now + HOUR_MS)).toEqual([1]);
    expect(await enter(s, index, "a", now + HOUR_MS + 1)).toEqual([1]);
    expect(await enter(s, index, "a", now - 1000)).toEqual([0]);
    expect(await enter(s, s.index("rank"), "a", 5)).toEqual([1]);
    expect(await enter(s, s.index("rank"), "a", 3)).toEqual([1]);
    const page = await s.state.list(
      { span: { index: s.index("rank") }, alsoIn: [], order: "up", limit: 9, examineMax: 9 },
      never,
    );
    expect(page.entries).toEqual([{ member: "a", score: 3 }]);
  });
  run("S5: entries kept forever and ranks never expire", async (s) => {
    await enter(s, s.index("times"), "a", 1);
    await enter(s, s.index("rank"), "a", -1e12);
    await sweepAll(s);
    expect(await s.members(s.index("times"))).toEqual(["a"]);
    expect(await s.members(s.index("rank"))).toEqual(["a"]);
  });
}

async function sweepAll(s: Scene, budget = 1000): Promise<number> {
  let total = 0;
  for (let step = 0; step < 1000; step++) {
    const { removed, done } = await s.state.sweep(s.partition, budget, never);
    expect(removed).toBeLessThanOrEqual(budget);
    total += removed;
    if (done) return total;
  }
  throw new Error("sweep does not end");
}

function sweeps(run: Run): void {
  run("S5: sweep removes what has expired in steps of its budget and says when it is done", async (s) => {
    const now = await s.now();
    for (let n = 0; n < 6; n++) await enter(s, s.index("recent", "x"), `m${n}`, now - 1000 - n);
    for (let n = 0; n < 6; n++) await enter(s, s.index("recent", "y"), `m${n}`, now - 1000 - n);
    await enter(s, s.index("recent", "x"), "fresh", now + HOUR_MS);
    const first = await s.state.sweep(s.partition, 4, never);
    expect(first.removed).toBeLessThanOrEqual(4);
    expect(first.done).toBe(false);
    expect(first.removed + (await sweepAll(s, 4))).toBeGreaterThanOrEqual(12);
    expect(await sweepAll(s, 4)).toBe(0);
    expect(await s.members(s.index("recent", "x"))).toEqual(["fresh"]);
    expect(await s.count(s.index("recent", "x"))).toBe(1);
    expect(await s.count(s.index("recent", "y"))).toBe(0);
  });
  run("S5: an index that was swept empty works again", async (s) => {
    const now = await s.now();
    await enter(s, s.index("recent"), "a", now - 1000);
    await s.fill(s.index("rank"), [["a", 1]]);
    await s.must(
      [{ is: "in", index: s.index("rank"), member: "a" }],
      [{ do: "leave", index: s.index("rank"), member: "a" }],
    );
    await sweepAll(s);
    expect(await enter(s, s.index("recent"), "b", now + HOUR_MS)).toEqual([1]);
    expect(await enter(s, s.index("rank"), "b", 1)).toEqual([1]);
    expect(await s.members(s.index("recent"))).toEqual(["b"]);
  });
  run("S5: records and alarms survive a sweep", async (s) => {
    const now = await s.now();
    await s.create("a", 1, { wakeAt: now - 1, keepMs: HOUR_MS });
    await s.create("b", 1, { wakeAt: now - 2 });
    await sweepAll(s);
    expect((await take(s)).map((due) => due.key.id)).toEqual(["b", "a"]);
  });
}
