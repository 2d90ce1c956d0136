import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Fault } from "../ports/fault.ts";
import { compilePolicy } from "./compile.ts";
import type { PolicyDocument } from "./document.ts";
import { parsePolicy } from "./language.ts";

function faultsOf(text: string): readonly string[] {
  try {
    parsePolicy(text);
  } catch (error) {
    if (error instanceof Fault && error.code === "POLICY_INVALID") {
      return error.fields.map(({ field, reason }) => `${field} @${reason}`);
    }
    throw error;
  }
  return [];
}

function policyOf(text: string): PolicyDocument {
  const { policy } = parsePolicy(text);
  if (policy === "none") throw new Error("nothing loaded");
  return policy;
}

const warningsOf = (text: string): readonly string[] =>
  parsePolicy(text).warnings.map(({ code, path, line, column }) => `${code} ${path} ${line}:${column}`);

const rule = (fields: string): string => `rules:\n  - decision: deny\n    ${fields.replaceAll("\n", "\n    ")}\n`;

describe("the table of cases", () => {
  it("takes an empty file as no policy", () => {
    expect(parsePolicy("")).toEqual({ policy: "none", warnings: [] });
  });

  it.each([
    ["only comments", "# nothing\n"],
    ["only blanks", "\n \n"],
    ["null", "null\n"],
    ["a list", "- a\n"],
    ["a text", "allow everything\n"],
  ])("refuses a document that is %s", (_, text) => {
    expect(faultsOf(text)).toEqual([expect.stringContaining("a policy is a mapping")]);
  });

  it.each([
    ["rules:\n", "rules @1:7: expected a list, got nothing"],
    ["tenants:\n", "tenants @1:9: expected a mapping, got nothing"],
    [rule("match:"), "rules[0].match @3:11: expected a mapping, got nothing"],
    ["version: 1\n", "version @1:10: expected a text, got 1"],
    ["rules: [{decision: deny, colour: red}]", /^rules\[0\]\.colour @1:26: unknown key; known are match, /],
    [rule("match: {labels: {a: true}}"), "rules[0].match.labels.a @3:25: expected a text, got true"],
    [rule("match: {labels: {a: 5}}"), "rules[0].match.labels.a @3:25: expected a text, got 5"],
    [rule("match: {topics: job.a}"), 'rules[0].match.topics @3:21: expected a list of texts, got the text "job.a"'],
    [rule("match: {risk_tags: [1]}"), "rules[0].match.risk_tags[0] @3:25: expected a text, got 1"],
    [rule("match: {secrets_present: yes}"), /expected true or false, got the text "yes"/],
    [
      rule("constraints: {budgets: {max_retries: -1}}"),
      /max_retries @3:42: expected a whole number from 0 to 2147483647, got -1/,
    ],
    [rule("constraints: {budgets: {max_retries: 2147483648}}"), /max_retries .*got 2147483648/],
    [rule("constraints: {budgets: {max_runtime_ms: 1.5}}"), /max_runtime_ms .*got 1.5/],
    [rule("constraints: {budgets: {max_runtime_ms: .nan}}"), /max_runtime_ms .*got NaN/],
    [rule("constraints: {diff: {max_files: -2}}"), /max_files .*got -2/],
    [rule("remediations: [{add_labels: {a: 1}}]"), /remediations\[0\]\.add_labels\.a .*expected a text, got 1/],
    [rule("remediations: [{add_labels: {__proto__: x}}]"), /reserved/],
    ["rules: [{decision: ''}]", /^rules\[0\]\.decision @1:20: expected one of allow, permit, deny/],
    ["rules: [{decision: Deny}]", /expected one of/],
    ["rules: [{decision: null}]", /expected one of .*, got nothing/],
    ["rules: [5]", "rules[0] @1:9: expected a mapping, got 5"],
    ["a: 1\nrules: []\na: 2\n", "a @3:1: this key occurs twice"],
    ["tenants: {a: {max_concurrent_jobs: -1}}", /max_concurrent_jobs/],
    ["default_decision: maybe", 'default_decision @1:19: expected one of allow, deny, got the text "maybe"'],
    [
      "rules: [{match: {topics: ['job.[a']}, decision: deny}]",
      /^rules\[0\]\.match\.topics\[0\] @1:27: malformed pattern: a class is not closed/,
    ],
    ["rules: [{match: {topics: ['']}, decision: deny}]", /an empty pattern matches nothing/],
    ["tenants: {a: {deny_topics: ['[']}}", /^tenants\.a\.deny_topics\[0\]/],
    ["tenants: {a: {restrict: true}}", /^tenants\.a\.restrict @1:15: `restrict` needs allow_topics/],
    ["rules: [{decision: throttle, retry_after_ms: 999}]", /from 1000 to 3600000, got 999/],
    ["strict: true\nrules: [{id: a}]", /^rules\[0\]\.decision @2:9: a rule needs a decision/],
    ["strict: true\nrulez: []", /^rulez @2:1: unknown key$/],
    ["rules: [*x]", /x/],
  ])("refuses %s", (text, says) => {
    const faults = faultsOf(text);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(says instanceof RegExp ? says : new RegExp(`^${RegExp.escape(says)}$`));
  });

  it("reports all faults at once, in the order of the file", () => {
    const text =
      "version: 2\nrules:\n- decision: nope\n  id: 7\n- match: {topics: ['[']}\n  decision: deny\ntenants: []\n";
    expect(faultsOf(text).map((fault) => fault.split(" ")[0])).toEqual([
      "version",
      "rules[0].decision",
      "rules[0].id",
      "rules[1].match.topics[0]",
      "tenants",
    ]);
  });

  it("names the first fault and the number of the others in the message", () => {
    expect(() => parsePolicy("version: 2\nrules: 5\n")).toThrow(
      "policy is invalid at 1:10: version: expected a text, got 2 (and 1 more)",
    );
  });
});

describe("reading", () => {
  it("reads the example of the format", () => {
    const policy = policyOf(`version: v1
default_tenant: default
rules:
  - id: acme.delete-needs-human
    match:
      topics: ["job.acme.*"]
      risk_tags: [destructive]
    decision: require_approval
    reason: destructive change
    remediations:
      - id: archive
        title: Archive instead
        replacement_topic: job.acme.archive
        replacement_capability: acme.archive
        add_labels: {mode: archive}
        remove_labels: [force]
  - id: acme.default
    match: {topics: ["job.acme.*"], pack_ids: [acme]}
    decision: allow_with_constraints
    constraints:
      budgets: {max_runtime_ms: 60000, max_retries: 2}
      sandbox: {isolated: true, network_allowlist: ["*.acme.test"]}
tenants:
  default:
    deny_topics: ["job.legacy.*"]
    mcp: {deny_tools: [shell]}
`);
    expect(policy).toMatchObject({ version: "v1", defaultTenant: "default" });
    expect(policy.rules).toMatchObject([
      {
        id: "acme.delete-needs-human",
        decision: "require_approval",
        remediations: [{ id: "archive", addLabels: { mode: "archive" } }],
      },
      {
        constraints: {
          budgets: { maxRuntimeMs: 60_000, maxRetries: 2 },
          sandbox: { isolated: true, networkAllowlist: ["*.acme.test"] },
        },
      },
    ]);
    expect(policy.tenants).toMatchObject([
      { name: "default", denyTopics: ["job.legacy.*"], restrict: false, mcp: { tool: { deny: ["shell"] } } },
    ]);
  });

  it.each([
    ["allow", "allow"],
    ["permit", "allow"],
    ["deny", "deny"],
    ["block", "deny"],
    ["require_approval", "require_approval"],
    ["require-approval", "require_approval"],
    ["require_human", "require_approval"],
    ["throttle", "throttle"],
    ["allow_with_constraints", "allow_with_constraints"],
    ["allow-with-constraints", "allow_with_constraints"],
  ])("reads the decision %s", (written, kind) => {
    expect(policyOf(`rules: [{decision: ${written}}]`).rules[0]?.decision).toBe(kind);
  });

  it("leaves out zero, empty and blank constraints", () => {
    const text = rule(
      "constraints: {budgets: {max_retries: 0}, sandbox: {isolated: false, fs_read_only: []}, diff: {}, redaction_level: ' '}",
    );
    expect(policyOf(text).rules[0]).not.toHaveProperty("constraints");
  });

  it("reads yes and on as texts, also under a directive for YAML 1.1", () => {
    expect(
      policyOf("%YAML 1.1\n---\nrules: [{decision: deny, reason: yes, match: {labels: {on: off}}}]").rules[0],
    ).toMatchObject({
      reason: "yes",
      match: { labels: [{ label: "on", value: "off" }] },
    });
  });

  it("follows aliases", () => {
    const text = "rules:\n- {decision: deny, match: {topics: &t [job.a]}}\n- {decision: allow, match: {topics: *t}}\n";
    expect(policyOf(text).rules[1]?.match.topics).toEqual(["job.a"]);
  });

  it("reads Windows line ends and a byte order mark", () => {
    expect(policyOf("\uFEFFversion: v1\r\nrules:\r\n  - id: a\r\n    decision: deny\r\n").rules[0]?.id).toBe("a");
  });
});

describe("warnings", () => {
  it.each([
    ["rules: [{match: {mcp: {deny_tools: [x]}}, decision: deny}]", ["rule_only_mcp rules[0].match.mcp 1:10"]],
    ["rules: [{match: {mcp: {used: true, deny_tools: [x]}}, decision: deny}]", []],
    ["rules: [{match: {topics: [job.a], mcp: {deny_tools: [x]}}, decision: deny}]", []],
    ["rules:\n- id: a\n", ["decision_missing rules[0].decision 2:3"]],
    ["rules:\n- {id: a, decision: deny}\n- {id: a, decision: allow}\n", ["rule_id_repeated rules[1].id 3:4"]],
    ["rules:\n- {decision: deny}\n- {decision: allow}\n", []],
    ["tenants: {a: {allow_topics: ['job.*']}}", ["allow_topics_never_restrict tenants.a.allow_topics 1:15"]],
    ["tenants: {a: {allow_topics: ['job.*'], restrict: true}}", []],
    ["default_decision: deny\ntenants: {a: {allow_topics: ['job.*']}}", []],
    [
      "tenants: {a: {allowed_repo_hosts: [x], denied_repo_hosts: []}}",
      ["not_enforced tenants.a.allowed_repo_hosts 1:15"],
    ],
    ["tenants: {a: {max_concurrent_jobs: 3}}", []],
    ["tenants: {Acme: {}, acme: {}}", ["tenant_repeated tenants 1:1"]],
    ["rulez: []\n", ["unknown_key rulez 1:1"]],
    ["rules: []\n---\nrules: []\n", ["extra_documents  2:1"]],
    ["rules: [{decision: deny, retry_after_ms: 2000}]", ["no_effect rules[0].retry_after_ms 1:26"]],
    ["rules: [{decision: deny, match: {topics: [job.acme.>]}}]", ["topic_unreachable rules[0].match.topics[0] 1:43"]],
    [
      "rules: [{decision: deny, match: {topics: [acme.*, 'j*', job.x, job]}}]",
      ["topic_unreachable rules[0].match.topics[0] 1:43", "topic_unreachable rules[0].match.topics[3] 1:64"],
    ],
  ])("%s", (text, expected) => {
    expect(warningsOf(text)).toEqual(expected);
  });
});

describe("hostile files", () => {
  const tooDeep = "[".repeat(20_000);
  const bomb = [
    "a: &a [x,x,x,x,x,x,x,x,x,x]",
    ..."bcdefghi".split("").map((name, i) => `${name}: &${name} [${Array(10).fill(`*${"abcdefghi"[i]}`)}]`),
  ];

  it.each([
    ["larger than the limit", `# ${"x".repeat(1_048_576)}\n`, "larger than 1048576 bytes"],
    ["nested too deeply", tooDeep, "nested too deeply"],
    ["deeper than 32 levels", `a: ${"[".repeat(40)}${"]".repeat(40)}`, "nested deeper than 32 levels"],
    ["an alias of its own parent", "a: &a [*a]", "nested deeper than 32 levels"],
    ["an alias bomb", bomb.join("\n"), "more than 200000 values"],
    ["an unknown tag", "rules: !!python/object []", "tag"],
    ["a key that is a list", "? [a]\n: b", "a key must be a plain text"],
  ])("%s", (_, text, says) => {
    expect(faultsOf(text).join("\n")).toContain(says);
  });

  it("lists a hundred faults and counts the rest", () => {
    const text = `rules: [${"5,".repeat(500)}]`;
    expect(faultsOf(text)).toHaveLength(100);
    expect(() => parsePolicy(text)).toThrow("(and 499 more)");
  });

  it("compiles lists as long as a file can hold", () => {
    const items = Array.from({ length: 150_000 }, (_, i) => `x${i.toString(36)}`).join(",");
    const policy = policyOf(`rules: [{decision: deny, match: {risk_tags: [${items}]}}]`);
    expect(compilePolicy(policy).rules).toHaveLength(1);
  });

  it("does not touch the prototype", () => {
    expect(faultsOf("tenants: {__proto__: {polluted: true}}")).toHaveLength(1);
    expect(policyOf("tenants: {__proto__: {deny_topics: [job.a]}}").tenants[0]?.name).toBe("__proto__");
    expect("polluted" in {}).toBe(false);
  });

  it("finds 20,000 aliases in one walk", () => {
    const text = `x:\n${Array.from({ length: 20_000 }, (_, i) => `- &a${i} x\n- *a${i}`).join("\n")}\nrules: []\n`;
    expect(policyOf(text).rules).toEqual([]);
  });

  it("answers any text with a policy or a fault", () => {
    const fragment = fc.constantFrom(
      "rules:",
      "\n",
      "  ",
      "- ",
      "match:",
      "topics: ",
      "[",
      "]",
      "{",
      "}",
      "*a",
      "&a",
      "'",
      '"',
      ": ",
      "|",
      "decision: deny",
      "tenants:",
      "? ",
      "!!str ",
      "\t",
      "\0",
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(fragment, { maxLength: 30 }).map((parts) => parts.join("")),
        ),
        (text) => {
          faultsOf(text);
        },
      ),
      { numRuns: 2000 },
    );
  });
});
