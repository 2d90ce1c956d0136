// S1 (idempotence) and S2 (atomicity) of State.

import { expect } from "vitest";
import type { Batch, Change } from "../ports/state.ts";
import { type Checks, never, put, type Run, type Scene } from "./state-scene.ts";

export function commitRules(run: Run): void {
  versions(run);
  duplicates(run);
  duplicatesWithoutPut(run);
  lateDuplicates(run);
  conflicts(run);
  atomicity(run);
  orderInside(run);
}

function versions(run: Run): void {
  run("S1: the version of a record is the id of the batch that wrote it", async (s) => {
    const key = s.key("a");
    const batch = s.batch([{ is: "absent", key }], [put(key, { n: 1 })]);
    expect(await s.state.commit(batch, never)).toEqual({ kind: "committed", sizes: [] });
    expect(await s.get("a")).toEqual({ key, version: batch.id, value: { n: 1 } });
  });
  run("S1: exactly one of many commits on the same version wins", async (s) => {
    const before = await s.create("a", { n: 0 });
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, n) => s.commit([{ is: "at", ...before }], [put(before.key, { n })])),
    );
    expect(outcomes.filter((outcome) => outcome.kind === "committed")).toHaveLength(1);
    const winner = outcomes.findIndex((outcome) => outcome.kind === "committed");
    expect((await s.get("a"))?.value).toEqual({ n: winner });
  });
}

/** Sends the same batch twice in a row, then twice at once; answers what everybody was told. */
async function twice(s: Scene, batch: Batch): Promise<readonly unknown[]> {
  const first = await s.state.commit(batch, never);
  const again = await s.state.commit(batch, never);
  return [first, again, ...(await Promise.all([s.state.commit(batch, never), s.state.commit(batch, never)]))];
}

function duplicates(run: Run): void {
  const bystander = (s: Scene): readonly Change[] => [
    put(s.key("a"), { n: 1 }),
    { do: "enter", index: s.index("rank"), member: "m", score: 1 },
    { do: "append", log: s.log("long"), entry: "once" },
  ];
  const cases: readonly (readonly [string, (s: Scene) => Promise<Checks>])[] = [
    ["absent", async (s) => [{ is: "absent", key: s.key("a") }]],
    ["at", async (s) => [{ is: "at", ...(await s.create("a")) }]],
    ["out", async (s) => [{ is: "out", index: s.index("rank"), member: "m" }]],
    ["fewer", async (s) => [{ is: "fewer", index: s.index("rank"), than: 1 }]],
    [
      "fewer, after a check that still holds",
      async (s) => {
        await s.fill(s.index("other"), [["x", 1]]);
        return [
          { is: "in", index: s.index("other"), member: "x" },
          { is: "fewer", index: s.index("rank"), than: 1 },
        ];
      },
    ],
  ];
  for (const [name, checksOf] of cases) {
    run(`S1: the same batch twice is committed twice and done once (${name})`, async (s) => {
      const batch = s.batch(await checksOf(s), bystander(s), [s.index("rank")]);
      const told = await twice(s, batch);
      expect(told).toEqual(told.map(() => ({ kind: "committed", sizes: [1] })));
      expect(await s.entries(s.log("long"))).toEqual(["once"]);
      expect(await s.get("a")).toEqual({ key: s.key("a"), version: batch.id, value: { n: 1 } });
    });
  }
  run("S1: the same batch twice at once is done once", async (s) => {
    const batch = s.batch([{ is: "absent", key: s.key("a") }], bystander(s));
    const told = await Promise.all(Array.from({ length: 10 }, () => s.state.commit(batch, never)));
    expect(new Set(told.map((outcome) => outcome.kind))).toEqual(new Set(["committed"]));
    expect(await s.entries(s.log("long"))).toEqual(["once"]);
  });
  run("S1: one of several written records is enough to know the batch again", async (s) => {
    const [a, b] = [s.key("a"), s.key("b")];
    const batch = s.batch([{ is: "absent", key: a }], [put(a, 1), put(b, 2)]);
    await s.state.commit(batch, never);
    await s.must([{ is: "at", key: a, version: batch.id }], [put(a, 3)]);
    expect(await s.state.commit(batch, never)).toEqual({ kind: "committed", sizes: [] });
    expect((await s.get("a"))?.value).toBe(3);
  });
}

// A batch that writes no record leaves its id nowhere; the engine remembers it for a while (at least a minute).
function duplicatesWithoutPut(run: Run): void {
  run("S1: a batch that only enters is known again", async (s) => {
    const index = s.index("rank");
    const batch = s.batch(
      [
        { is: "out", index, member: "m" },
        { is: "fewer", index, than: 1 },
      ],
      [
        { do: "enter", index, member: "m", score: 1 },
        { do: "append", log: s.log("long"), entry: "once" },
      ],
      [index],
    );
    const told = await twice(s, batch);
    expect(told).toEqual(told.map(() => ({ kind: "committed", sizes: [1] })));
    expect(await s.entries(s.log("long"))).toEqual(["once"]);
  });
  run("S1: a batch that only leaves is known again", async (s) => {
    const index = s.index("rank");
    await s.fill(index, [["m", 1]]);
    const batch = s.batch([{ is: "in", index, member: "m" }], [{ do: "leave", index, member: "m" }], [index]);
    const told = await twice(s, batch);
    expect(told).toEqual(told.map(() => ({ kind: "committed", sizes: [0] })));
  });
  run("S1: a batch that only deletes is known again", async (s) => {
    const before = await s.create("a");
    const batch = s.batch([{ is: "at", ...before }], [{ do: "delete", key: before.key }]);
    const told = await twice(s, batch);
    expect(told).toEqual(told.map(() => ({ kind: "committed", sizes: [] })));
    expect(await s.get("a")).toBeUndefined();
  });
}

function lateDuplicates(run: Run): void {
  run("S1: a duplicate that comes after the work of others is a conflict and changes nothing", async (s) => {
    const index = s.index("rank");
    const batch = s.batch(
      [{ is: "absent", key: s.key("a") }],
      [
        put(s.key("a"), 1),
        { do: "enter", index, member: "a", score: 1 },
        { do: "append", log: s.log("long"), entry: 1 },
      ],
    );
    await s.state.commit(batch, never);
    const others = s.batch(
      [{ is: "at", key: s.key("a"), version: batch.id }],
      [put(s.key("a"), 2), { do: "leave", index, member: "a" }],
    );
    await s.state.commit(others, never);
    const found = { key: s.key("a"), version: others.id, value: 2 };
    expect(await s.state.commit(batch, never)).toEqual({ kind: "conflict", check: 0, found });
    expect(await s.get("a")).toEqual(found);
    expect(await s.members(index)).toEqual([]);
    expect(await s.entries(s.log("long"))).toEqual([1]);
  });
  run("S1: another batch with the same content is a conflict, not a duplicate", async (s) => {
    const index = s.index("rank");
    const changes: readonly Change[] = [{ do: "enter", index, member: "m", score: 1 }];
    await s.must([{ is: "out", index, member: "m" }], changes);
    expect(await s.commit([{ is: "out", index, member: "m" }], changes)).toEqual({
      kind: "conflict",
      check: 0,
      found: undefined,
    });
  });
}

function conflicts(run: Run): void {
  run("S1: a conflict brings what is there now", async (s) => {
    const stored = await s.create("a", { n: 1 });
    const key = stored.key;
    const conflict = (found: unknown) => ({ kind: "conflict", check: 0, found });
    expect(await s.commit([{ is: "at", key, version: "someone else" }], [put(key, 2)])).toEqual(conflict(stored));
    expect(await s.commit([{ is: "absent", key }], [put(key, 2)])).toEqual(conflict(stored));
    const nobody = s.key("nobody");
    expect(await s.commit([{ is: "at", key: nobody, version: "x" }], [put(nobody, 2)])).toEqual(conflict(undefined));
    const index = s.index("rank");
    expect(await s.commit([{ is: "in", index, member: "m" }], [put(key, 2)])).toEqual(conflict(undefined));
    expect(await s.commit([{ is: "fewer", index, than: 0 }], [put(key, 2)])).toEqual(conflict(undefined));
    await s.fill(index, [["m", 1]]);
    expect(await s.commit([{ is: "out", index, member: "m" }], [put(key, 2)])).toEqual(conflict(undefined));
    expect(await s.get("a")).toEqual(stored);
  });
  run("S1: a deleted record is absent, and its old version is met no more", async (s) => {
    const old = await s.create("a", { n: 1 });
    await s.must([{ is: "at", ...old }], [{ do: "delete", key: old.key }]);
    expect(await s.commit([{ is: "at", ...old }], [put(old.key, 2)])).toEqual({
      kind: "conflict",
      check: 0,
      found: undefined,
    });
    const fresh = await s.create("a", { n: 3 });
    expect(await s.commit([{ is: "at", ...old }], [put(old.key, 2)])).toEqual({
      kind: "conflict",
      check: 0,
      found: fresh,
    });
  });
}

function atomicity(run: Run): void {
  run("S2: any failing check leaves everything as it was, and the first one is named", async (s) => {
    const index = s.index("rank");
    const stored = await s.create("a", { n: 1 });
    await s.fill(index, [["m", 1]]);
    const holds: Checks = [
      { is: "at", ...stored },
      { is: "absent", key: s.key("b") },
      { is: "in", index, member: "m" },
      { is: "out", index, member: "x" },
      { is: "fewer", index, than: 2 },
    ];
    const fails: Checks = [
      { is: "at", key: stored.key, version: "wrong" },
      { is: "absent", key: stored.key },
      { is: "in", index, member: "x" },
      { is: "out", index, member: "m" },
      { is: "fewer", index, than: 1 },
    ];
    const changes: readonly Change[] = [
      put(stored.key, 2, { wakeAt: 1 }),
      put(s.key("b"), 2),
      { do: "enter", index, member: "x", score: 2 },
      { do: "leave", index, member: "m" },
      { do: "append", log: s.log("long"), entry: 1 },
    ];
    for (const [position, failing] of fails.entries()) {
      const [first, ...rest] = holds.map((check, at) => (at === position ? failing : check));
      if (first === undefined) throw new Error("no checks");
      expect(await s.commit([first, ...rest], changes)).toMatchObject({ kind: "conflict", check: position });
      expect(await s.commit([...holds, failing, fails[0]], changes)).toMatchObject({ kind: "conflict", check: 5 });
    }
    expect(await s.get("a")).toEqual(stored);
    expect(await s.get("b")).toBeUndefined();
    expect(await s.members(index)).toEqual(["m"]);
    expect(await s.entries(s.log("long"))).toEqual([]);
    expect(await s.state.take(s.partition, 10, 1000, never)).toEqual([]);
    expect(await s.must(holds, changes, [index])).toEqual([1]);
    expect(await s.members(index)).toEqual(["x"]);
  });
}

function orderInside(run: Run): void {
  run("S2: changes of one batch are made in order", async (s) => {
    const [index, key] = [s.index("rank"), s.key("a")];
    const sizes = await s.must(
      [{ is: "absent", key }],
      [
        put(key, 1),
        { do: "enter", index, member: "m", score: 1 },
        { do: "leave", index, member: "m" },
        { do: "enter", index, member: "n", score: 1 },
        { do: "enter", index, member: "n", score: 2 },
        { do: "leave", index, member: "o" },
        { do: "enter", index, member: "o", score: 0 },
        put(key, 2),
      ],
      [index, s.index("other"), index],
    );
    expect(sizes).toEqual([2, 0, 2]);
    expect(await s.members(index)).toEqual(["o", "n"]);
    expect((await s.get("a"))?.value).toBe(2);
  });
  run("S2: a read that follows a commit sees it", async (s) => {
    const key = s.key("a");
    const batch = s.batch(
      [{ is: "absent", key }],
      [put(key, 1), { do: "enter", index: s.index("rank"), member: "a", score: 1 }],
    );
    const committed = s.state.commit(batch, never);
    const [count] = await s.state.count([{ index: s.index("rank") }], never);
    await committed;
    expect(count === 0 || count === 1).toBe(true);
    expect((await s.get("a"))?.value).toBe(1);
    expect(await s.count(s.index("rank"))).toBe(1);
  });
}
