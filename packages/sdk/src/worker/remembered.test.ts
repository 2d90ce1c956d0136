import { expect, it } from "vitest";
import { RememberedResults } from "./remembered.ts";

const ended = (executionMs: number) => ({ outcome: { status: "SUCCEEDED", resultPtr: "" } as const, executionMs });

it("remembers the latest runs, one answer each, and forgets the oldest", () => {
  const results = new RememberedResults(3);
  for (const n of [1, 2, 2, 3]) results.remember(`job-${n}`, 1, ended(n));
  expect([1, 2, 3].map((n) => results.find(`job-${n}`, 1)?.executionMs)).toEqual([1, 2, 3]);
  results.remember("job-2", 1, ended(22));
  results.remember("job-3", 2, ended(32));
  expect([1, 2, 3].map((n) => results.find(`job-${n}`, 1)?.executionMs)).toEqual([undefined, 22, 3]);
  expect(results.find("job-3", 2)?.executionMs).toBe(32);
  for (let n = 4; n < 100; n++) results.remember(`job-${n}`, 1, ended(n));
  expect([96, 97, 98, 99].map((n) => results.find(`job-${n}`, 1)?.executionMs)).toEqual([undefined, 97, 98, 99]);
});

it("remembers nothing where nothing is to be remembered", () => {
  const results = new RememberedResults(0);
  results.remember("job", 1, ended(1));
  expect(results.find("job", 1)).toBeUndefined();
});
