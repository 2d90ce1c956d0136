// The two policies and the timeouts of a house under chaos, and what they say, written down a second time.
// Owns:          the texts, the topics, the expected verdicts, how often each topic may be tried, the limits on jobs at once.
// Must not know: how policy is evaluated: the expectation is a table, so that it can catch the evaluation.

import { PolicySource } from "@cordum/control-plane/policy/policy-source";
import { ruleLimit, tenantLimit } from "@cordum/control-plane/scheduling/slots";

export const TENANTS = ["acme", "narrow"] as const;
export type Tenant = (typeof TENANTS)[number];
export type Expected = "allow" | "deny" | "ask";

/** Attempts that a topic may have, the first included. */
export const ATTEMPTS_MAX = {
  "job.echo": 4,
  "job.pay": 1,
  "job.flaky": 3,
  "job.fail": 1,
  "job.long": 1,
  "job.few": 3,
  "job.ask": 3,
  "job.flip": 3,
  "job.no": 1,
} as const;
export type Topic = keyof typeof ATTEMPTS_MAX;
export const TOPICS = Object.keys(ATTEMPTS_MAX) as readonly Topic[];

const RUNNING_TIMEOUT_S = 30;
const FEW_MAX = 2;
const NARROW_MAX = 4;
/** Jobs that may be out at once. */
export const LIMITS = [
  { says: "job.few", topic: "job.few", tenant: "acme", ...ruleLimit("acme", "few", FEW_MAX) },
  { says: "tenant narrow", topic: undefined, tenant: "narrow", ...tenantLimit("narrow", NARROW_MAX) },
] as const;

export const TIMEOUTS = JSON.stringify({
  topics: Object.fromEntries(
    TOPICS.map((topic) => [topic, { timeout_seconds: RUNNING_TIMEOUT_S, max_retries: ATTEMPTS_MAX[topic] - 1 }]),
  ),
});

const textOf = (flip: "allow" | "deny"): string => `version: v1
rules:
  - { id: never, match: { topics: ["job.no"] }, decision: deny, reason: never }
  - { id: ask, match: { topics: ["job.ask"] }, decision: require_approval, reason: a person must look }
  - { id: flip, match: { topics: ["job.flip"] }, decision: ${flip}, reason: as it happens }
  - id: few
    match: { topics: ["job.few"] }
    decision: allow_with_constraints
    constraints: { budgets: { max_concurrent_jobs: ${FEW_MAX} } }
  - { id: others, match: { topics: ["job.*"] }, decision: allow }
tenants:
  narrow: { max_concurrent_jobs: ${NARROW_MAX} }
`;

export interface HousePolicy {
  readonly text: string;
  readonly snapshot: string;
  readonly flip: "allow" | "deny";
}

export const POLICIES: readonly [HousePolicy, HousePolicy] = [policyOf("allow"), policyOf("deny")];

/** What a policy says about a topic; undefined for a snapshot or a topic that the house does not have. */
export function expectedOf(snapshot: string, topic: string): Expected | undefined {
  const policy = POLICIES.find((known) => known.snapshot === snapshot);
  if (policy === undefined || !(TOPICS as readonly string[]).includes(topic)) return undefined;
  if (topic === "job.no") return "deny";
  if (topic === "job.ask") return "ask";
  return topic === "job.flip" ? policy.flip : "allow";
}

function policyOf(flip: "allow" | "deny"): HousePolicy {
  const source = new PolicySource();
  const loaded = source.replace(textOf(flip));
  if (loaded.kind !== "loaded") throw new Error(`the policy is not valid: ${JSON.stringify(loaded)}`);
  return { text: textOf(flip), snapshot: loaded.snapshot, flip };
}
