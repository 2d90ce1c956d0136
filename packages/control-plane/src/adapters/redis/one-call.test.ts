import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { conformanceLayout, never, newCommitId, put } from "../../conformance/state-scene.ts";
import type { Batch, Change, Check, Outcome, State } from "../../ports/state.ts";
import { emptyServers, redisStage } from "../../testing/redis-stage.ts";
import { memoryState } from "../memory/memory-state.ts";
import { systemClock } from "../system/clock.ts";

const stage = redisStage(1);

const FAR_AWAY = 8_000_000_000_000;
const IDS = ["a", "b", "c"];
const MEMBERS = ["m1", "m2"];
const PARTS = ["x", "y"];

/** What one commit does, before it has an id; `at` names the commit whose version it wants. */
type Draft = { readonly checks: readonly (Check | { readonly at: number; readonly id: string })[] } & Pick<
  Batch,
  "changes"
>;

function drafts(): fc.Arbitrary<readonly Draft[]> {
  const id = fc.constantFrom(...IDS);
  const index = fc.constantFrom(...PARTS).map((of) => stage.scene.index("rank", of));
  const member = fc.constantFrom(...MEMBERS);
  const score = fc.integer({ min: 0, max: 2 });
  const key = id.map((name) => stage.scene.key(name));
  const keepMs = fc.constantFrom(undefined, 3_600_000);
  const wakeAt = fc.constantFrom(1, 2, FAR_AWAY, "never" as const);
  const check = fc.oneof(
    fc.record({ at: fc.nat(8), id }),
    fc.record({ at: fc.nat(8), id }),
    key.map((of): Check => ({ is: "absent", key: of })),
    fc
      .tuple(fc.constantFrom("in" as const, "out" as const), index, member)
      .map(([is, of, m]): Check => ({ is, index: of, member: m })),
  );
  const change = fc.oneof(
    fc
      .tuple(key, score, keepMs, wakeAt)
      .map(
        ([of, value, keep, at]): Change =>
          put(of, value, keep === undefined ? { wakeAt: at } : { wakeAt: at, keepMs: keep }),
      ),
    key.map((of): Change => ({ do: "delete", key: of })),
    fc.tuple(index, member, score).map(([of, m, s]): Change => ({ do: "enter", index: of, member: m, score: s })),
    fc.tuple(index, member).map(([of, m]): Change => ({ do: "leave", index: of, member: m })),
  );
  const draft = fc.record({ checks: fc.array(check, { maxLength: 1 }), changes: fc.array(change, { maxLength: 4 }) });
  return fc.array(draft, { minLength: 1, maxLength: 9 });
}

/** Every batch writes a marker of its own, so that a duplicate is one (S1). */
function batchesOf(drawn: readonly Draft[]): readonly Batch[] {
  const versions = drawn.map(() => newCommitId());
  return drawn.map(({ checks, changes }, n): Batch => {
    const marker = stage.scene.key(`marker-${versions[n]}`);
    const asked = checks.map((check): Check => {
      if ("is" in check) return check;
      return { is: "at", key: stage.scene.key(check.id), version: versions[check.at % drawn.length] ?? "" };
    });
    return {
      id: versions[n] ?? "",
      partition: 0,
      checks: [{ is: "absent", key: marker }, ...asked],
      changes: [...changes, put(marker, 0)],
    };
  });
}

/** Everything that the batches can have touched. */
async function contentsOf(state: State): Promise<unknown> {
  const pages = PARTS.map((of) =>
    state.list(
      { span: { index: stage.scene.index("rank", of) }, alsoIn: [], order: "up", limit: 9, examineMax: 9 },
      never,
    ),
  );
  const due = await state.take(0, 99, 1, never);
  const records = await state.get(
    IDS.map((id) => stage.scene.key(id)),
    never,
  );
  return {
    records,
    entries: (await Promise.all(pages)).map((page) => page.entries),
    due: due.map(({ key }) => key.id).toSorted(),
  };
}

describe("redis: batches that share a call", () => {
  it("S8: end as if they had come one after the other", async () => {
    await fc.assert(
      fc.asyncProperty(drafts(), async (drawn) => {
        await emptyServers([stage.server]);
        const plain = memoryState({ partitions: 1, layout: conformanceLayout, clock: systemClock() });
        const batches = batchesOf(drawn);
        const expected: Outcome[] = [];
        for (const batch of batches) expected.push(await plain.commit(batch, never));
        const sentBefore = stage.opened.calls();
        const outcomes = await Promise.all(batches.map((batch) => stage.opened.state.commit(batch, never)));
        expect(stage.opened.calls() - sentBefore).toBeLessThanOrEqual(2); // the first has to load the script
        expect(outcomes).toEqual(expected);
        expect(await contentsOf(stage.opened.state)).toEqual(await contentsOf(plain));
      }),
      { numRuns: 300 },
    );
  });

  it("S8: enter an index by one command, though one member comes again", async () => {
    const index = stage.scene.index("rank");
    const enter = (n: number) =>
      stage.scene.must(
        [{ is: "absent", key: stage.scene.key(`r${n}`) }],
        [put(stage.scene.key(`r${n}`), n, { wakeAt: FAR_AWAY }), { do: "enter", index, member: "lane", score: 1 }],
      );
    await enter(0); // the script is loaded now
    await stage.admin.config("RESETSTAT");
    await Promise.all([1, 2, 3, 4, 5].map(enter));
    const said = await stage.admin.info("commandstats");
    expect(/cmdstat_zadd:calls=(\d+)/.exec(said)?.[1]).toBe("2"); // the index and the alarms
  });
});
