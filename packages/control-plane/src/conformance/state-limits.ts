// S3 (partitions), S8 (batching), limits, signals and hostile names of State.

import { expect } from "vitest";
import type { Change, RecordKey } from "../ports/state.ts";
import { conformanceLayout, faultOf, never, put, type Run, type Scene } from "./state-scene.ts";

export function limitRules(run: Run, partitions: number): void {
  partitionRules(run, partitions);
  refusals(run);
  signals(run);
  bursts(run);
  names(run);
  values(run);
}

function partitionRules(run: Run, partitions: number): void {
  run("S3: keys of another partition are refused and nothing is done", async (s) => {
    const elsewhere = s.partition === 0 ? 1 : 0;
    const key = s.key("a");
    const far: RecordKey = { ...key, partition: elsewhere };
    const index = { ...s.index("rank"), partition: elsewhere };
    const log = { ...s.log("long"), partition: elsewhere };
    const wrong: readonly Change[] = [
      put(far, 1),
      { do: "delete", key: far },
      { do: "enter", index, member: "m", score: 1 },
      { do: "leave", index, member: "m" },
      { do: "append", log, entry: 1 },
    ];
    for (const change of wrong) {
      expect(await faultOf(s.commit([{ is: "absent", key }], [put(key, 1), change]))).toBe("STATE_REFUSED");
    }
    expect(await faultOf(s.commit([{ is: "absent", key: far }], [put(key, 1)]))).toBe("STATE_REFUSED");
    expect(await faultOf(s.commit([{ is: "fewer", index, than: 1 }], [put(key, 1)]))).toBe("STATE_REFUSED");
    expect(await faultOf(s.commit([{ is: "absent", key }], [put(key, 1)], [index]))).toBe("STATE_REFUSED");
    const query = { span: { index: s.index("rank") }, alsoIn: [index], order: "up", limit: 1, examineMax: 1 } as const;
    expect(await faultOf(s.state.list(query, never))).toBe("STATE_REFUSED");
    expect(await s.get("a")).toBeUndefined();
  });
  run("S3: a partition that does not exist is refused", async (s) => {
    for (const partition of [partitions, -1, 0.5, Number.NaN]) {
      const key = { ...s.key("a"), partition };
      expect(await faultOf(s.state.get([key], never))).toBe("STATE_REFUSED");
      const batch = { ...s.batch([{ is: "absent", key }], [put(key, 1)]), partition };
      expect(await faultOf(s.state.commit(batch, never))).toBe("STATE_REFUSED");
      expect(await faultOf(s.state.take(partition, 1, 1, never))).toBe("STATE_REFUSED");
      expect(await faultOf(s.state.sweep(partition, 1, never))).toBe("STATE_REFUSED");
      expect(await faultOf(s.state.count([{ index: { ...s.index("rank"), partition } }], never))).toBe("STATE_REFUSED");
    }
  });
  run("S3: one get reads several partitions, in the order of its keys", async (s) => {
    const keys = Array.from({ length: partitions }, (_, partition) => ({ ...s.key("same"), partition }));
    for (const key of keys) {
      const batch = { ...s.batch([{ is: "absent", key }], [put(key, key.partition)]), partition: key.partition };
      await s.state.commit(batch, never);
    }
    const asked = [...keys, s.key("nobody"), ...keys.toReversed()];
    const found = await s.state.get(asked, never);
    expect(found.map((stored) => stored?.value)).toEqual([
      ...keys.map((key) => key.partition),
      undefined,
      ...keys.toReversed().map((key) => key.partition),
    ]);
    expect(await s.state.get([], never)).toEqual([]);
  });
  run("S3: a durable store refuses another number of partitions and keeps everything", async (s) => {
    if (s.opened.reopen === undefined) return;
    const stored = await s.create("kept", { n: 1 });
    await s.state.close();
    const wrong = s.opened.reopen({ partitions: partitions + 1, layout: conformanceLayout });
    expect(await faultOf(wrong)).toBe("STATE_MISCONFIGURED");
    const again = await s.opened.reopen({ partitions, layout: conformanceLayout });
    expect(await again.state.get([stored.key], never)).toEqual([stored]);
    await again.state.close();
  });
}

function refusals(run: Run): void {
  run("refuses a value above valueBytesMax and takes one of exactly that size", async (s) => {
    const { valueBytesMax } = s.state.traits;
    const exact = "é"
      .repeat(Math.floor((valueBytesMax - 2) / 2))
      .padEnd(Math.floor((valueBytesMax - 2) / 2) + (valueBytesMax % 2), "x");
    await s.create("exact", exact);
    expect((await s.get("exact"))?.value).toBe(exact);
    const key = s.key("over");
    expect(await faultOf(s.commit([{ is: "absent", key }], [put(s.key("b"), 1), put(key, `${exact}x`)]))).toBe(
      "STATE_REFUSED",
    );
    const append: Change = { do: "append", log: s.log("long"), entry: `${exact}x` };
    expect(await faultOf(s.commit([{ is: "absent", key }], [put(s.key("b"), 1), append]))).toBe("STATE_REFUSED");
    expect(await s.get("b")).toBeUndefined();
  });
  run("refuses more than changesMax changes and takes exactly that many", async (s) => {
    const index = s.index("rank");
    const enter = (member: string): Change => ({ do: "enter", index, member, score: 1 });
    const changes = Array.from({ length: s.state.traits.changesMax }, (_, n) => enter(`m${n}`));
    const check = { is: "out", index, member: "m0" } as const;
    expect(await faultOf(s.commit([check], [...changes, enter("one more")]))).toBe("STATE_REFUSED");
    expect(await s.count(index)).toBe(0);
    expect(await s.must([check], changes, [index])).toEqual([changes.length]);
  });
  run("refuses what is not declared or not a score", async (s) => {
    const key = s.key("a");
    for (const index of ["undeclared", "__proto__", "constructor"]) {
      const change: Change = { do: "enter", index: s.index(index), member: "m", score: 1 };
      expect(await faultOf(s.commit([{ is: "absent", key }], [put(key, 1), change]))).toBe("STATE_REFUSED");
      expect(await faultOf(s.state.count([{ index: s.index(index) }], never))).toBe("STATE_REFUSED");
    }
    const append: Change = { do: "append", log: s.log("undeclared"), entry: 1 };
    expect(await faultOf(s.commit([{ is: "absent", key }], [put(key, 1), append]))).toBe("STATE_REFUSED");
    for (const score of [Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60]) {
      const change: Change = { do: "enter", index: s.index("rank"), member: "m", score };
      expect(await faultOf(s.commit([{ is: "absent", key }], [put(key, 1), change]))).toBe("STATE_REFUSED");
    }
    expect(await s.get("a")).toBeUndefined();
  });
}

function signals(run: Run): void {
  run("S1: a signal that fired before sending means STATE_UNAVAILABLE, and nothing is done", async (s) => {
    const fired = AbortSignal.abort();
    const key = s.key("a");
    expect(await faultOf(s.state.commit(s.batch([{ is: "absent", key }], [put(key, 1)]), fired))).toBe(
      "STATE_UNAVAILABLE",
    );
    expect(await faultOf(s.state.get([key], fired))).toBe("STATE_UNAVAILABLE");
    expect(await faultOf(s.state.count([{ index: s.index("rank") }], fired))).toBe("STATE_UNAVAILABLE");
    expect(await faultOf(s.state.take(s.partition, 1, 1, fired))).toBe("STATE_UNAVAILABLE");
    expect(await s.get("a")).toBeUndefined();
  });
  run("S1: a signal that fires on the way never turns a commit into a lie", async (s) => {
    const batches = Array.from({ length: 50 }, (_, n) =>
      s.batch([{ is: "absent", key: s.key(`k${n}`) }], [put(s.key(`k${n}`), n)]),
    );
    const told = await Promise.all(
      batches.map(async (batch) => {
        const controller = new AbortController();
        const told = faultOf(s.state.commit(batch, controller.signal));
        queueMicrotask(() => controller.abort());
        return told;
      }),
    );
    for (const [n, batch] of batches.entries()) {
      const there = (await s.get(`k${n}`)) !== undefined;
      if (told[n] === "no fault") expect(there).toBe(true);
      else if (told[n] === "STATE_UNAVAILABLE") expect(there).toBe(false);
      else expect(told[n]).toBe("STATE_OUTCOME_UNKNOWN");
      expect(await s.state.commit(batch, never)).toEqual({ kind: "committed", sizes: [] });
    }
  });
  run("a closed store says STATE_UNAVAILABLE", async (s) => {
    await s.create("a");
    await s.state.close();
    await s.state.close();
    expect(await faultOf(s.get("a"))).toBe("STATE_UNAVAILABLE");
    expect(await faultOf(s.create("b"))).toBe("STATE_UNAVAILABLE");
  });
}

function bursts(run: Run): void {
  run("S8: a thousand commits at once are all done, in fewer calls", async (s) => {
    const before = s.opened.calls?.() ?? 0;
    const index = s.index("rank");
    const outcomes = await Promise.all(
      Array.from({ length: 1000 }, (_, n) => {
        const key = s.key(`k${n}`);
        return s.commit(
          [{ is: "absent", key }],
          [put(key, n), { do: "enter", index, member: `k${n}`, score: n }],
          [index],
        );
      }),
    );
    const sizes = outcomes.map((outcome) => (outcome.kind === "committed" ? outcome.sizes[0] : undefined));
    expect(new Set(sizes).size).toBe(1000);
    expect(await s.count(index)).toBe(1000);
    if (s.opened.calls !== undefined) expect(s.opened.calls() - before).toBeLessThan(250);
  });
  run("S8: commits that travel together see each other's work", async (s) => {
    const index = s.index("rank");
    const outcomes = await Promise.all(
      Array.from({ length: 100 }, (_, n) =>
        s.commit(
          [
            { is: "fewer", index, than: 7 },
            { is: "out", index, member: `m${n}` },
          ],
          [{ do: "enter", index, member: `m${n}`, score: 1 }],
        ),
      ),
    );
    expect(outcomes.filter((outcome) => outcome.kind === "committed")).toHaveLength(7);
    expect(await s.count(index)).toBe(7);
  });
}

const hostile = [
  "__proto__",
  "constructor",
  "toString",
  "a:b",
  "a@b",
  "100%",
  "a%3Ab",
  "%",
  "{0}",
  "a b",
  "a\nb",
  "\u0000",
  "a\u0000b",
  "'; drop",
  "x".repeat(400),
];

function names(run: Run): void {
  run("keeps hostile ids and members apart", async (s) => {
    const ids = [...hostile, "grüße–漢字😀", "\u{e000}", "ａ"];
    for (const id of ids) await s.create(id, { id });
    for (const id of ids) expect((await s.get(id))?.value).toEqual({ id });
    const index = s.index("rank");
    for (const [n, member] of hostile.entries()) await s.fill(index, [[member, n]]);
    expect(await s.members(index)).toEqual(hostile);
  });
  run("keeps kinds, ids and logs apart that would be one if joined naively", async (s) => {
    const pairs = [s.key("b:c", "a"), s.key("c", "a:b"), s.key("c", "a%3Ab")];
    for (const [n, key] of pairs.entries()) await s.must([{ is: "absent", key }], [put(key, n)]);
    expect((await s.state.get(pairs, never)).map((stored) => stored?.value)).toEqual([0, 1, 2]);
    for (const of of ["a:b", "a%3Ab", "", "__proto__"]) {
      const member = `m-${of}`;
      await s.must(
        [{ is: "out", index: s.index("other"), member }],
        [
          { do: "append", log: s.log("long", of), entry: of },
          { do: "enter", index: s.index("other"), member, score: 1 },
        ],
      );
      expect(await s.entries(s.log("long", of))).toEqual([of]);
    }
  });
  run("keeps indexes apart whose parts would be one if joined naively", async (s) => {
    const parts = [
      [],
      [""],
      ["", ""],
      ["a", "b:c"],
      ["a:b", "c"],
      ["a", "b", "c"],
      ["a:b:c"],
      ["a%3Ab", "c"],
      ["a", ""],
      ["", "a"],
      ["__proto__"],
      ["grüße"],
    ];
    for (const [n, of] of parts.entries()) await fillOne(s, of, `m${n}`);
    for (const [n, of] of parts.entries()) expect(await s.members(s.index("rank", ...of))).toEqual([`m${n}`]);
    expect(await s.members(s.index("other"))).toEqual([]);
  });
}

function fillOne(s: Scene, of: readonly string[], member: string): Promise<void> {
  return s.fill(s.index("rank", ...of), [[member, 1]]);
}

function values(run: Run): void {
  run("gives back every JSON value as it was", async (s) => {
    const polluting: unknown = JSON.parse('{"__proto__":{"polluted":true},"constructor":1}');
    const values = [
      null,
      false,
      0,
      "",
      [],
      {},
      1e21,
      0.1,
      -1.5e-7,
      "\u2028\u0000\ud800",
      ["a", [null]],
      { "": { "a:b": [1] } },
      "x".repeat(65_536),
    ];
    for (const [n, value] of values.entries()) {
      await s.create(`v${n}`, value);
      expect((await s.get(`v${n}`))?.value).toEqual(value);
    }
    if (polluting === null || typeof polluting !== "object") throw new Error("not an object");
    await s.create("polluting", { ...polluting });
    await s.create("nested", JSON.parse('[{"__proto__":{"polluted":true}}]'));
    expect(JSON.stringify((await s.get("nested"))?.value)).toBe('[{"__proto__":{"polluted":true}}]');
    expect("polluted" in {}).toBe(false);
  });
  run("keeps what was given, whatever the caller does with it afterwards", async (s) => {
    const value = { list: [1] };
    const key = s.key("a");
    const batch = s.batch([{ is: "absent", key }], [put(key, value)]);
    const committed = s.state.commit(batch, never);
    value.list.push(2);
    await committed;
    expect((await s.get("a"))?.value).toEqual({ list: [1] });
  });
}
