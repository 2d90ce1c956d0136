// docs/reference/policy.md against the reader of policy files: it names every key, and what it shows is read.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parsePolicy } from "../packages/control-plane/src/policy/language.ts";
import { Fault } from "../packages/control-plane/src/ports/fault.ts";

const page = readFileSync(join(import.meta.dirname, "..", "docs/reference/policy.md"), "utf8");
const [, example = ""] = /^```yaml\n([\s\S]*?)^```$/m.exec(page) ?? [];
/** Keys in the first column of any table. */
const documented = new Set(
  page
    .split("\n")
    .flatMap((line) =>
      [...(/^\| (`[^|]*)\|/.exec(line)?.[1] ?? "").matchAll(/`(?:\w+\.)*(\w+)`/g)].map(([, key]) => key),
    ),
);

/** One mapping of each kind, with a key that none has. */
const MAPPINGS = {
  rule: "rules: [{zz: 1}]",
  match: "rules: [{match: {zz: 1}}]",
  mcp: "rules: [{match: {mcp: {zz: 1}}}]",
  constraints: "rules: [{constraints: {zz: 1}}]",
  budgets: "rules: [{constraints: {budgets: {zz: 1}}}]",
  sandbox: "rules: [{constraints: {sandbox: {zz: 1}}}]",
  toolchain: "rules: [{constraints: {toolchain: {zz: 1}}}]",
  diff: "rules: [{constraints: {diff: {zz: 1}}}]",
  remediation: "rules: [{remediations: [{zz: 1}]}]",
  tenant: "tenants: {a: {zz: 1}}",
};
const PARTS = ["budgets", "sandbox", "toolchain", "diff"];

function keysOf(policy: string): readonly string[] {
  try {
    parsePolicy(policy);
  } catch (error) {
    const [, known = ""] = /known are ([\w, ]+)/.exec(error instanceof Fault ? JSON.stringify(error.fields) : "") ?? [];
    return known.split(", ").filter((key) => key !== "");
  }
  return [];
}

describe("docs/reference/policy.md", () => {
  it("shows a policy that is read without a warning", () => {
    const { policy, warnings } = parsePolicy(example);
    expect(warnings).toEqual([]);
    expect(policy).toMatchObject({ rules: { length: 5 }, tenants: { length: 1 } });
  });

  it.each(Object.entries(MAPPINGS))("names every key of a %s", (_, policy) => {
    const keys = keysOf(policy);
    expect(keys.length).toBeGreaterThan(1);
    expect(keys.filter((key) => !documented.has(key) && !PARTS.includes(key))).toEqual([]);
  });

  it("names the keys of the file in its example", () => {
    const top = [...example.matchAll(/^(\w+):/gm)].map(([, key]) => key);
    expect(top.filter((key) => !documented.has(key))).toEqual([]);
    expect(top).toHaveLength(6);
  });
});
