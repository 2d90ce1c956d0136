import { expect, it } from "vitest";
import { putNewest } from "./newest.ts";

it("keeps the newest, counting what comes again as new", () => {
  const map = new Map([
    ["a", 1],
    ["b", 2],
  ]);
  putNewest(map, "a", 3, 2);
  putNewest(map, "c", 4, 2);
  expect([...map]).toEqual([
    ["a", 3],
    ["c", 4],
  ]);
});
