// What policy is asked, and what it answers.
// Owns:          the input of a decision, the decision itself and the form in which a job's record keeps it.
// Must not know: YAML, how rules are matched, who asks.

import type { EpochMs, Ms } from "../ports/time.ts";

/** Everything a rule may look at. Built by one function from a job's request, so that the stored request is the exact input. */
export interface PolicyInput {
  readonly jobId: string;
  readonly topic: string;
  readonly tenant: string;
  readonly principal: string;
  readonly actorId: string;
  readonly actorType: "human" | "service" | "";
  readonly capability: string;
  readonly packId: string;
  readonly riskTags: readonly string[];
  readonly requires: readonly string[];
  readonly labels: { readonly [label: string]: string };
  /** The effective config that applies to the job, when there is one; "malformed" when it could not be parsed, which denies. */
  readonly effectiveConfig?: { readonly [key: string]: unknown } | "malformed";
}

export interface Constraints {
  readonly budgets?: {
    readonly maxRuntimeMs?: Ms;
    readonly maxRetries?: number;
    readonly maxArtifactBytes?: number;
    readonly maxConcurrentJobs?: number;
  };
  readonly sandbox?: {
    readonly isolated?: boolean;
    readonly networkAllowlist?: readonly string[];
    readonly fsReadOnly?: readonly string[];
    readonly fsReadWrite?: readonly string[];
  };
  readonly toolchain?: { readonly allowedTools?: readonly string[]; readonly allowedCommands?: readonly string[] };
  readonly diff?: {
    readonly maxFiles?: number;
    readonly maxLines?: number;
    readonly denyPathGlobs?: readonly string[];
  };
  readonly redactionLevel?: string;
}

export interface Remediation {
  readonly id: string;
  readonly title: string;
  readonly summary: string;
  readonly replacementTopic: string;
  readonly replacementCapability: string;
  readonly addLabels: { readonly [label: string]: string };
  readonly removeLabels: readonly string[];
}

interface Verdict {
  /** "" when no rule matched. */
  readonly ruleId: string;
  /** SHA-256 over the canonical form of the rule that decided; "" when none did. An approval is bound to it. */
  readonly ruleHash: string;
  readonly reason: string;
  /** Names the whole policy that decided, see snapshot in compile.ts. */
  readonly snapshot: string;
  readonly remediations: readonly Remediation[];
}
export type Decision =
  | (Verdict & { readonly kind: "allow" })
  | (Verdict & { readonly kind: "allow_with_constraints"; readonly constraints: Constraints })
  | (Verdict & { readonly kind: "deny" })
  | (Verdict & { readonly kind: "require_approval"; readonly constraints?: Constraints })
  | (Verdict & { readonly kind: "throttle"; readonly retryAfterMs: Ms });

/** A decision as the job's record keeps it (the newest 20). */
export interface DecisionRecord {
  readonly at: EpochMs;
  /** Hash of the job's request that was judged, see jobs/job-hash.ts. */
  readonly jobHash: string;
  readonly decision: Decision;
}

/** The policy as the use cases see it. A policy that is not loaded answers "unavailable": the job waits, it never passes. */
export interface Policy {
  decide(input: PolicyInput): Decision | "unavailable";
  /** Snapshot of what decides now; "" while nothing is loaded. */
  snapshot(): string;
  /** How many jobs of the tenant may be out with workers at once; 0: as many as like. */
  concurrentJobsMax(tenant: string): number;
}
