// The compiled policy against a naive one: every rule in order, every condition by its definition, no index, nothing prepared.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compilePolicy } from "./compile.ts";
import type { PolicyInput } from "./decision.ts";
import { MATCH_ALL, type Match, type PolicyDocument, type Rule, type TenantPolicy } from "./document.ts";
import { evaluate } from "./evaluate.ts";
import { explain } from "./explain.ts";
import { parseGlob } from "./glob.ts";

const same = (a: string, b: string): boolean => a.trim().toLowerCase() === b.trim().toLowerCase() && a.trim() !== "";
const among = (names: readonly string[], value: string): boolean => names.some((name) => same(name, value));
const globMatches = (pattern: string, topic: string): boolean => {
  const glob = parseGlob(pattern);
  return glob.kind === "glob" && glob.matches(topic);
};

function naivelyMatches(match: Match, input: PolicyInput, tenant: string): boolean {
  const label = (name: string): string => (Object.hasOwn(input.labels, name) ? (input.labels[name] ?? "") : "");
  const secrets = input.riskTags.some((tag) => same(tag, "secrets")) || label("secrets_present") === "true";
  const actor = input.actorId.trim() === "" ? input.principal : input.actorId;
  const single: readonly (readonly [readonly string[], string])[] = [
    [match.tenants, tenant],
    [match.capabilities, input.capability],
    [match.packIds, input.packId],
    [match.actorIds, actor],
    [match.actorTypes, input.actorType],
  ];
  return (
    single.every(([names, value]) => names.length === 0 || among(names, value)) &&
    (match.topics.length === 0 || match.topics.some((pattern) => globMatches(pattern, input.topic.trim()))) &&
    (match.riskTags.length === 0 || match.riskTags.some((tag) => among(input.riskTags, tag))) &&
    match.requires.every((name) => among(input.requires, name)) &&
    match.labels.every((pair) => label(pair.label) === pair.value) &&
    (match.secretsPresent === undefined || match.secretsPresent === secrets)
  );
}

function naively(document: PolicyDocument, input: PolicyInput): string {
  const topic = input.topic.trim();
  if (!topic.startsWith("job.")) return "deny ";
  const tenant = [input.tenant, document.defaultTenant, "default"].find((name) => name.trim() !== "") ?? "";
  const policies = document.tenants.filter(({ name }) => same(name, tenant));
  const denied = policies.flatMap(({ denyTopics }) => denyTopics).some((pattern) => globMatches(pattern, topic));
  if (denied) return "deny tenant";
  const allowed = policies.flatMap(({ allowTopics }) => allowTopics).some((pattern) => globMatches(pattern, topic));
  if (policies.some(({ restrict }) => restrict) && !allowed) return "deny tenant";
  const rule = document.rules.find(({ match }) => naivelyMatches(match, input, tenant));
  if (rule !== undefined) return `${rule.decision} ${rule.id}`;
  return allowed ? "allow tenant" : `${document.defaultDecision ?? "allow"} `;
}

function compiled(document: PolicyDocument, input: PolicyInput): string {
  const { kind, ruleId } = evaluate(compilePolicy(document), input);
  return `${kind} ${ruleId.startsWith("legacy:") ? "tenant" : ruleId}`;
}

const name = fc.constantFrom("a", "B", "b", " b ", "é", "secrets", "__proto__");
const names = fc.array(name, { maxLength: 2 });
const topic = fc.constantFrom("job.a", "job.a.b", "job.b", "job.b.c.d", "job.", "job.a/b", "job.__proto__", " job.a ");
const pattern = fc.constantFrom(
  "job.*",
  "job.a",
  "job.a.*",
  "job.b.c.*",
  "*",
  "job.?",
  "j*b.a",
  "*.b",
  "job.*.b",
  "*.a?b.d",
  "job.[ab]",
  "job.__proto__",
);
const patterns = fc.array(pattern, { maxLength: 2 });

const match: fc.Arbitrary<Match> = fc
  .record(
    {
      tenants: names,
      topics: patterns,
      capabilities: names,
      riskTags: names,
      requires: names,
      packIds: names,
      actorIds: names,
      actorTypes: fc.constantFrom([], ["human"], ["service", "human"]),
      labels: fc.array(fc.record({ label: name, value: fc.constantFrom("", "x") }), { maxLength: 1 }),
      secretsPresent: fc.boolean(),
    },
    { requiredKeys: [] },
  )
  .map((some) => ({ ...MATCH_ALL, ...some }));
const rules: fc.Arbitrary<readonly Rule[]> = fc
  .array(
    fc.record({
      match,
      decision: fc.constantFrom("allow" as const, "deny" as const, "require_approval" as const, "throttle" as const),
    }),
    { maxLength: 12 },
  )
  .map((all) => all.map((rule, index) => ({ ...rule, id: `r${index}`, reason: "", remediations: [] })));
const tenant: fc.Arbitrary<TenantPolicy> = fc.record({
  name,
  allowTopics: patterns,
  denyTopics: patterns,
  restrict: fc.boolean(),
});
const document: fc.Arbitrary<PolicyDocument> = fc.record({
  version: fc.constant(""),
  defaultTenant: fc.constantFrom("", "b"),
  rules,
  tenants: fc.array(tenant, { maxLength: 2 }),
});
const maybe = fc.oneof(fc.constant(""), name);
const request: fc.Arbitrary<PolicyInput> = fc.record({
  jobId: fc.constant("j"),
  topic,
  tenant: maybe,
  principal: maybe,
  actorId: maybe,
  actorType: fc.constantFrom("" as const, "human" as const, "service" as const),
  capability: maybe,
  packId: maybe,
  riskTags: fc.array(name, { maxLength: 3 }),
  requires: fc.array(name, { maxLength: 3 }),
  labels: fc.dictionary(name, fc.constantFrom("", "x")),
});

describe("properties of judging", () => {
  it("decides as the naive reference does", () => {
    fc.assert(
      fc.property(document, request, (policy, input) => {
        expect(compiled(policy, input)).toBe(naively(policy, input));
      }),
      { numRuns: 5000 },
    );
  });

  it("explains what it decides, with the matching rule last", () => {
    fc.assert(
      fc.property(document, request, (document, input) => {
        const policy = compilePolicy(document);
        const { decision, by, considered } = explain(policy, input);
        expect(decision).toEqual(evaluate(policy, input));
        expect(considered.filter(({ outcome }) => outcome === "matched")).toHaveLength(by === "rule" ? 1 : 0);
        if (by === "rule") expect(considered.at(-1)).toMatchObject({ outcome: "matched", ruleId: decision.ruleId });
      }),
    );
  });

  it("never throws, whatever the strings are", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.constantFrom("__proto__", "constructor", "toString", "\ud800", "İıſß", `job.${"x.".repeat(5000)}`),
    );
    const texts = fc.array(text, { maxLength: 4 });
    const hostile: fc.Arbitrary<PolicyInput> = fc.record({
      jobId: text,
      topic: fc.oneof(
        text,
        text.map((rest) => `job.${rest}`),
      ),
      tenant: text,
      principal: text,
      actorId: text,
      actorType: fc.constantFrom("" as const, "human" as const),
      capability: text,
      packId: text,
      riskTags: texts,
      requires: texts,
      labels: fc.dictionary(fc.oneof(text, fc.constantFrom("mcp.tool", "mcpAction", "secrets_present")), text),
      effectiveConfig: fc.oneof(
        fc.constant("malformed" as const),
        fc.dictionary(fc.constantFrom("safety", "data"), fc.jsonValue()),
      ),
    });
    fc.assert(
      fc.property(document, hostile, (document, input) => {
        const policy = compilePolicy(document);
        expect(evaluate(policy, input)).toEqual(evaluate(policy, input));
        explain(policy, input);
      }),
    );
  });
});
