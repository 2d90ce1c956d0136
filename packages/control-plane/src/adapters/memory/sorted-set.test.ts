import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SortedSet } from "./sorted-set.ts";

describe("sorted set", () => {
  it("O1: orders, counts and walks as plain sorting does, over many chunks", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4000 }),
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 0, max: 1 << 30 }),
        (entries, scores, seed) => {
          const set = new SortedSet();
          const model = new Map<string, number>();
          let state = seed;
          const next = (below: number): number => {
            state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
            return (state >>> 8) % below;
          };
          for (let n = 0; n < entries; n++) {
            const member = `m${next(entries)}`;
            if (next(4) === 0) {
              set.delete(member);
              model.delete(member);
            } else {
              const score = next(scores);
              set.set(member, score);
              model.set(member, score);
            }
          }
          const sorted = [...model]
            .sort(([a, x], [b, y]) => x - y || (a < b ? -1 : 1))
            .map(([member, score]) => ({ member, score }));
          expect(set.size).toBe(model.size);
          expect([...set.up(Number.NEGATIVE_INFINITY, "")]).toEqual(sorted);
          expect([...set.down(Number.POSITIVE_INFINITY, undefined)]).toEqual(sorted.toReversed());
          const [min, max] = [next(scores), next(scores)];
          expect(set.countBetween(min, max)).toBe(sorted.filter(({ score }) => score >= min && score <= max).length);
          const [from, fromMember] = [next(scores), `m${next(entries)}`];
          const behind = sorted.filter(({ score, member }) => score > from || (score === from && member >= fromMember));
          expect([...set.up(from, fromMember)]).toEqual(behind);
          expect([...set.down(from, fromMember)]).toEqual(sorted.slice(0, sorted.length - behind.length).reverse());
          expect(set.first()).toEqual(sorted[0]);
        },
      ),
      { numRuns: 60 },
    );
  });
});
