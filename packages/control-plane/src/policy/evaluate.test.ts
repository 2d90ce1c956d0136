import { describe, expect, it } from "vitest";
import { POLICY_INPUT } from "../testing/blanks.ts";
import { compilePolicy } from "./compile.ts";
import type { PolicyInput } from "./decision.ts";
import { evaluate } from "./evaluate.ts";
import { explain } from "./explain.ts";
import { parsePolicy } from "./language.ts";

type Ask = Partial<PolicyInput>;
const input = (ask: Ask): PolicyInput => ({ ...POLICY_INPUT, tenant: "default", ...ask });

function compiled(text: string): ReturnType<typeof compilePolicy> {
  const { policy } = parsePolicy(text);
  if (policy === "none") throw new Error("nothing loaded");
  return compilePolicy(policy);
}
/** `kind ruleId reason` */
const judge = (text: string, ask: Ask): string => {
  const { kind, ruleId, reason } = evaluate(compiled(text), input(ask));
  return [kind, ruleId, reason].filter((part) => part !== "").join(" ");
};
/** Decision of a policy that denies what matches and allows the rest. */
const matches = (match: string, ask: Ask): boolean =>
  judge(`rules: [{decision: deny, match: ${match}}]`, ask) === "deny";

describe("order of checks", () => {
  const EMPTY = "rules: []";

  it.each([
    ["", "deny missing topic"],
    ["  ", "deny missing topic"],
    ["sys.job.submit", "deny unsupported topic"],
    ["job", "deny unsupported topic"],
    ["Job.a", "deny unsupported topic"],
    [" job.a ", "allow"],
  ])("topic %j: %s", (topic, expected) => {
    expect(judge(EMPTY, { topic })).toBe(expected);
    expect(evaluate(compiled(EMPTY), input({ topic })).snapshot === "").toBe(expected !== "allow");
  });

  it("lets the first rule decide", () => {
    const text =
      "rules: [{id: a, match: {topics: [job.b]}, decision: deny}, {id: b, decision: throttle, reason: slow}, {id: c, decision: deny}]";
    expect(judge(text, {})).toBe("throttle b slow");
  });

  it("keeps the reason of rules that allow", () => {
    expect(judge("rules: [{id: a, decision: allow, reason: known good}]", {})).toBe("allow a known good");
  });

  it("turns an allow with constraints into the decision that carries them, and keeps an empty one", () => {
    const text =
      "rules: [{match: {topics: [job.a]}, decision: allow, constraints: {budgets: {max_retries: 1}}}, {decision: allow_with_constraints}]";
    expect(evaluate(compiled(text), input({}))).toMatchObject({
      kind: "allow_with_constraints",
      constraints: { budgets: { maxRetries: 1 } },
    });
    expect(evaluate(compiled(text), input({ topic: "job.b" }))).toMatchObject({
      kind: "allow_with_constraints",
      constraints: {},
    });
  });

  it("throttles for five seconds unless the rule says otherwise", () => {
    const text = "rules: [{match: {topics: [job.a]}, decision: throttle}, {decision: throttle, retry_after_ms: 60000}]";
    expect(evaluate(compiled(text), input({}))).toMatchObject({ retryAfterMs: 5_000 });
    expect(evaluate(compiled(text), input({ topic: "job.b" }))).toMatchObject({ retryAfterMs: 60_000 });
  });

  it.each([
    ["rules: []", "allow"],
    ["default_decision: allow", "allow no matching rule — default policy: allow"],
    ["default_decision: deny", "deny no matching rule — default policy: deny"],
  ])("%s, nothing matches: %s", (text, expected) => {
    expect(judge(text, {})).toBe(expected);
  });
});

describe("tenants", () => {
  const text = `
rules: [{id: all, decision: allow}]
tenants:
  Acme: {deny_topics: ["job.x.*", job.a], allow_topics: ["job.*"], mcp: {deny_tools: [shell]}}
  closed: {allow_topics: [job.ok], restrict: true}
`;
  it.each<[Ask, string]>([
    [{ tenant: "acme" }, 'deny legacy:Acme:deny:2 topic "job.a" denied by tenant policy'],
    [{ tenant: "ACME", topic: "job.x.y.z" }, 'deny legacy:Acme:deny:1 topic "job.x.*" denied by tenant policy'],
    [{ tenant: "acme", topic: "job.b" }, "allow all"],
    [{ tenant: "acme", topic: "job.b", labels: { mcp_tool: "Shell" } }, 'deny all mcp tool "Shell" denied'],
    [{ tenant: "closed" }, "deny legacy:closed:restrict topic not allowed by tenant policy"],
    [{ tenant: "closed", topic: "job.ok" }, "allow all"],
    [{ tenant: "other" }, "allow all"],
  ])("%j: %s", (ask, expected) => {
    expect(judge(text, ask)).toBe(expected);
  });

  it("uses allow lists when no rule matches", () => {
    const lists = "default_decision: deny\ntenants: {default: {allow_topics: [job.a]}}";
    expect(judge(lists, {})).toBe("allow legacy:default:allow:1");
    expect(judge(lists, { topic: "job.b" })).toBe("deny no matching rule — default policy: deny");
  });

  it("applies the lists of both names that differ only in case", () => {
    const both =
      "tenants: {Acme: {deny_topics: [job.a], mcp: {deny_tools: [x]}}, acme: {deny_topics: [job.b], mcp: {deny_servers: [y]}}}";
    expect(judge(both, { tenant: "acme" })).toMatch(/^deny/);
    expect(judge(both, { tenant: "Acme", topic: "job.b" })).toMatch(/^deny/);
    expect(judge(both, { tenant: "Acme", topic: "job.c", labels: { mcp_tool: "x" } })).toMatch(/^deny/);
    expect(judge(both, { tenant: "Acme", topic: "job.c", labels: { mcp_server: "y" } })).toMatch(/^deny/);
  });

  it.each([
    ["", "default_tenant: acme\ntenants: {acme: {deny_topics: [job.a]}}", "deny"],
    ["  ", "tenants: {default: {deny_topics: [job.a]}}", "deny"],
    ["other", "default_tenant: acme\ntenants: {acme: {deny_topics: [job.a]}}", "allow"],
  ])("resolves tenant %j", (tenant, policy, kind) => {
    expect(judge(policy, { tenant }).split(" ")[0]).toBe(kind);
  });

  it("asks nobody for approval of what a tenant's MCP list denies", () => {
    const approval =
      "rules: [{id: a, decision: require_approval, constraints: {budgets: {max_retries: 1}}, remediations: [{id: r}]}]\ntenants: {default: {mcp: {allow_servers: [good]}}}";
    const decision = evaluate(compiled(approval), input({ labels: { mcp_tool: "t" } }));
    expect(decision).toMatchObject({
      kind: "deny",
      ruleId: "a",
      reason: 'mcp server "" not allowed',
      remediations: [{ id: "r" }],
    });
  });
});

describe("conditions", () => {
  it.each<[string, Ask, boolean]>([
    ["{tenants: [DEFAULT]}", {}, true],
    ["{tenants: [acme]}", {}, false],
    ["{topics: [job.b, 'job.?']}", {}, true],
    ["{topics: [JOB.A]}", {}, false],
    ["{capabilities: [' Repo.Write ']}", { capability: "repo.write" }, true],
    ["{capabilities: [a]}", {}, false],
    ["{capabilities: ['']}", {}, false],
    ["{capabilities: []}", {}, true],
    ["{risk_tags: [write, secrets]}", { riskTags: ["read", "WRITE"] }, true],
    ["{risk_tags: [write]}", { riskTags: [""] }, false],
    ["{requires: [git, docker]}", { requires: ["docker", "Git", "x"] }, true],
    ["{requires: [git, docker]}", { requires: ["git"] }, false],
    ["{pack_ids: [p]}", { packId: "P" }, true],
    ["{actor_ids: [alice]}", {}, true],
    ["{actor_ids: [alice]}", { actorId: "bob" }, false],
    ["{actor_types: [human]}", { actorType: "human" }, true],
    ["{actor_types: [human, service]}", {}, false],
    ["{actor_types: ['']}", {}, false],
    ["{labels: {env: prod}}", { labels: { env: "prod" } }, true],
    ["{labels: {env: prod}}", { labels: { env: "Prod" } }, false],
    ["{labels: {env: prod, a: b}}", { labels: { env: "prod" } }, false],
    ["{labels: {env: ''}}", {}, true],
    ["{labels: {env: ''}}", { labels: { other: "x" } }, true],
    ["{labels: {env: ''}}", { labels: { env: "x" } }, false],
    ["{labels: {constructor: ''}}", {}, true],
    ["{secrets_present: true}", { riskTags: ["Secrets"] }, true],
    ["{secrets_present: true}", { labels: { secrets_present: "YES" } }, true],
    ["{secrets_present: true}", { labels: { secrets_present: "TRUE" } }, false],
    ["{secrets_present: true}", { riskTags: ["secrets"], labels: { secrets_present: "false" } }, true],
    ["{secrets_present: false}", { riskTags: ["secrets"], labels: { secrets_present: "false" } }, false],
    ["{secrets_present: false}", {}, true],
    ["{tenants: [straße]}", { tenant: "STRASSE" }, false],
    ["{tenants: [ΣΟΦΟΣ]}", { tenant: "σοφος" }, true],
    ["{tenants: [ſ]}", { tenant: "S" }, true],
  ])("%s on %j: %s", (match, ask, expected) => {
    expect(matches(match, ask)).toBe(expected);
  });

  it.each<[string, { readonly [label: string]: string }, boolean]>([
    ["{deny_tools: [shell]}", {}, true],
    ["{deny_tools: [shell]}", { mcp_tool: "shell" }, false],
    ["{deny_tools: [shell]}", { mcpServer: "s" }, true],
    ["{allow_tools: [shell]}", { mcpTool: "Shell" }, true],
    ["{allow_tools: [shell]}", { "mcp.server": "s" }, false],
    ["{allow_actions: [read]}", { mcp_action: "READ" }, true],
    ["{allow_servers: [a], deny_servers: [a]}", { mcp_server: "a" }, false],
    ["{used: true}", {}, false],
    ["{used: true}", { mcp_action: "x" }, true],
    ["{used: false}", { mcp_action: "x" }, false],
    ["{allow_tools: [a]}", { "mcp.tool": " ", mcp_tool: " a " }, true],
  ])("mcp %s on %j: %s", (mcp, labels, expected) => {
    expect(matches(`{topics: ['job.*'], mcp: ${mcp}}`, { labels })).toBe(expected);
  });
});

describe("effective config", () => {
  const config = (effectiveConfig: NonNullable<PolicyInput["effectiveConfig"]>): string =>
    judge("rules: [{id: r, decision: allow}]", { effectiveConfig, labels: { mcp_tool: "t" } });

  it.each<[NonNullable<PolicyInput["effectiveConfig"]>, string]>([
    [{}, "allow r"],
    [{ safety: null }, "allow r"],
    [{ data: { safety: { denied_topics: ["job.*"] } } }, "deny r topic 'job.a' denied by effective config"],
    [{ safety: { denied_topics: ["job.a"] } }, "deny r topic 'job.a' denied by effective config"],
    [{ safety: { allowed_topics: ["job.b"] } }, "deny r topic 'job.a' not allowed by effective config"],
    [{ safety: { allowed_topics: ["job.a"], denied_topics: null } }, "allow r"],
    [{ safety: { denied_topics: ["job.a"], mcp: { deny_tools: ["t"] } } }, 'deny r mcp tool "t" denied'],
    [{ safety: { mcp: { allow_servers: ["s"] } } }, 'deny r mcp server "" not allowed'],
    [{ safety: { pii_detection_enabled: true } }, "allow r"],
    ["malformed", "deny r effective config is malformed"],
    [{ safety: [] }, "deny r effective config is malformed"],
    [{ safety: { denied_topics: "job.a" } }, "deny r effective config is malformed"],
    [{ safety: { denied_topics: [1] } }, "deny r effective config is malformed"],
    [{ safety: { denied_topics: ["["] } }, "deny r effective config is malformed"],
    [{ safety: { mcp: { deny_tools: {} } } }, "deny r effective config is malformed"],
    [{ safety: { mcp: "none" } }, "deny r effective config is malformed"],
  ])("%j: %s", (effectiveConfig, expected) => {
    expect(config(effectiveConfig)).toBe(expected);
  });

  it("never loosens", () => {
    expect(
      judge("rules: [{id: r, decision: deny, reason: no}]", {
        effectiveConfig: { safety: { allowed_topics: ["job.a"] } },
      }),
    ).toBe("deny r no");
  });
});

describe("snapshots and hashes", () => {
  const base = "version: v1\nrules:\n- {id: a, decision: deny, match: {topics: [job.a]}}\n- {id: b, decision: allow}\n";

  it("does not see comments, layout, order of keys, spelling or what is not set", () => {
    const same =
      '# other\nrules:\n  - match: {topics: ["job.a"], risk_tags: []}\n    decision: block\n    id: a\n  - id: b\n    decision: permit\nversion: v1\n';
    expect(compiled(same).snapshot).toBe(compiled(base).snapshot);
  });

  it("is the hash, after the version when there is one", () => {
    expect(compiled(base).snapshot).toMatch(/^v1:[0-9a-f]{64}$/);
    expect(compiled("rules: []").snapshot).toMatch(/^[0-9a-f]{64}$/);
  });

  it.each([
    ["a reason", "{id: b, decision: allow, reason: x}"],
    ["a decision", "{id: b, decision: deny}"],
    ["a condition", "{id: b, decision: allow, match: {secrets_present: false}}"],
    ["a constraint", "{id: b, decision: allow, constraints: {budgets: {max_retries: 1}}}"],
    ["a remediation", "{id: b, decision: allow, remediations: [{add_labels: {a: b}}]}"],
  ])("changes with %s, for that rule only", (_, edited) => {
    const other = compiled(base.replace("{id: b, decision: allow}", edited));
    const original = compiled(base);
    expect(other.snapshot).not.toBe(original.snapshot);
    expect(other.rules[0]?.decision.ruleHash).toBe(original.rules[0]?.decision.ruleHash);
    expect(other.rules[1]?.decision.ruleHash).not.toBe(original.rules[1]?.decision.ruleHash);
  });
});

describe("explaining", () => {
  it("tells each rule's first failing condition, up to the one that matched", () => {
    const text =
      "rules: [{id: a, decision: deny, match: {topics: [job.b]}}, {id: b, decision: deny, match: {topics: [job.a], risk_tags: [x], labels: {q: r}}}, {id: c, decision: allow}, {id: d, decision: deny}]";
    expect(explain(compiled(text), input({}))).toMatchObject({
      by: "rule",
      tenant: "default",
      decision: { kind: "allow", ruleId: "c" },
      considered: [
        { ordinal: 0, ruleId: "a", outcome: "failed", failedAt: "topics" },
        { ordinal: 1, ruleId: "b", outcome: "failed", failedAt: "risk_tags" },
        { ordinal: 2, ruleId: "c", outcome: "matched", failedAt: "" },
      ],
      omitted: 0,
    });
  });

  it("keeps the match and the near misses when there are too many", () => {
    const far = Array.from({ length: 50 }, (_, i) => `{id: far${i}, decision: deny, match: {topics: [job.far]}}`);
    const text = `rules: [${far.join(", ")}, {id: near, decision: deny, match: {risk_tags: [x]}}, {id: hit, decision: allow}]`;
    const explained = explain(compiled(text), input({}), 3);
    expect(explained.considered.map(({ ruleId }) => ruleId)).toEqual(["far0", "near", "hit"]);
    expect(explained.omitted).toBe(49);
  });

  it.each<[string, Ask, string, number]>([
    ["rules: [{decision: deny}]", { topic: "sys.a" }, "topic", 0],
    ["rules: [{decision: allow}]\ntenants: {default: {deny_topics: [job.a]}}", {}, "tenant_deny", 0],
    [
      "rules: [{decision: allow}]\ntenants: {default: {allow_topics: [job.b], restrict: true}}",
      {},
      "tenant_restrict",
      0,
    ],
    [
      "rules: [{decision: deny, match: {topics: [job.b]}}]\ntenants: {default: {allow_topics: [job.a]}}",
      {},
      "tenant_allow",
      1,
    ],
    ["rules: [{decision: deny, match: {topics: [job.b]}}]", {}, "default", 1],
    ["rules: [{decision: allow}]", { effectiveConfig: "malformed" }, "effective_config", 1],
    ["tenants: {default: {mcp: {allow_tools: [a]}}}", { labels: { mcp_tool: "b" } }, "tenant_mcp", 0],
  ])("%s on %j: by %s", (text, ask, by, considered) => {
    const explained = explain(compiled(text), input(ask));
    expect(explained.by).toBe(by);
    expect(explained.considered).toHaveLength(considered);
  });
});
