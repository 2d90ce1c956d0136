import { describe, expect, it } from "vitest";
import { parseMoment } from "./moment.ts";

const AT = Date.UTC(2026, 1, 28, 10, 0, 0);

describe("parseMoment", () => {
  it.each([
    ["2026-02-28T10:00:00Z", AT],
    ["2026-02-28t10:00:00.000000000z", AT],
    ["2026-02-28T12:30:00+02:30", AT],
    ["2026-02-28T10:00:00.5Z", AT + 500],
    [AT, AT],
    [AT / 1000, AT],
    [AT * 1000, AT],
  ])("reads %s", (value, at) => {
    expect(parseMoment(value)).toBe(at);
  });

  it.each([
    "",
    "tomorrow",
    "2026-02-30T10:00:00Z",
    "2026-13-01T10:00:00Z",
    "2026-02-28",
    "2026-02-28T10:00:00",
    "2026-02-28T25:00:00Z",
    "2026-02-28T10:00:00+99:00",
    0,
    -5,
    Number.NaN,
    Number.POSITIVE_INFINITY,
  ])("does not read %s", (value) => {
    expect(parseMoment(value)).toBeUndefined();
  });
});
