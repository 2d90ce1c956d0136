// S6 (lists), counts and logs of State.

import { expect } from "vitest";
import type { IndexKey, ListQuery, LogKey, Page, Position } from "../ports/state.ts";
import { faultOf, never, put, type Run, type Scene } from "./state-scene.ts";

export function listRules(run: Run): void {
  orders(run);
  pages(run);
  counts(run);
  logs(run);
  logLimits(run);
}

function query(index: IndexKey, more: Partial<ListQuery> = {}): ListQuery {
  return { span: { index }, alsoIn: [], order: "up", limit: 1000, examineMax: 1000, ...more };
}

async function list(s: Scene, index: IndexKey, more: Partial<ListQuery> = {}): Promise<readonly string[]> {
  const page = await s.state.list(query(index, more), never);
  return page.entries.map((entry) => entry.member);
}

/** Follows `next` to the end. `between` runs after every page. */
async function pageThrough(
  s: Scene,
  asked: ListQuery,
  between: (page: Page) => Promise<void> = async () => undefined,
): Promise<readonly Position[]> {
  const seen: Position[] = [];
  let after: Position | undefined;
  for (let step = 0; step < 500; step++) {
    const page: Page = await s.state.list(after === undefined ? asked : { ...asked, after }, never);
    expect(page.entries.length).toBeLessThanOrEqual(asked.limit);
    expect(page.examined).toBeLessThanOrEqual(asked.examineMax);
    seen.push(...page.entries);
    if (page.next === undefined) return seen;
    after = page.next;
    await between(page);
  }
  throw new Error("paging does not end");
}

const letters = [
  ["c", 1],
  ["a", 1],
  ["B", 1],
  ["b", 1],
  ["z", -3],
  ["n", 2.5],
  ["m", 2],
] as const;
const lettersUp = ["z", "B", "a", "b", "c", "m", "n"];

function orders(run: Run): void {
  run("S6: orders by score, then by member, both ways", async (s) => {
    const index = s.index("rank");
    await s.fill(index, letters);
    expect(await list(s, index)).toEqual(lettersUp);
    expect(await list(s, index, { order: "down" })).toEqual(lettersUp.toReversed());
    const page = await s.state.list(query(index, { limit: 1 }), never);
    expect(page.entries).toEqual([{ member: "z", score: -3 }]);
  });
  run("S6: bounds of the score are inclusive", async (s) => {
    const index = s.index("rank");
    await s.fill(index, letters);
    expect(await list(s, index, { span: { index, min: 1 } })).toEqual(["B", "a", "b", "c", "m", "n"]);
    expect(await list(s, index, { span: { index, max: 1 } })).toEqual(["z", "B", "a", "b", "c"]);
    expect(await list(s, index, { span: { index, min: 1, max: 2 }, order: "down" })).toEqual(["m", "c", "b", "a", "B"]);
    expect(await list(s, index, { span: { index, min: 2, max: 1 } })).toEqual([]);
    expect(await list(s, index, { span: { index, min: 2.4, max: 2.6 } })).toEqual(["n"]);
  });
  run("S6: goes on strictly behind a position, also where nothing is any more", async (s) => {
    const index = s.index("rank");
    await s.fill(index, letters);
    expect(await list(s, index, { after: { score: 1, member: "a" } })).toEqual(["b", "c", "m", "n"]);
    expect(await list(s, index, { after: { score: 1, member: "a" }, order: "down" })).toEqual(["B", "z"]);
    expect(await list(s, index, { after: { score: 1, member: "aa" } })).toEqual(["b", "c", "m", "n"]);
    expect(await list(s, index, { after: { score: 1, member: "aa" }, order: "down" })).toEqual(["a", "B", "z"]);
    expect(await list(s, index, { after: { score: 1, member: "b" }, span: { index, max: 1 } })).toEqual(["c"]);
    expect(await list(s, index, { after: { score: 1, member: "b" }, span: { index, min: 1 }, order: "down" })).toEqual([
      "a",
      "B",
    ]);
    expect(await list(s, index, { after: { score: -9, member: "x" }, span: { index, min: 2 } })).toEqual(["m", "n"]);
    expect(await list(s, index, { after: { score: 9, member: "x" } })).toEqual([]);
  });
  run("S6: an empty or unknown index is an empty page", async (s) => {
    expect(await s.state.list(query(s.index("rank", "nobody")), never)).toEqual({ entries: [], examined: 0 });
  });
}

function pages(run: Run): void {
  run("S6: keeps members that are in all of alsoIn", async (s) => {
    const [lead, even, third] = [s.index("rank"), s.index("other", "even"), s.index("other", "third")];
    for (let n = 0; n < 30; n++) {
      const member = `m${String(n).padStart(2, "0")}`;
      await s.fill(lead, [[member, n]]);
      if (n % 2 === 0) await s.fill(even, [[member, 0]]);
      if (n % 3 === 0) await s.fill(third, [[member, 100 - n]]);
    }
    expect(await list(s, lead, { alsoIn: [even, third] })).toEqual(["m00", "m06", "m12", "m18", "m24"]);
    expect(await list(s, lead, { alsoIn: [even, third], order: "down", limit: 2 })).toEqual(["m24", "m18"]);
    expect(await list(s, lead, { alsoIn: [even, s.index("other", "empty")] })).toEqual([]);
    for (const examineMax of [1, 2, 3, 7]) {
      const asked = query(lead, { alsoIn: [even, third], limit: 2, examineMax });
      const found = await pageThrough(s, asked);
      expect(found.map((entry) => entry.member)).toEqual(["m00", "m06", "m12", "m18", "m24"]);
    }
  });
  run("S6: looks at no more than examineMax, and says how to go on", async (s) => {
    const index = s.index("rank");
    await s.fill(index, [
      ["a", 1],
      ["b", 2],
      ["c", 3],
    ]);
    const page = await s.state.list(query(index, { alsoIn: [s.index("other")], examineMax: 2 }), never);
    expect(page).toEqual({ entries: [], examined: 2, next: { member: "b", score: 2 } });
    const rest = query(index, { alsoIn: [s.index("other")], examineMax: 2, after: { member: "b", score: 2 } });
    expect(await s.state.list(rest, never)).toEqual({ entries: [], examined: 1 });
  });
  run("S6: paging yields each entry once, whatever is entered or removed meanwhile", async (s) => {
    const index = s.index("rank");
    const stay = Array.from({ length: 25 }, (_, n) => `stay${String(n).padStart(2, "0")}`);
    await s.fill(
      index,
      stay.map((member, n) => [member, Math.floor(n / 4)] as const),
    );
    for (const order of ["up", "down"] as const) {
      let turn = 0;
      const found = await pageThrough(s, query(index, { limit: 3, order }), async (page) => {
        const member = `new-${order}-${turn}`;
        await s.fill(index, [[member, turn++ % 7]]);
        const last = page.next?.member ?? "";
        if (last.startsWith("new-"))
          await s.must([{ is: "in", index, member: last }], [{ do: "leave", index, member: last }]);
      });
      const members = found.map((entry) => entry.member);
      expect(new Set(members).size).toBe(members.length);
      const kept = members.filter((member) => member.startsWith("stay"));
      expect(kept).toEqual(order === "up" ? stay : stay.toReversed());
    }
  });
  run("S6: goes on behind a position that was removed", async (s) => {
    const index = s.index("rank");
    await s.fill(index, [
      ["a", 1],
      ["b", 1],
      ["c", 1],
      ["d", 1],
    ]);
    const first = await s.state.list(query(index, { limit: 2 }), never);
    expect(first.next).toEqual({ member: "b", score: 1 });
    await s.must([{ is: "in", index, member: "b" }], [{ do: "leave", index, member: "b" }]);
    expect(await list(s, index, { after: { member: "b", score: 1 } })).toEqual(["c", "d"]);
  });
}

function counts(run: Run): void {
  run("S6: counts spans in the order in which they are asked", async (s) => {
    const index = s.index("rank");
    await s.fill(index, letters);
    const spans = [
      { index },
      { index, min: 1 },
      { index, max: 1 },
      { index, min: 1, max: 1 },
      { index, min: 3 },
      { index: s.index("other") },
    ];
    expect(await s.state.count(spans, never)).toEqual([7, 6, 5, 4, 0, 0]);
    expect(await s.state.count([], never)).toEqual([]);
    expect(await faultOf(s.state.count([{ index, min: Number.NaN }], never))).not.toBe("no fault");
  });
  run("S6: `fewer` counts before the batch, `tell` after it", async (s) => {
    const index = s.index("rank");
    await s.fill(index, [["a", 1]]);
    const enter = (member: string) => ({ do: "enter", index, member, score: 1 }) as const;
    const key = s.key("x");
    expect(
      await s.must(
        [
          { is: "absent", key },
          { is: "fewer", index, than: 2 },
        ],
        [put(key, 1), enter("b"), enter("c"), enter("a")],
        [index],
      ),
    ).toEqual([3]);
    expect(await s.commit([{ is: "fewer", index, than: 3 }], [enter("d")])).toMatchObject({
      kind: "conflict",
      check: 0,
    });
  });
}

function append(s: Scene, log: LogKey, entries: readonly (string | number)[]): Promise<unknown> {
  const key = s.key(`append-${entries.join()}`);
  return s.must(
    [{ is: "absent", key }],
    [put(key, 1), ...entries.map((entry) => ({ do: "append", log, entry }) as const)],
  );
}

function logs(run: Run): void {
  run("logs: are read from the oldest on, in pages", async (s) => {
    const log = s.log("long");
    expect(await s.state.read(log, undefined, 10, never)).toEqual({ entries: [] });
    for (let n = 0; n < 10; n++) await append(s, log, [n * 2, n * 2 + 1]);
    const seen: unknown[] = [];
    let after: string | undefined;
    do {
      const page = await s.state.read(log, after, 3, never);
      expect(page.entries.length).toBeLessThanOrEqual(3);
      seen.push(...page.entries.map((entry) => entry.entry));
      after = page.next;
    } while (after !== undefined);
    expect(seen).toEqual(Array.from({ length: 20 }, (_, n) => n));
  });
  run("logs: go on behind any position, also one that has been read to the end", async (s) => {
    const log = s.log("long");
    await append(s, log, ["a", "b", "c"]);
    const { entries } = await s.state.read(log, undefined, 10, never);
    const behind = async (at: string | undefined) =>
      (await s.state.read(log, at, 10, never)).entries.map((entry) => entry.entry);
    expect(await behind(entries[0]?.at)).toEqual(["b", "c"]);
    expect(await behind(entries[2]?.at)).toEqual([]);
    await append(s, log, ["d"]);
    expect(await behind(entries[2]?.at)).toEqual(["d"]);
    expect(await s.entries(s.log("long", "another"))).toEqual([]);
    expect(await faultOf(s.state.read(log, "not a position", 10, never))).toBe("STATE_REFUSED");
  });
}

function logLimits(run: Run): void {
  run("logs: keep the newest entriesMax", async (s) => {
    const log = s.log("audit");
    await append(s, log, [1, 2, 3, 4]);
    const [oldest] = (await s.state.read(log, undefined, 1, never)).entries;
    await append(s, log, [5, 6, 7, 8]);
    expect(await s.entries(log)).toEqual([4, 5, 6, 7, 8]);
    const page = await s.state.read(log, oldest?.at, 10, never);
    expect(page.entries.map((entry) => entry.entry)).toEqual([4, 5, 6, 7, 8]);
    await append(
      s,
      log,
      Array.from({ length: 20 }, (_, n) => 100 + n),
    );
    expect(await s.entries(log)).toEqual([115, 116, 117, 118, 119]);
  });
  run("logs: entries older than keepMs go, and positions stay good", async (s) => {
    const log = s.log("brief");
    await append(s, log, ["old"]);
    const [old] = (await s.state.read(log, undefined, 1, never)).entries;
    await s.opened.pass(200);
    for (let step = 0; step < 100; step++) if ((await s.state.sweep(s.partition, 100, never)).done) break;
    expect(await s.entries(log)).toEqual([]);
    await append(s, log, ["new"]);
    const page = await s.state.read(log, old?.at, 10, never);
    expect(page.entries.map((entry) => entry.entry)).toEqual(["new"]);
  });
}
