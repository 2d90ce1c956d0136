// A policy as it is after reading: typed, validated, with nothing unset left in it.
// Owns:          the shape of a policy document.
// Must not know: YAML, positions in a file, how a rule is matched.
// Zero, "" and the empty list mean "not set" everywhere, so the reader leaves them out.

import type { Ms } from "../ports/time.ts";
import type { Constraints, Decision, Remediation } from "./decision.ts";

export const MCP_FIELDS = ["server", "tool", "resource", "action"] as const;
export type McpField = (typeof MCP_FIELDS)[number];
export interface McpFieldLists {
  readonly allow: readonly string[];
  readonly deny: readonly string[];
}
export type McpLists = { readonly [field in McpField]: McpFieldLists };

export interface LabelPair {
  readonly label: string;
  readonly value: string;
}

/** All that are present must hold; an empty list is absent. */
export interface Match {
  readonly tenants: readonly string[];
  readonly topics: readonly string[];
  readonly capabilities: readonly string[];
  readonly riskTags: readonly string[];
  readonly requires: readonly string[];
  readonly packIds: readonly string[];
  readonly actorIds: readonly string[];
  readonly actorTypes: readonly string[];
  readonly labels: readonly LabelPair[];
  readonly secretsPresent?: boolean;
  /** The request must, or must not, be an MCP call. */
  readonly mcpUsed?: boolean;
  readonly mcp?: McpLists;
}

export interface Rule {
  readonly id: string;
  readonly match: Match;
  readonly decision: Decision["kind"];
  readonly reason: string;
  readonly retryAfterMs?: Ms;
  readonly constraints?: Constraints;
  readonly remediations: readonly Remediation[];
}

export interface TenantPolicy {
  readonly name: string;
  readonly allowTopics: readonly string[];
  readonly denyTopics: readonly string[];
  /** Topics outside `allowTopics` are denied. */
  readonly restrict: boolean;
  /** Jobs out with workers at once; absent: no limit. */
  readonly maxConcurrentJobs?: number;
  readonly mcp?: McpLists;
}

export interface PolicyDocument {
  readonly version: string;
  readonly defaultTenant: string;
  /** What happens when nothing matches; absent: allow, as policies of the first releases expect. */
  readonly defaultDecision?: "allow" | "deny";
  readonly rules: readonly Rule[];
  readonly tenants: readonly TenantPolicy[];
}

/** A match without any condition. */
export const MATCH_ALL: Match = {
  tenants: [],
  topics: [],
  capabilities: [],
  riskTags: [],
  requires: [],
  packIds: [],
  actorIds: [],
  actorTypes: [],
  labels: [],
};
