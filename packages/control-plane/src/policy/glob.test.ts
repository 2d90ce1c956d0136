import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GLOB_CHARACTERS_MAX, type Glob, parseGlob } from "./glob.ts";

const glob = (pattern: string): Glob => {
  const parsed = parseGlob(pattern);
  if (parsed.kind === "malformed") throw new Error(parsed.reason);
  return parsed;
};

describe("matching", () => {
  it.each([
    ["job.*", "job.a", true],
    ["job.*", "job.a.b.c", true],
    ["job.*", "job.", true],
    ["job.*", "job", false],
    ["job.*", "job.a/b", false],
    ["job.**", "job.a.b", true],
    ["job.*.write", "job.github.write", true],
    ["job.*.write", "job.a.b.write", true],
    ["job.*.write", "job.github.writes", false],
    ["job.?", "job.a", true],
    ["job.?", "job.", false],
    ["job.?", "job./", false],
    ["job.?", "job.𝒳", true],
    ["job.[a-c]", "job.b", true],
    ["job.[a-c]", "job.d", false],
    ["job.[^a-c]", "job.d", true],
    ["job.[^a-c]", "job.a", false],
    ["job.[\\]\\-]", "job.-", true],
    ["job.[!a]", "job.!", true],
    ["job.\\*", "job.*", true],
    ["job.\\*", "job.a", false],
    ["job.a]", "job.a]", true],
    ["*[^x]*b", "q/zb", true],
    ["  job.a  ", "job.a", true],
    ["job.A", "job.a", false],
    ["job.acme.>", "job.acme.x", false],
    ["*", "", true],
    ["?*", "", false],
    ["*/*", "a/b", true],
    ["*/*", "a/b/c", false],
  ])("%s on %s: %s", (pattern, text, expected) => {
    expect(glob(pattern).matches(text)).toBe(expected);
  });

  it("can be used again after a match", () => {
    const pattern = glob("a*b*c");
    expect([pattern.matches("abc"), pattern.matches("ab"), pattern.matches("axbxc")]).toEqual([true, false, true]);
  });

  it.each([
    ["job.mail.send", "job.mail.send", "job.mail.send", "job.mail.send"],
    ["job.mail.*", undefined, "job.mail.", ""],
    ["job.*.send", undefined, "job.", ".send"],
    ["job.*.a?.send", undefined, "job.", ".send"],
    ["job.\\*.x", "job.*.x", "job.*.x", "job.*.x"],
    ["[a]", undefined, "", ""],
  ])("knows how %s begins and ends", (pattern, exact, prefix, suffix) => {
    expect(glob(pattern)).toMatchObject({ exact, prefix, suffix });
  });
});

it.each([
  "",
  "   ",
  "[",
  "job.[a",
  "job.[]",
  "job.[^]",
  "job.[]a]",
  "[a-",
  "[a-]",
  "[-a]",
  "[z-a]",
  "a\\",
  "[\\",
  "x".repeat(GLOB_CHARACTERS_MAX + 1),
])("refuses %j", (pattern) => {
  expect(parseGlob(pattern).kind).toBe("malformed");
});

/** The definition, word by word; exponential, so for short texts only. */
function matchesByDefinition(pattern: readonly string[], text: readonly string[]): boolean {
  const [head, ...rest] = pattern;
  const [first, ...others] = text;
  if (head === undefined) return text.length === 0;
  if (head === "*") {
    if (matchesByDefinition(rest, text)) return true;
    return first !== undefined && first !== "/" && matchesByDefinition(pattern, others);
  }
  if (first === undefined) return false;
  if (head === "[")
    return "ab".includes(first) === (rest[0] !== "^") && matchesByDefinition(rest.slice(rest.indexOf("]") + 1), others);
  return (head === "?" ? first !== "/" : head === first) && matchesByDefinition(rest, others);
}

describe("properties", () => {
  const part = fc.constantFrom("*", "**", "?", "a", "b", ".", "/", "[ab]", "[^ab]");
  const character = fc.constantFrom("a", "b", ".", "/", "𝒳");

  it("equals the definition", () => {
    fc.assert(
      fc.property(
        fc.array(part, { minLength: 1, maxLength: 8 }),
        fc.array(character, { maxLength: 9 }),
        (parts, text) => {
          expect(glob(parts.join("")).matches(text.join(""))).toBe(matchesByDefinition([...parts.join("")], text));
        },
      ),
      { numRuns: 3000 },
    );
  });

  it("never throws, and an escaped text matches exactly itself", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 60 }), fc.string({ unit: "binary" }), (pattern, text) => {
        const parsed = parseGlob(pattern);
        if (parsed.kind === "glob") parsed.matches(text);
        const trimmed = pattern.trim();
        if (trimmed === "") return;
        const escaped = glob([...trimmed].map((each) => (each.trim() === "" ? each : `\\${each}`)).join(""));
        expect(escaped.exact).toBe(trimmed);
        expect(escaped.matches(text)).toBe(text === trimmed);
      }),
    );
  });
});

describe("hostile patterns", () => {
  // Steps, not time: each character meets each position at most once, so a backtracking matcher would not come back at all.
  it.each([
    "*a*a*a*b",
    "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b",
    "*[a]*[a]*[a]?*b",
    `${"*a".repeat(250)}*b`,
    "a*".repeat(256),
  ])("%.40s comes back", (pattern) => {
    expect(glob(pattern).matches("a".repeat(10_000))).toBe(pattern.endsWith("a*"));
  });
});
