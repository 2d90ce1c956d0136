// docs/guarantees.md names a test for each promise: the test is there, under that name.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const DOCS = join(import.meta.dirname, "../docs");
const page = readFileSync(join(DOCS, "guarantees.md"), "utf8");
const promises = page.split("\n").filter((line) => /^\| (?!Promise|State|---)/.test(line) && line.includes("]("));
const tests = promises.flatMap((line) =>
  [...line.matchAll(/\[([^\]]+)\]\((\.\.\/[^)]+\.ts)\)/g)].map(([, name = "", path = ""]) => ({ name, path })),
);

/** Inside the quotes of one string of the file. */
function names(path: string, name: string): boolean {
  const lines = readFileSync(join(DOCS, path), "utf8").split("\n");
  return lines.some((line) => /["'`]/.test(line.slice(0, Math.max(0, line.indexOf(name)))) && line.includes(name));
}

describe("the page of guarantees", () => {
  it("names a test in each line that promises something", () => {
    const rows = page.split("\n").filter((line) => /^\| /.test(line));
    const heads = rows.filter((line) => /^\| (Promise|State)/.test(line)).length;
    const survives = rows.filter((line) => /^\| (SQLite|Redis|memory)/.test(line)).length;
    expect(promises.length).toBe(rows.length - heads - survives);
    expect(tests.length).toBeGreaterThanOrEqual(promises.length);
  });

  it.each(tests.map(({ name, path }) => [name, path]))("finds “%s” in %s", (name, path) => {
    expect(existsSync(join(DOCS, path)), path).toBe(true);
    expect(names(path, name)).toBe(true);
  });
});
