import { describe, expect, it } from "vitest";
import { passRealTime } from "../../conformance/state-conformance.ts";
import { faultOf, never, put, Scene } from "../../conformance/state-scene.ts";
import type { IndexKey, ListQuery } from "../../ports/state.ts";
import { redisStage } from "../../testing/redis-stage.ts";

const stage = redisStage(4);

/** How often `command` runs inside Redis during `work`. */
async function callsOf(command: string, work: () => Promise<unknown>): Promise<number> {
  await stage.admin.config("RESETSTAT");
  await work();
  const said = await stage.admin.info("commandstats");
  return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(said)?.[1] ?? 0);
}

const MEMBERS = 100_000;

async function fillAtScore(index: IndexKey, scoreOf: (n: number) => number): Promise<void> {
  const { changesMax } = stage.opened.state.traits;
  for (let from = 0; from < MEMBERS; from += changesMax) {
    const places = Array.from({ length: Math.min(changesMax, MEMBERS - from) }, (_, i) => from + i);
    const enters = places.map((n) => ({ do: "enter", index, member: memberOf(n), score: scoreOf(n) }) as const);
    await stage.scene.must([{ is: "out", index, member: memberOf(from) }], enters);
  }
}

function memberOf(n: number): string {
  return `m${String(n).padStart(6, "0")}`;
}

describe("redis: lists over 100,000 entries", () => {
  it("S6: look at examineMax entries at most, in few steps inside Redis", async () => {
    const [lead, rare] = [stage.scene.index("rank"), stage.scene.index("other")];
    await fillAtScore(lead, (n) => n);
    await stage.scene.fill(rare, [[memberOf(99_000), 1]]);
    const query: ListQuery = { span: { index: lead }, alsoIn: [rare], order: "up", limit: 10, examineMax: 2_000 };
    const steps = await callsOf("zrange", async () => {
      const page = await stage.opened.state.list(query, never);
      expect(page).toEqual({ entries: [], examined: 2_000, next: { member: memberOf(1_999), score: 1_999 } });
    });
    expect(steps).toBeLessThanOrEqual(2_000 / 64 + 1);
    const found = await stage.opened.state.list(
      { ...query, after: { member: memberOf(98_500), score: 98_500 } },
      never,
    );
    expect(found.entries).toEqual([{ member: memberOf(99_000), score: 99_000 }]);
  });

  it("S6: find the place of a member that is gone by bisection, however many have its score", async () => {
    const index = stage.scene.index("rank");
    await fillAtScore(index, () => 7);
    const gone = memberOf(50_000);
    await stage.scene.must([{ is: "in", index, member: gone }], [{ do: "leave", index, member: gone }]);
    for (const [order, first] of [
      ["up", 50_001],
      ["down", 49_999],
    ] as const) {
      const query: ListQuery = {
        span: { index },
        alsoIn: [],
        order,
        limit: 3,
        examineMax: 10,
        after: { member: gone, score: 7 },
      };
      const steps = await callsOf("zrange", async () => {
        const page = await stage.opened.state.list(query, never);
        expect(page.entries[0]).toEqual({ member: memberOf(first), score: 7 });
        expect(page.examined).toBe(3);
      });
      expect(steps).toBeLessThanOrEqual(20);
    }
  });
});

describe("redis: reads of one turn", () => {
  it("S8: travel together, over all partitions", async () => {
    const partitions = [0, 1, 2, 3];
    const pass = (ms: number) => passRealTime(stage.opened.state, ms);
    const indexes = partitions.map((partition) =>
      new Scene({ state: stage.opened.state, pass }, partition).index("rank"),
    );
    const listAndCount = () =>
      Promise.all([
        Promise.all(
          indexes.map((index) =>
            stage.opened.state.list({ span: { index }, alsoIn: [], order: "up", limit: 10, examineMax: 10 }, never),
          ),
        ),
        stage.opened.state.count(
          indexes.map((index) => ({ index })),
          never,
        ),
      ]);
    await listAndCount(); // the scripts are loaded now
    await stage.scene.fill(stage.scene.index("rank"), [[memberOf(7), 7]]);
    const sentBefore = stage.opened.calls();
    const [pages, sizes] = await listAndCount();
    expect(stage.opened.calls() - sentBefore).toBe(2);
    expect(sizes).toEqual([0, 0, 0, 1]);
    expect(pages.map(({ entries }) => entries)).toEqual([[], [], [], [{ member: memberOf(7), score: 7 }]]);
  });

  it("S8: do not travel together when they look at much", async () => {
    const index = stage.scene.index("rank");
    const query: ListQuery = { span: { index }, alsoIn: [], order: "up", limit: 2_000, examineMax: 2_000 };
    await stage.opened.state.list(query, never);
    const sentBefore = stage.opened.calls();
    await Promise.all([stage.opened.state.list(query, never), stage.opened.state.list(query, never)]);
    expect(stage.opened.calls() - sentBefore).toBe(2);
  });
});

describe("redis: large calls", () => {
  it("S8: batches of the largest size travel one by one when they come at once, and small ones between them", async () => {
    const { changesMax } = stage.opened.state.traits;
    const index = stage.scene.index("rank");
    const large = (turn: number) => {
      const places = Array.from({ length: changesMax }, (_, n) => n);
      const puts = places.map((n) =>
        put(stage.scene.key(`large-${turn}-${n}`), n, { keepMs: 60_000 + n, wakeAt: 1e12 + n }),
      );
      return stage.scene.must([{ is: "absent", key: stage.scene.key(`large-${turn}-0`) }], puts);
    };
    const entering = (turn: number) => {
      const places = Array.from({ length: changesMax }, (_, n) => n);
      const enters = places.map((n) => ({ do: "enter", index, member: `${turn}-${n}`, score: n + turn / 10 }) as const);
      return stage.scene.must([{ is: "out", index, member: `${turn}-0` }], enters, [index]);
    };
    const all = [0, 1, 2, 3].flatMap((turn) => [large(turn), entering(turn), stage.scene.create(`small-${turn}`)]);
    await Promise.all(all);
    expect(await stage.scene.count(index)).toBe(4 * changesMax);
    const last = await stage.scene.get(`large-3-${changesMax - 1}`);
    expect(last?.value).toBe(changesMax - 1);
  });

  it("S8: many bytes leave in several calls", async () => {
    const before = stage.opened.calls();
    const value = "x".repeat(50_000);
    await Promise.all(Array.from({ length: 60 }, (_, n) => stage.scene.create(`k${n}`, value)));
    expect(stage.opened.calls() - before).toBeGreaterThanOrEqual((60 * 50_000) / 262_144);
    expect((await stage.scene.get("k59"))?.value).toBe(value);
  });
});

describe("redis: bounds of spans", () => {
  it("S6: may be infinite or empty", async () => {
    const index = stage.scene.index("rank");
    await stage.scene.fill(index, [
      ["a", -5],
      ["b", 5],
    ]);
    const [less, more] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
    const spans = [
      [less, more],
      [less, 0],
      [0, more],
      [more, less],
      [more, more],
      [less, less],
    ] as const;
    const counts = await stage.opened.state.count(
      spans.map(([min, max]) => ({ index, min, max })),
      never,
    );
    expect(counts).toEqual([2, 1, 1, 0, 0, 0]);
    for (const [at, [min, max]] of spans.entries()) {
      const query: ListQuery = { span: { index, min, max }, alsoIn: [], order: "up", limit: 9, examineMax: 9 };
      expect((await stage.opened.state.list(query, never)).entries).toHaveLength(counts[at] ?? -1);
    }
  });
});

describe("redis: what lies in the store", () => {
  it("S3: keys are as operators know them", async () => {
    await stage.scene.must(
      [{ is: "absent", key: stage.scene.key("j1", "job") }],
      [
        put(stage.scene.key("j1", "job"), { n: 1 }, { wakeAt: 1 }),
        { do: "enter", index: stage.scene.index("recent", "a:b", "x"), member: "j1", score: await stage.scene.now() },
        { do: "append", log: stage.scene.log("long", "j1"), entry: 1 },
      ],
    );
    const keys = await stage.admin.keys("*");
    expect(keys.toSorted()).toEqual([
      "cordum:store",
      "cordum:{3}:@alarms",
      "cordum:{3}:@index:recent:a%3Ab:x",
      "cordum:{3}:@log:long:j1",
      "cordum:{3}:@names",
      "cordum:{3}:job:j1",
    ]);
  });

  it("S5: nothing is without an end", async () => {
    const now = await stage.scene.now();
    const key = stage.scene.key("j1");
    await stage.scene.must(
      [{ is: "absent", key }],
      [
        put(key, 1, { keepMs: 50, wakeAt: now + 60 }),
        { do: "enter", index: stage.scene.index("recent", "x"), member: "j1", score: now },
        { do: "enter", index: stage.scene.index("recent", "left"), member: "j1", score: now },
        { do: "append", log: stage.scene.log("brief"), entry: 1 },
      ],
    );
    const left = stage.scene.index("recent", "left");
    await stage.scene.must(
      [
        { is: "in", index: left, member: "j1" },
        { is: "absent", key: stage.scene.key("k") },
      ],
      [{ do: "leave", index: left, member: "j1" }, put(stage.scene.key("k"), 1, { keepMs: 50 })],
    );
    await stage.scene.opened.pass(450);
    expect(await stage.opened.state.take(3, 10, 1_000, never)).toEqual([]);
    expect((await stage.opened.state.sweep(3, 100, never)).done).toBe(true);
    expect(await stage.admin.keys("*")).toEqual(["cordum:store"]);
  });

  it("says so when another program writes under our keys", async () => {
    await stage.admin.set("cordum:{3}:thing:a", "v1 {not json");
    await stage.admin.set("cordum:{3}:thing:b", "nothing of ours");
    expect(await faultOf(stage.scene.get("a"))).toBe("STATE_MISCONFIGURED");
    expect(await faultOf(stage.scene.create("a"))).toBe("STATE_MISCONFIGURED");
    await stage.scene.create("c");
    expect((await stage.scene.get("c"))?.value).toEqual({ id: "c" });
  });

  it("refuses ids of batches that could not be told from values, and batches without a check", async () => {
    const key = stage.scene.key("a");
    for (const id of ["", "with space", "a:b", "x".repeat(65)]) {
      const batch = { ...stage.scene.batch([{ is: "absent", key }], [put(key, 1)]), id };
      expect(await faultOf(stage.opened.state.commit(batch, never))).toBe("STATE_REFUSED");
    }
    expect(await stage.scene.get("a")).toBeUndefined();
  });
});

describe("redis: payloads beside State", () => {
  it("leave before the commit of the same turn", async () => {
    await stage.scene.create("before");
    const seen: string[] = [];
    const monitor = await stage.admin.monitor();
    const isSeen = Promise.withResolvers<void>();
    monitor.on("monitor", (_time: string, args: readonly string[], source: string) => {
      if (source !== "lua") seen.push(String(args[0]).toLowerCase());
      if (seen.includes("evalsha") && seen.includes("set")) isSeen.resolve();
    });
    await Promise.all([stage.scene.create("a"), stage.opened.payloads.put("ctx:a", Buffer.from("x"), 1_000, never)]);
    await isSeen.promise;
    monitor.disconnect();
    expect(seen.filter((command) => command === "set" || command === "evalsha")).toEqual(["set", "evalsha"]);
  });

  it("P3: what a worker stored without an end gets one", async () => {
    await stage.admin.set("res:a", "x");
    expect(await stage.opened.payloads.keep("res:a", 5_000, never)).toBe(true);
    const left = await stage.admin.pttl("res:a");
    expect(left).toBeGreaterThan(4_000);
    expect(left).toBeLessThanOrEqual(5_000);
  });

  it("Y3: keeps of several turns share a call", async () => {
    await stage.opened.payloads.keep("res:loads-the-script", 5_000, never);
    await stage.opened.payloads.put("res:a", Buffer.from("x"), 1_000, never);
    const sentBefore = stage.opened.calls();
    const first = stage.opened.payloads.keep("res:a", 5_000, never);
    await new Promise((resolve) => setImmediate(resolve));
    expect(await Promise.all([first, stage.opened.payloads.keep("res:nobody", 5_000, never)])).toEqual([true, false]);
    expect(stage.opened.calls() - sentBefore).toBe(1);
  });
});
