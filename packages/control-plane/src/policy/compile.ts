// A policy document compiled for judging.
// Owns:          snapshots and hashes, compiled rules and tenants, the answers that each rule gives.
// Must not know: YAML, who asks, when a policy is replaced.
// P1. The snapshot names what decides: SHA-256 over the canonical document, so a comment or another layout changes nothing;
//     `<version>:<hex>` when the document has a version.
// P2. A rule's hash covers that rule alone. An approval is bound to it, so that an edit elsewhere does not strand it.
// P3. Deny lists of tenants come before all rules, whatever else the policy holds; allow lists come after them.
// P4. Answers are made once, here: judging only picks one.

import { canonicalHash } from "./canonical.ts";
import { type Condition, compileGlobs, compileMatch } from "./conditions.ts";
import type { Decision } from "./decision.ts";
import type { PolicyDocument, Rule, TenantPolicy } from "./document.ts";
import type { Facts } from "./facts.ts";
import { fold } from "./fold.ts";
import type { Glob } from "./glob.ts";
import { compileMcpCheck, type McpCheck, type McpRequest } from "./mcp.ts";
import { RuleIndex } from "./rule-index.ts";

export const RETRY_AFTER_DEFAULT_MS = 5_000;
/** Part of what is hashed; raised when the canonical form changes. */
const CANONICAL_FORM = 1;

export interface CompiledRule {
  readonly id: string;
  readonly conditions: readonly Condition[];
  readonly decision: Decision;
}

export interface TopicEntry {
  readonly glob: Glob;
  readonly decision: Decision;
}

export interface CompiledTenant {
  readonly denied: readonly TopicEntry[];
  readonly allowed: readonly TopicEntry[];
  /** Answer for topics outside the allow list, when it restricts. */
  readonly restriction: Decision | undefined;
  /** Jobs out with workers at once; 0: no limit. */
  readonly concurrentJobsMax: number;
  /** Why the request fails one of the tenant's MCP lists. */
  readonly mcpCheck: McpCheck;
}

export interface CompiledPolicy {
  readonly snapshot: string;
  readonly document: PolicyDocument;
  readonly rules: readonly CompiledRule[];
  readonly index: RuleIndex;
  /** By folded name. */
  readonly tenants: ReadonlyMap<string, CompiledTenant>;
  /** Answer when nothing matches. */
  readonly otherwise: Decision;
}

export function compilePolicy(document: PolicyDocument): CompiledPolicy {
  const snapshot = snapshotOf(document);
  return {
    snapshot,
    document,
    rules: document.rules.map((rule) => compileRule(rule, snapshot)),
    index: new RuleIndex(document.rules.map((rule) => rule.match)),
    tenants: compileTenants(document.tenants, snapshot),
    otherwise: defaultDecision(document, snapshot),
  };
}

/** Whether every condition of the rule holds. */
export function ruleMatches(rule: CompiledRule, facts: Facts): boolean {
  for (const condition of rule.conditions) if (!condition.holds(facts)) return false;
  return true;
}

/** Joined, not concatenated: every job's record holds this text, and JSON.stringify is slower where one is still in two parts. */
function snapshotOf(document: PolicyDocument): string {
  const hash = canonicalHash({ form: CANONICAL_FORM, document });
  return document.version === "" ? hash : [document.version, hash].join(":");
}

function compileRule(rule: Rule, snapshot: string): CompiledRule {
  const ruleHash = canonicalHash({ form: CANONICAL_FORM, rule });
  return { id: rule.id, conditions: compileMatch(rule.match), decision: decisionOf(rule, ruleHash, snapshot) };
}

function decisionOf(rule: Rule, ruleHash: string, snapshot: string): Decision {
  const { id: ruleId, reason, remediations, constraints } = rule;
  const verdict = { ruleId, ruleHash, reason, snapshot, remediations };
  switch (rule.decision) {
    case "allow":
      return constraints === undefined
        ? { ...verdict, kind: "allow" }
        : { ...verdict, kind: "allow_with_constraints", constraints };
    case "allow_with_constraints":
      return { ...verdict, kind: "allow_with_constraints", constraints: constraints ?? {} };
    case "require_approval":
      return { ...verdict, kind: "require_approval", ...(constraints !== undefined && { constraints }) };
    case "throttle":
      return { ...verdict, kind: "throttle", retryAfterMs: rule.retryAfterMs ?? RETRY_AFTER_DEFAULT_MS };
    case "deny":
      return { ...verdict, kind: "deny" };
  }
}

function defaultDecision({ defaultDecision: kind }: PolicyDocument, snapshot: string): Decision {
  const reason = kind === undefined ? "" : `no matching rule — default policy: ${kind}`;
  return { kind: kind ?? "allow", ruleId: "", ruleHash: "", reason, snapshot, remediations: [] };
}

/** Names that differ only in case are one tenant, and the lists of all of them apply. */
function compileTenants(tenants: readonly TenantPolicy[], snapshot: string): ReadonlyMap<string, CompiledTenant> {
  const compiled = new Map<string, CompiledTenant>();
  for (const tenant of tenants) {
    const name = fold(tenant.name);
    const one = compileTenant(tenant, snapshot);
    const other = compiled.get(name);
    compiled.set(name, other === undefined ? one : bothOf(other, one));
  }
  return compiled;
}

function compileTenant(tenant: TenantPolicy, snapshot: string): CompiledTenant {
  const answer = (list: string, kind: "allow" | "deny", reason: string): Decision => ({
    kind,
    ruleId: `legacy:${tenant.name}:${list}`,
    ruleHash: canonicalHash({ form: CANONICAL_FORM, tenant: fold(tenant.name), list, kind, reason }),
    reason,
    snapshot,
    remediations: [],
  });
  const denied = compileGlobs(tenant.denyTopics).map((glob, index) => ({
    glob,
    decision: answer(`deny:${index + 1}`, "deny", `topic "${glob.pattern}" denied by tenant policy`),
  }));
  const allowed = compileGlobs(tenant.allowTopics).map((glob, index) => ({
    glob,
    decision: answer(`allow:${index + 1}`, "allow", ""),
  }));
  return {
    denied,
    allowed,
    restriction: tenant.restrict ? answer("restrict", "deny", "topic not allowed by tenant policy") : undefined,
    concurrentJobsMax: tenant.maxConcurrentJobs ?? 0,
    mcpCheck: tenant.mcp === undefined ? () => undefined : compileMcpCheck(tenant.mcp),
  };
}

/** 0 is no limit. */
function tighter(a: number, b: number): number {
  return a === 0 || b === 0 ? a + b : Math.min(a, b);
}

function bothOf(a: CompiledTenant, b: CompiledTenant): CompiledTenant {
  return {
    denied: [...a.denied, ...b.denied],
    allowed: [...a.allowed, ...b.allowed],
    restriction: a.restriction ?? b.restriction,
    concurrentJobsMax: tighter(a.concurrentJobsMax, b.concurrentJobsMax),
    mcpCheck: (mcp: McpRequest) => a.mcpCheck(mcp) ?? b.mcpCheck(mcp),
  };
}
