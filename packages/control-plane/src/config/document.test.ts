import { describe, expect, it } from "vitest";
import type { JsonObject } from "../ports/json.ts";
import { addressOf, checkDocument, patched, type Scope } from "./document.ts";

const check = (scope: Scope, data: JsonObject | null, scopeId = "x", meta: Record<string, string> = {}) =>
  checkDocument({ ...addressOf(scope, scopeId, "acme"), data, meta });
const deep = (levels: number): JsonObject => (levels === 1 ? {} : { a: deep(levels - 1) });

describe("documents of configuration", () => {
  it("D1 of scope system are nobody's, all others the tenant's, and an org's id is its tenant", () => {
    expect(addressOf("system", "", "acme")).toEqual({ tenant: "", scope: "system", scopeId: "default" });
    expect(addressOf("system", "packs", "acme")).toEqual({ tenant: "", scope: "system", scopeId: "packs" });
    expect(addressOf("org", "", "acme")).toEqual({ tenant: "acme", scope: "org", scopeId: "acme" });
    expect(addressOf("team", "red", "acme")).toEqual({ tenant: "acme", scope: "team", scopeId: "red" });
  });

  it.each([
    ["team", "", "scope_id required for non-system scope"],
    ["step", "x".repeat(513), "scope_id must be text"],
    ["workflow", "\ud800", "scope_id must be text"],
  ] as const)("have an id: %s %j", (scope, id, says) => {
    expect(() => addressOf(scope, id, "acme")).toThrow(says);
  });

  it.each<[string, JsonObject]>([
    ["data.safety", { safety: { denied_topics: "job.*" } }],
    ["data.safety", { safety: [] }],
    ["data.safety", { data: { safety: { allowed_topics: [1] } } }],
    ["data.safety", { safety: { mcp: { allow_tools: {} } } }],
    ["data", { limits: [] }],
    ["data", { limits: { max_concurrent_jobs: -1 } }],
    ["data", { limits: { max_concurrent_runs: "many" } }],
    ["data", { rate_limits: { queue_size: 1.5 } }],
    ["data.topics", { topics: [] }],
    ["data.topics", { topics: { "job.x": { input_schema_id: 7 } } }],
    ["data.topics", { topics: { "job.x": "acme/In" } }],
  ])("D2 refuse what would be misunderstood: %s %j", (field, data) => {
    for (const scope of ["system", "org", "team", "workflow", "step"] as const)
      expect(() => check(scope, data, scope === "system" ? "default" : "x")).toThrow(
        expect.objectContaining({ code: "CONFIG_SCHEMA_VIOLATION", fields: [expect.objectContaining({ field })] }),
      );
  });

  it("refuse policy bundles among the defaults, and let them lie where policy looks for them", () => {
    expect(() => check("system", { bundles: {} }, "default")).toThrow(
      expect.objectContaining({ code: "CONFIG_KEY_FORBIDDEN" }),
    );
    check("system", { bundles: {} }, "policy");
    expect(() => check("system", { "job.x": { input_schema_id: 7 } }, "topics")).toThrow("input_schema_id");
  });

  it("D3 have a size: small where they reach workers, pools and the like not counted", () => {
    const text = (bytes: number) => ({ a: "x".repeat(bytes - '{"a":""}'.length) });
    for (const [scope, most] of [
      ["system", 16_384],
      ["org", 12_288],
      ["team", 8_192],
      ["workflow", 8_192],
      ["step", 4_096],
    ] as const) {
      const id = scope === "system" ? "default" : "x";
      check(scope, { ...text(most), pools: { p: "x".repeat(50_000) } }, id);
      expect(() => check(scope, text(most + 1), id)).toThrow(
        expect.objectContaining({ code: "PAYLOAD_TOO_LARGE", fields: [expect.objectContaining({ field: "data" })] }),
      );
    }
    check("system", text(524_288), "packs");
    expect(() => check("system", text(524_289), "packs")).toThrow("at most 524288");
    // What workers get is counted as they get it: six bytes for each sign that is escaped.
    expect(() => check("step", { a: "<".repeat(700) })).toThrow("at most 4096");
  });

  it("are nested so deep and no deeper, however deep they are", () => {
    check("org", deep(32));
    expect(() => check("org", deep(33))).toThrow("nested deeper than 32");
    let abyss: JsonObject = {};
    for (let level = 0; level < 100_000; level++) abyss = { a: abyss };
    expect(() => check("org", abyss)).toThrow("nested deeper");
  });

  it("come back as they went, or are refused", () => {
    expect(() => check("org", { a: ["\ud800"] })).toThrow("half a character");
    expect(() => check("org", { "\udc00": 1 })).toThrow("half a character");
    expect(() => check("org", { a: JSON.parse("1e400") })).toThrow("too large");
    check("org", null);
  });

  it("have so many notes and no more", () => {
    const notes = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, at) => [`n${at}`, "x"]));
    check("org", {}, "", notes(50));
    expect(() => check("org", {}, "", notes(51))).toThrow("at most 50 entries");
    expect(() => check("org", {}, "", { a: "x".repeat(16_384) })).toThrow("16384 bytes");
  });

  it("D4 are patched member by member, and no name reaches a prototype", () => {
    const patch: JsonObject = JSON.parse('{"__proto__": {"hit": true}, "b": {"y": 1}}');
    const after = patched({ a: 1, b: { x: 1 } }, patch);
    expect(JSON.stringify(after)).toBe('{"a":1,"b":{"y":1},"__proto__":{"hit":true}}');
    expect([Object.getPrototypeOf(after), Reflect.get({}, "hit")]).toEqual([Object.prototype, undefined]);
  });
});
