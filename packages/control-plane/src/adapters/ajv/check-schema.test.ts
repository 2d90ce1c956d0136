import { describe, expect, it } from "vitest";
import { SchemaChecks } from "./check-schema.ts";

const judge = (schema: unknown, payload?: unknown) =>
  new SchemaChecks().judge(
    JSON.stringify(schema),
    payload === undefined ? undefined : Buffer.from(JSON.stringify(payload)),
  );
const DRAFT_7 = "http://json-schema.org/draft-07/schema#";
const OBJECT = { type: "object", required: ["n"], properties: { n: { type: "integer" } }, additionalProperties: false };

describe("a schema", () => {
  it.each([
    [{ ...OBJECT }],
    [{ $schema: DRAFT_7, ...OBJECT }],
    [{ $schema: "http://json-schema.org/draft-07/schema", definitions: { a: {} }, $ref: "#/definitions/a" }],
    [{ $schema: "http://json-schema.org/draft-06/schema#", ...OBJECT }],
    [{ $schema: "https://json-schema.org/draft/2019-09/schema", ...OBJECT }],
    [{ $schema: "https://json-schema.org/draft/2020-12/schema", ...OBJECT }],
    [{ $id: "https://example.com/a", $defs: { b: { $id: "b", type: "string" } }, $ref: "https://example.com/b" }],
    [{ $ref: "https://json-schema.org/draft/2020-12/schema" }],
    [{ "x-unknown": 1, title: "notes", examples: [1], format: "no-such-format" }],
    [{ $defs: { tree: { properties: { left: { $ref: "#/$defs/tree" } } } }, $ref: "#/$defs/tree" }],
    [{}],
  ])("can be used: %j", (schema) => {
    expect(judge(schema)).toEqual({ kind: "valid" });
  });

  it.each([
    [{ type: "objekt" }, "/type must be equal to one of the allowed values"],
    [{ properties: [] }, "/properties must be object"],
    [{ pattern: "(" }, "Invalid regular expression"],
    [{ $ref: "#/nowhere" }, "can't resolve reference"],
    [{ $ref: "https://example.com/schema.json" }, "can't resolve reference"],
    [{ $ref: "file:///etc/passwd" }, "can't resolve reference"],
    [{ $ref: "http://169.254.169.254/latest" }, "can't resolve reference"],
    [{ $schema: "http://json-schema.org/draft-04/schema#" }, "no dialect that is known"],
    [{ $schema: "https://example.com/own" }, "no dialect that is known"],
    [{ $schema: 7 }, "no dialect that is known"],
    [null, "no object"],
    [true, "no object"],
    [[], "no object"],
  ])("cannot be used: %j", (schema, reason) => {
    expect(judge(schema)).toEqual({ kind: "unusable", reason: expect.stringContaining(reason) });
  });

  it("C1 is out of reach of every other, by its id too", () => {
    const checks = new SchemaChecks();
    const theirs = JSON.stringify({ $id: "https://acme.example/secret", const: "theirs" });
    const mine = JSON.stringify({ $ref: "https://acme.example/secret" });
    expect(checks.judge(theirs, undefined).kind).toBe("valid");
    expect(checks.judge(mine, undefined).kind).toBe("unusable");
    const other = JSON.stringify({ $id: "https://acme.example/secret", const: "mine" });
    expect(checks.judge(other, Buffer.from('"mine"')).kind).toBe("valid");
    expect(checks.judge(theirs, Buffer.from('"mine"')).kind).toBe("violated");
  });

  it("is forgotten for others, and compiled again", () => {
    const checks = new SchemaChecks();
    for (let round = 0; round < 2; round++)
      for (let n = 0; n < 100; n++)
        expect(checks.judge(JSON.stringify({ const: n }), Buffer.from(String(n))).kind).toBe("valid");
  });
});

describe("a payload", () => {
  it("is told each place where it is wrong, in order, with the names that matter", () => {
    expect(judge(OBJECT, { m: 1 })).toEqual({
      kind: "violated",
      violations: [
        { path: "$", message: "must NOT have additional properties: m" },
        { path: "$", message: "must have required property 'n'" },
      ],
    });
    const list = { items: { type: "object", properties: { "a/b": { minimum: 3 } } } };
    expect(judge(list, [{ "a/b": 1 }, "x", { "a/b": 3 }])).toEqual({
      kind: "violated",
      violations: [
        { path: "/0/a~1b", message: "must be >= 3" },
        { path: "/1", message: "must be object" },
      ],
    });
    const either = { anyOf: [{ type: "string" }, { type: "object", required: ["a"] }] };
    expect(judge(either, 7)).toMatchObject({
      violations: [
        { path: "$", message: "must be object" },
        { path: "$", message: "must be string" },
      ],
    });
    const { violations } = judge(
      { items: { type: "string" } },
      Array.from({ length: 500 }, (_, n) => n),
    ) as {
      violations: readonly unknown[];
    };
    expect(violations).toHaveLength(50);
  });

  it("C4 that is large is told its first fault", () => {
    const { violations } = judge(
      { items: { type: "string" } },
      Array.from({ length: 50_000 }, (_, n) => n),
    ) as {
      violations: readonly unknown[];
    };
    expect(violations).toEqual([{ path: "/0", message: "must be string" }]);
  });

  it("C3 is judged by its context where it has one", () => {
    expect(judge(OBJECT, { prompt: "x", context: { n: 1 } }).kind).toBe("valid");
    expect(judge(OBJECT, { n: 1 }).kind).toBe("valid");
    expect(judge(OBJECT, { n: 1, context: null }).kind).toBe("violated");
    expect(judge({ type: "array" }, [{ context: 1 }]).kind).toBe("valid");
  });

  it("that is none is null, and one that is no JSON is told so", () => {
    const checks = new SchemaChecks();
    expect(checks.judge('{"type":"null"}', Buffer.alloc(0)).kind).toBe("valid");
    for (const bytes of ["{", "\u0000", "{]"])
      expect(checks.judge("{}", Buffer.from(bytes))).toEqual({
        kind: "violated",
        violations: [{ path: "$", message: "invalid JSON payload" }],
      });
  });

  it.each<[string, object, unknown, "valid" | "violated"]>([
    ["integers may be written as numbers", { type: "integer" }, JSON.parse("1.0"), "valid"],
    ["C2 formats of draft 7 count", { $schema: DRAFT_7, format: "email" }, "no mail", "violated"],
    ["C2 formats of later drafts do not", { format: "email" }, "no mail", "valid"],
    ["what every object has is not what a payload has", { required: ["toString"] }, {}, "violated"],
    ["nor a prototype", { required: ["__proto__"] }, {}, "violated"],
    ["flags may stand before a pattern", { pattern: "(?i)^abc$" }, "ABC", "valid"],
    ["patterns are of Unicode", { pattern: "^\\p{L}$" }, "é", "valid"],
    ["tuples of 2020-12", { prefixItems: [{ type: "string" }], items: false }, ["a", 1], "violated"],
    ["tuples of draft 7", { $schema: DRAFT_7, items: [{}, {}], additionalItems: false }, [1, 2, 3], "violated"],
  ])("%s", (_, schema, payload, kind) => {
    expect(judge(schema, payload).kind).toBe(kind);
  });

  it("that is nested deeper than a stack is wrong, not fatal", () => {
    const tree = { $defs: { tree: { items: { $ref: "#/$defs/tree" } } }, $ref: "#/$defs/tree" };
    const depth = 200_000;
    const bytes = Buffer.from("[".repeat(depth) + "]".repeat(depth));
    expect(new SchemaChecks().judge(JSON.stringify(tree), bytes)).toMatchObject({ kind: "violated" });
  });
});
