import { describe, expect, it } from "vitest";
import { table } from "./render/table.ts";
import { oneLine, printable } from "./terminal.ts";

describe("what is shown", () => {
  it("has no control characters left but newlines and tabs", () => {
    expect(printable("a\u001b]0;title\u0007b\u009b2Jc\u202ed\r\ne\tf")).toBe(
      "a\\u001b]0;title\\u0007b\\u009b2Jc\\u202ed\\u000d\ne\tf",
    );
    expect(oneLine("a\n  b\tc")).toBe("a b c");
    expect(printable("Grüße, 日本語 🙂")).toBe("Grüße, 日本語 🙂");
  });
});

describe("tables", () => {
  it("align columns, fill empty cells, cut long ones", () => {
    const lines = table([
      ["JOB", "STATE"],
      ["a-long-id", ""],
      ["b", "x".repeat(200)],
    ]).split("\n");
    expect(lines.slice(0, 2)).toEqual(["JOB        STATE", "a-long-id  -"]);
    expect(lines[2]).toHaveLength("b          ".length + 80);
  });
});
