// The two policies between which a simulated house changes, and what they say, written down a second time.
// Owns:          the texts, the topics, the expected verdicts.
// Must not know: how policy is evaluated: the expectation is a table, so that it can catch the evaluation.

import type { Policy, PolicyInput } from "../../policy/decision.ts";
import { PolicySource } from "../../policy/policy-source.ts";

export const TOPICS = ["job.echo", "job.no", "job.ask", "job.slow", "job.small", "job.flip", "job.few"] as const;
export type Topic = (typeof TOPICS)[number];
export type Expected = "allow" | "deny" | "ask" | "throttle";

const COMMON = `
version: v1
tenants:
  globex: { max_concurrent_jobs: 2 }
rules:
  - id: never
    match: { topics: ["job.no"] }
    decision: deny
    reason: never
    remediations:
      - { id: softer, title: Ask softly, replacement_topic: job.echo, add_labels: { softer: "yes" } }
  - id: small
    match: { topics: ["job.small"] }
    decision: allow_with_constraints
    constraints: { budgets: { max_runtime_ms: 12000, max_retries: 2 } }
  - id: few
    match: { topics: ["job.few"] }
    decision: allow_with_constraints
    constraints: { budgets: { max_concurrent_jobs: 2 } }
`;
const STRICT = `${COMMON}
  - id: ask
    match: { topics: ["job.ask"] }
    decision: require_approval
    reason: a person must look
  - id: slow
    match: { topics: ["job.slow"] }
    decision: throttle
    reason: too many
`;
const MILD = `${COMMON}
  - id: ask
    match: { topics: ["job.ask"] }
    decision: require_approval
    reason: a person must look twice
  - id: flip
    match: { topics: ["job.flip"] }
    decision: deny
    reason: not any more
`;

/** Jobs on job.few that may be out at once, under either policy. */
export const FEW_MAX = 2;
/** Jobs of this tenant that may be out at once. */
export const LIMITED_TENANT = "globex";
export const TENANT_MAX = 2;
/** Of workers. */
export const POOL = "p";

export interface SimPolicy {
  readonly snapshot: string;
  /** Holds this policy for good: it is parsed once for all runs. */
  readonly source: PolicySource;
  readonly expects: { readonly [topic in Topic]: Expected };
}

export const STRICT_POLICY = policyOf(STRICT, {
  "job.echo": "allow",
  "job.no": "deny",
  "job.ask": "ask",
  "job.slow": "throttle",
  "job.small": "allow",
  "job.flip": "allow",
  "job.few": "allow",
});
/** In force after healing: under it every job can end. */
export const MILD_POLICY = policyOf(MILD, {
  "job.echo": "allow",
  "job.no": "deny",
  "job.ask": "ask",
  "job.slow": "allow",
  "job.small": "allow",
  "job.flip": "deny",
  "job.few": "allow",
});

/** What a policy says about a topic; undefined for a snapshot or topic that the world does not have. */
export function expectedOf(snapshot: string, topic: string): Expected | undefined {
  const policy = [STRICT_POLICY, MILD_POLICY].find((known) => known.snapshot === snapshot);
  const known = TOPICS.find((name) => name === topic);
  return policy === undefined || known === undefined ? undefined : policy.expects[known];
}

/** The policy of one process, as it changes. */
export class PolicyInForce implements Policy {
  #source = new PolicySource();

  /** Undefined: none is loaded any more. */
  use(policy: SimPolicy | undefined): void {
    this.#source = policy?.source ?? NO_POLICY;
  }

  decide(input: PolicyInput): ReturnType<Policy["decide"]> {
    return this.#source.decide(input);
  }

  snapshot(): string {
    return this.#source.snapshot();
  }

  concurrentJobsMax(tenant: string): number {
    return this.#source.concurrentJobsMax(tenant);
  }
}

const NO_POLICY = new PolicySource();

function policyOf(text: string, expects: SimPolicy["expects"]): SimPolicy {
  const source = new PolicySource();
  const loaded = source.replace(text);
  if (loaded.kind !== "loaded") throw new Error(`a policy of the simulation is not valid: ${JSON.stringify(loaded)}`);
  return { source, snapshot: loaded.snapshot, expects };
}
