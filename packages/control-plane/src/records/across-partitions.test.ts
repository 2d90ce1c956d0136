import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { memoryState } from "../adapters/memory/memory-state.ts";
import { virtualClock } from "../adapters/system/virtual-clock.ts";
import type { Position } from "../ports/state.ts";
import { countAcross, listAcross } from "./across-partitions.ts";

const never = new AbortController().signal;

/** A store with `scores` in three partitions, most of them in the first, every second member also in a second index. */
async function filled(scores: readonly number[]) {
  const clock = virtualClock({ seed: 1, startAt: 1_000_000 });
  const layout = { indexes: { a: { score: "rank" }, b: { score: "rank" } }, logs: {} } as const;
  const state = memoryState({ partitions: 3, layout, clock });
  for (const [at, score] of scores.entries()) {
    const partition = at % 8 < 6 ? 0 : at % 3;
    const member = `m${at}`;
    const key = { partition, kind: "r", id: member };
    const enter = (index: string) => ({ do: "enter", index: { partition, index, of: ["t"] }, member, score }) as const;
    const both = at % 2 === 0 ? [enter("a"), enter("b")] : [enter("a")];
    await state.commit(
      {
        id: clock.id(),
        partition,
        checks: [{ is: "absent", key }],
        changes: [{ do: "put", key, value: 1, wakeAt: "never" }, ...both],
      },
      never,
    );
  }
  return state;
}

async function pageThrough(
  state: Awaited<ReturnType<typeof filled>>,
  options: {
    readonly limit: number;
    readonly examineMax: number;
    readonly order: "up" | "down";
    readonly alsoB: boolean;
  },
) {
  const seen: Position[] = [];
  let after: Position | undefined;
  for (let pages = 0; pages < 10_000; pages++) {
    const page = await listAcross(
      state,
      {
        lead: { index: "a", of: ["t"] },
        alsoIn: options.alsoB ? [{ index: "b", of: ["t"] }] : [],
        order: options.order,
        limit: options.limit,
        examineMax: options.examineMax,
        ...(after === undefined ? {} : { after }),
      },
      never,
    );
    expect(page.entries.length).toBeLessThanOrEqual(options.limit);
    seen.push(...page.entries);
    if (page.next === undefined) return seen;
    after = page.next;
  }
  throw new Error("the pages have no end");
}

describe("listAcross", () => {
  it("shows everything once, in order, whatever the page size, ties and bounds", async () => {
    const options = fc.record({
      limit: fc.oneof(fc.integer({ min: 1, max: 7 }), fc.integer({ min: 18, max: 40 })),
      examineMax: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 18, max: 60 })),
      order: fc.constantFrom("up" as const, "down" as const),
      alsoB: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(6), { maxLength: 80 }), options, async (scores, asked) => {
        const state = await filled(scores);
        const expected = scores
          .map((score, at) => ({ score, member: `m${at}`, at }))
          .filter(({ at }) => !asked.alsoB || at % 2 === 0)
          .sort((x, y) => x.score - y.score || (x.member < y.member ? -1 : 1))
          .map(({ score, member }) => ({ score, member }));
        if (asked.order === "down") expected.reverse();
        expect(await pageThrough(state, asked)).toEqual(expected);
      }),
      { numRuns: 150 },
    );
  });

  it("fills a page from one partition when the others have nothing left", async () => {
    const state = await filled(Array.from({ length: 80 }, (_, at) => at));
    const query = { lead: { index: "a", of: ["t"] }, alsoIn: [], order: "up", limit: 70, examineMax: 70 } as const;
    const page = await listAcross(state, query, never);
    expect(page.entries.map(({ score }) => score)).toEqual(Array.from({ length: 70 }, (_, at) => at));
    expect(page.next).toEqual({ score: 69, member: "m69" });
  });
});

describe("countAcross", () => {
  it("adds up what all partitions have", async () => {
    const state = await filled(Array.from({ length: 20 }, (_, at) => at));
    expect(
      await countAcross(
        state,
        [
          { index: "a", of: ["t"] },
          { index: "b", of: ["t"] },
          { index: "a", of: ["x"] },
        ],
        never,
      ),
    ).toEqual([20, 10, 0]);
  });
});
