// Why a request is judged as it is.
// Owns:          the list of rules that were considered, each with the first condition that failed.
// Must not know: REST, how rules are indexed.
// W1. The decision is the one that `evaluate` gives, from the same policy and facts. W2. The list is bounded; kept are first the rule
//     that matched, then those that failed at something else than topic or tenant, since these are the near misses people ask about.

import { type CompiledPolicy, type CompiledRule, ruleMatches } from "./compile.ts";
import type { Decision, PolicyInput } from "./decision.ts";
import { type Decider, judge } from "./evaluate.ts";
import type { Facts } from "./facts.ts";

export const CONSIDERED_MAX = 200;

export interface ConsideredRule {
  /** Position in the policy, from 0. */
  readonly ordinal: number;
  readonly ruleId: string;
  readonly outcome: "matched" | "failed";
  /** Field of the first condition that failed, as in the policy file; "" when it matched. */
  readonly failedAt: string;
}

export interface Explanation {
  readonly decision: Decision;
  /** The check that gave the answer. */
  readonly by: Decider;
  /** Resolved tenant, case-folded. */
  readonly tenant: string;
  /** In declaration order, up to the rule that matched; empty when no rule was asked. */
  readonly considered: readonly ConsideredRule[];
  /** How many more were considered than are listed. */
  readonly omitted: number;
}

export function explain(policy: CompiledPolicy, input: PolicyInput, consideredMax = CONSIDERED_MAX): Explanation {
  const { decision, by, ordinal, rulesAsked, facts } = judge(policy, input);
  const reached = ordinal === -1 ? policy.rules : policy.rules.slice(0, ordinal + 1);
  const all = rulesAsked ? reached.map((rule, position) => consider(rule, position, facts)) : [];
  const considered = keepTelling(all, consideredMax);
  return { decision, by, tenant: facts.tenant, considered, omitted: all.length - considered.length };
}

function consider(rule: CompiledRule, ordinal: number, facts: Facts): ConsideredRule {
  if (ruleMatches(rule, facts)) return { ordinal, ruleId: rule.id, outcome: "matched", failedAt: "" };
  const failed = rule.conditions.find((condition) => !condition.holds(facts));
  return { ordinal, ruleId: rule.id, outcome: "failed", failedAt: failed?.field ?? "" };
}

function keepTelling(all: readonly ConsideredRule[], max: number): readonly ConsideredRule[] {
  if (all.length <= max) return all;
  const byInterest = all.toSorted((a, b) => interest(b) - interest(a)); // stable, so earlier rules go first
  return byInterest.slice(0, max).sort((a, b) => a.ordinal - b.ordinal);
}

function interest(rule: ConsideredRule): number {
  if (rule.outcome === "matched") return 2;
  return rule.failedAt === "topics" || rule.failedAt === "tenants" ? 0 : 1;
}
