// Judging one request.
// Owns:          the order of the checks.
// Must not know: YAML, how rules are indexed, where the policy comes from.
// V1. Order: topic, deny lists of the tenant, restriction of the tenant, first matching rule, allow lists of the tenant, default; then
//     the MCP lists of the tenant and the effective config, which can only deny. They keep the rule that had matched.
// V2. Never throws, whatever the strings of the request are. V3. Same policy and request: same decision, on every machine.

import { type CompiledPolicy, type CompiledTenant, ruleMatches, type TopicEntry } from "./compile.ts";
import type { Decision, PolicyInput } from "./decision.ts";
import { effectiveConfigDenial } from "./effective-config.ts";
import { type Facts, factsOf } from "./facts.ts";

/** The check that gave the answer. */
export type Decider =
  | "topic"
  | "tenant_deny"
  | "tenant_restrict"
  | "rule"
  | "tenant_allow"
  | "default"
  | "tenant_mcp"
  | "effective_config";

export interface Judgement {
  readonly decision: Decision;
  readonly by: Decider;
  /** Position of the rule that matched; -1 when none did. */
  readonly ordinal: number;
  /** False when an earlier check made rules irrelevant. */
  readonly rulesAsked: boolean;
  readonly facts: Facts;
}

const TOPIC_PREFIX = "job.";

/** Denial of a topic that no policy can allow, with "" as snapshot: it is the same under every policy, and under none. */
export function topicDenial(topic: string): Decision | undefined {
  const trimmed = topic.trim();
  if (trimmed.startsWith(TOPIC_PREFIX)) return undefined;
  const reason = trimmed === "" ? "missing topic" : "unsupported topic";
  return { kind: "deny", ruleId: "", ruleHash: "", reason, snapshot: "", remediations: [] };
}

export function evaluate(policy: CompiledPolicy, input: PolicyInput): Decision {
  return judge(policy, input).decision;
}

export function judge(policy: CompiledPolicy, input: PolicyInput): Judgement {
  const facts = factsOf(input, policy.document.defaultTenant);
  const topicDecision = topicDenial(facts.topic);
  if (topicDecision !== undefined)
    return { decision: topicDecision, by: "topic", ordinal: -1, rulesAsked: false, facts };
  const tenant = policy.tenants.get(facts.tenant);
  const found = judgeTenantFirst(tenant, facts) ?? judgeRules(policy, tenant, facts);
  return tighten(found, tenant, input);
}

function judgeTenantFirst(tenant: CompiledTenant | undefined, facts: Facts): Judgement | undefined {
  if (tenant === undefined) return undefined;
  const denied = entryFor(tenant.denied, facts.topic);
  if (denied !== undefined)
    return { decision: denied.decision, by: "tenant_deny", ordinal: -1, rulesAsked: false, facts };
  if (tenant.restriction === undefined || entryFor(tenant.allowed, facts.topic) !== undefined) return undefined;
  return { decision: tenant.restriction, by: "tenant_restrict", ordinal: -1, rulesAsked: false, facts };
}

function judgeRules(policy: CompiledPolicy, tenant: CompiledTenant | undefined, facts: Facts): Judgement {
  const { rules } = policy;
  const ordinal = policy.index.first(facts, (candidate) => {
    const rule = rules[candidate];
    return rule !== undefined && ruleMatches(rule, facts);
  });
  const rule = rules[ordinal];
  if (rule !== undefined) return { decision: rule.decision, by: "rule", ordinal, rulesAsked: true, facts };
  const allowed = tenant && entryFor(tenant.allowed, facts.topic);
  if (allowed !== undefined)
    return { decision: allowed.decision, by: "tenant_allow", ordinal, rulesAsked: true, facts };
  return { decision: policy.otherwise, by: "default", ordinal, rulesAsked: true, facts };
}

function entryFor(entries: readonly TopicEntry[], topic: string): TopicEntry | undefined {
  return entries.find(({ glob }) => glob.matches(topic));
}

function tighten(found: Judgement, tenant: CompiledTenant | undefined, input: PolicyInput): Judgement {
  const { facts } = found;
  const configReason = effectiveConfigDenial(input.effectiveConfig, facts);
  if (configReason !== undefined) {
    return { ...found, decision: denied(found.decision, configReason), by: "effective_config" };
  }
  const mcpReason = tenant?.mcpCheck(facts.mcp);
  if (mcpReason === undefined) return found;
  return { ...found, decision: denied(found.decision, mcpReason), by: "tenant_mcp" };
}

function denied({ ruleId, ruleHash, snapshot, remediations }: Decision, reason: string): Decision {
  return { kind: "deny", ruleId, ruleHash, reason, snapshot, remediations };
}
