// The facts of one request, in the form in which conditions look at them.
// Owns:          trimming, folding and what is derived: tenant, actor, MCP call, whether secrets are present.
// Must not know: rules.

import type { PolicyInput } from "./decision.ts";
import { fold } from "./fold.ts";
import { type McpRequest, mcpRequestOf } from "./mcp.ts";
import { SECRETS_LABEL, SECRETS_RISK_TAG } from "./secrets.ts";

/** All names folded, "" where the request says nothing. */
export interface Facts {
  /** Trimmed, case kept. */
  readonly topic: string;
  readonly tenant: string;
  readonly capability: string;
  readonly packId: string;
  readonly actorId: string;
  readonly actorType: string;
  readonly riskTags: readonly string[];
  readonly requires: readonly string[];
  readonly labels: { readonly [label: string]: string };
  readonly secretsPresent: boolean;
  readonly mcp: McpRequest;
}

/** The tenant of a request that names none, when the policy names none either. */
const TENANT_OF_LAST_RESORT = "default";

export function factsOf(input: PolicyInput, defaultTenant: string): Facts {
  const riskTags = foldAll(input.riskTags);
  return {
    topic: input.topic.trim(),
    tenant: fold(input.tenant) || fold(defaultTenant) || TENANT_OF_LAST_RESORT,
    capability: fold(input.capability),
    packId: fold(input.packId),
    actorId: fold(input.actorId) || fold(input.principal),
    actorType: input.actorType,
    riskTags,
    requires: foldAll(input.requires),
    labels: input.labels,
    secretsPresent: riskTags.includes(SECRETS_RISK_TAG) || saysYes(labelOf(input.labels, SECRETS_LABEL)),
    mcp: mcpRequestOf(input.labels),
  };
}

/** "" where there is no such label. */
export function labelOf(labels: { readonly [label: string]: string }, label: string): string {
  return Object.hasOwn(labels, label) ? (labels[label] ?? "") : "";
}

function foldAll(names: readonly string[]): readonly string[] {
  return names.length === 0 ? names : names.map(fold).filter((name) => name !== "");
}

// A caller's `secrets_present=false` says nothing: what detection found is in the tag, and detection wins.
function saysYes(value: string): boolean {
  const trimmed = value.trim();
  return trimmed === "true" || trimmed === "1" || trimmed.toLowerCase() === "yes";
}
