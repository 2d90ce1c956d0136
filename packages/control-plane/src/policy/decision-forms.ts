// The forms of a decision outside the house.
// Owns:          names and numbers of decisions in the REST API and in gRPC, and the entry of a job's decision list.
// Must not know: how a decision came about, transports.

import type { JsonObject } from "../ports/json.ts";
import { constraintsToRest, isUnconstrained } from "./constraints.ts";
import type { Constraints, Decision, DecisionRecord, Remediation } from "./decision.ts";

/** `safety_decision` of a job and `decision` of a list entry. */
export const REST_DECISIONS = {
  allow: "ALLOW",
  deny: "DENY",
  require_approval: "REQUIRE_APPROVAL",
  throttle: "THROTTLE",
  allow_with_constraints: "ALLOW_WITH_CONSTRAINTS",
} as const satisfies { readonly [kind in Decision["kind"]]: string };

/** `cordum.agent.v1.DecisionType`. */
export const PROTO_DECISIONS = {
  allow: { name: "DECISION_TYPE_ALLOW", number: 1 },
  deny: { name: "DECISION_TYPE_DENY", number: 2 },
  require_approval: { name: "DECISION_TYPE_REQUIRE_HUMAN", number: 3 },
  throttle: { name: "DECISION_TYPE_THROTTLE", number: 4 },
  allow_with_constraints: { name: "DECISION_TYPE_ALLOW_WITH_CONSTRAINTS", number: 5 },
} as const satisfies { readonly [kind in Decision["kind"]]: { readonly name: string; readonly number: number } };

/** Undefined when there are none, or none is set. */
export function constraintsOf(decision: Decision): Constraints | undefined {
  const constraints = "constraints" in decision ? decision.constraints : undefined;
  return constraints === undefined || isUnconstrained(constraints) ? undefined : constraints;
}

/** Empty members are left out. */
export function remediationToRest(remediation: Remediation): JsonObject {
  const { id, title, summary, replacementTopic, replacementCapability, addLabels, removeLabels } = remediation;
  return {
    ...(id !== "" && { id }),
    ...(title !== "" && { title }),
    ...(summary !== "" && { summary }),
    ...(replacementTopic !== "" && { replacement_topic: replacementTopic }),
    ...(replacementCapability !== "" && { replacement_capability: replacementCapability }),
    ...(Object.keys(addLabels).length > 0 && { add_labels: addLabels }),
    ...(removeLabels.length > 0 && { remove_labels: removeLabels }),
  };
}

/** An element of `GET /api/v1/jobs/{id}/decisions`; empty members are left out, `checked_at` is in microseconds. */
export function decisionToRest(record: DecisionRecord, jobId: string): JsonObject {
  const { decision, jobHash, at } = record;
  const constraints = constraintsOf(decision);
  const needsApproval = decision.kind === "require_approval";
  return {
    decision: REST_DECISIONS[decision.kind],
    ...(decision.reason !== "" && { reason: decision.reason }),
    ...(decision.ruleId !== "" && { rule_id: decision.ruleId }),
    ...(decision.snapshot !== "" && { policy_snapshot: decision.snapshot }),
    ...(constraints !== undefined && { constraints: constraintsToRest(constraints) }),
    ...(decision.remediations.length > 0 && { remediations: decision.remediations.map(remediationToRest) }),
    ...(needsApproval && { approval_required: true, approval_ref: jobId }),
    ...(jobHash !== "" && { job_hash: jobHash }),
    checked_at: at * 1000,
  };
}
