import { describe, expect, it } from "vitest";
import { partitionOf } from "./partition.ts";

describe("partition", () => {
  it("S3: keeps its golden values, for they are where stored records lie", () => {
    const ids = ["", "a", "job-1", "8Zq3vXk2LmNp", "grüße😀", "tenant-acme", "__proto__"];
    expect(ids.map((id) => partitionOf(id, 16))).toEqual([11, 3, 13, 11, 7, 8, 11]);
    expect(ids.map((id) => partitionOf(id, 3))).toEqual([2, 0, 0, 1, 1, 2, 1]);
  });
  it("S3: is decided by the root, the part before the first colon", () => {
    for (const root of ["run-1", "x", "grüße"]) {
      const expected = partitionOf(root, 16);
      for (const rest of [":step", ":step:2@1", ":"]) expect(partitionOf(`${root}${rest}`, 16)).toBe(expected);
    }
    expect(partitionOf(":a", 16)).toBe(partitionOf("", 16));
    const suffixed = ["a@1", "a@2", "a@3", "a@4"].map((id) => partitionOf(id, 16));
    expect(new Set(suffixed).size).toBeGreaterThan(1);
  });
  it("S3: is 0 in a store of one partition", () => {
    for (const id of ["", "a", "b:c"]) expect(partitionOf(id, 1)).toBe(0);
  });
  it("S3: spreads consecutive and random-looking ids evenly", () => {
    for (const partitions of [2, 3, 16, 64]) {
      for (const idOf of [
        (n: number) => `job-${n}`,
        (n: number) => String(n),
        (n: number) => (n * 2654435761).toString(36),
      ]) {
        const sizes = new Array<number>(partitions).fill(0);
        const ids = partitions * 1000;
        for (let n = 0; n < ids; n++) {
          const partition = partitionOf(idOf(n), partitions);
          sizes[partition] = (sizes[partition] ?? 0) + 1;
        }
        expect(sizes).toHaveLength(partitions);
        // Six standard deviations of a fair throw.
        const spread = 6 * Math.sqrt(1000);
        expect(Math.max(...sizes)).toBeLessThan(1000 + spread);
        expect(Math.min(...sizes)).toBeGreaterThan(1000 - spread);
      }
    }
  });
});
