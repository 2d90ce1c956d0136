import { describe, expect, it } from "vitest";
import { seededRandom } from "../adapters/system/seeded-random.ts";
import { DIFFERING_CLOCKS, drawClockError } from "./clock-error.ts";

const SEEDS = Array.from({ length: 200 }, (_, seed) => seed);
const MEASURED_MS = 30_000;

function errorOf(seed: number): (livedMs: number) => number {
  return drawClockError(DIFFERING_CLOCKS, seededRandom(seed));
}

describe("drawClockError", () => {
  it("O1 lets some lives run on their host's clock until it is measured", () => {
    const far = SEEDS.filter((seed) => Math.abs(errorOf(seed)(0)) > DIFFERING_CLOCKS.followedMs);
    expect(far.length).toBeGreaterThan(10);
    expect(far.length).toBeLessThan(SEEDS.length / 2);
    for (const seed of SEEDS) {
      expect(Math.abs(errorOf(seed)(0))).toBeLessThanOrEqual(DIFFERING_CLOCKS.unfollowedMs);
      expect(Math.abs(errorOf(seed)(MEASURED_MS))).toBeLessThanOrEqual(DIFFERING_CLOCKS.followedMs);
    }
  });

  it("O2 lets a followed clock drift within its bound, and never backwards", () => {
    for (const seed of SEEDS) {
      const error = errorOf(seed);
      const seen = new Set<number>();
      for (let lived = MEASURED_MS; lived < 200_000; lived += 1_700) {
        seen.add(error(lived));
        expect(Math.abs(error(lived))).toBeLessThanOrEqual(DIFFERING_CLOCKS.followedMs);
        expect(lived + 1 + error(lived + 1)).toBeGreaterThanOrEqual(lived + error(lived));
      }
      if (seed === 1) expect(seen.size).toBeGreaterThan(5);
    }
  });
});
