import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PLACER_TTL_MS, PLACERS_MAX, Placers, shareOf } from "./placers.ts";

const NOW = 1_000_000;

describe("shareOf", () => {
  it("adds up to the worker's slots, whoever asks", () => {
    const names = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(names, fc.string(), fc.nat(500), (placers, workerId, capacity) => {
        const shares = placers.map((self) => shareOf({ self, placers, workerId, capacity }));
        expect(shares.reduce((sum, share) => sum + share, 0)).toBe(capacity);
        expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1);
      }),
    );
  });

  it("gives single slots of many workers to all placers alike", () => {
    const placers = ["a", "b", "c", "d"];
    const counts = placers.map(
      (self) =>
        Array.from({ length: 4_000 }, (_, at) => shareOf({ self, placers, workerId: `w${at}`, capacity: 1 })).filter(
          (share) => share === 1,
        ).length,
    );
    for (const count of counts) expect(Math.abs(count - 1_000)).toBeLessThan(150);
  });
});

describe("Placers", () => {
  it("do not count the silence of a time in which nobody could be heard", () => {
    const placers = new Placers("b");
    placers.hear("dead", NOW - PLACER_TTL_MS - 1);
    placers.hear("a", NOW);
    for (let at = NOW + 1_000; at <= NOW + 60_000; at += 1_000) placers.excuseSilence(at);
    expect(placers.alive(NOW + 60_000)).toEqual(["a", "b"]);
    expect(placers.alive(NOW + 60_001 + PLACER_TTL_MS)).toEqual(["b"]);
  });

  it("are heard up to a number: made-up ones fill no memory, and push nobody out", () => {
    const placers = new Placers("b");
    expect(placers.hear("a", NOW)).toBe(true);
    for (let n = 1; n < PLACERS_MAX; n++) expect(placers.hear(`made-up-${n}`, NOW)).toBe(true);
    expect(placers.hear("one-too-many", NOW)).toBe(false);
    expect(placers.alive(NOW)).toHaveLength(1 + PLACERS_MAX);
    placers.hear("a", NOW + 5_000);
    expect(placers.hear("c", NOW + PLACER_TTL_MS + 1)).toBe(true);
    expect(placers.alive(NOW + PLACER_TTL_MS + 1)).toEqual(["a", "b", "c"]);
  });

  it("counts those that were heard of lately, and itself", () => {
    const placers = new Placers("b");
    expect(placers.alive(NOW)).toEqual(["b"]);
    expect(placers.hear("a", NOW)).toBe(true);
    expect(placers.hear("a", NOW + 1)).toBe(false);
    expect(placers.alive(NOW + 1)).toEqual(["a", "b"]);
    expect(placers.alive(NOW + 1 + PLACER_TTL_MS)).toEqual(["a", "b"]);
    expect(placers.alive(NOW + 2 + PLACER_TTL_MS)).toEqual(["b"]);
    placers.hear("c", NOW);
    placers.leave("c");
    expect(placers.alive(NOW)).toEqual(["b"]);
    expect(placers.shareOf("w", 7, NOW)).toBe(7);
  });
});
