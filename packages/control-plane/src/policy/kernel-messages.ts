// The gRPC policy messages.
// Owns:          PolicyCheckRequest to the input of a decision, and a decision to PolicyCheckResponse.
// Must not know: gRPC servers, who calls.

import {
  ActorType,
  type Init,
  type PolicyCheckRequest,
  type PolicyCheckResponse,
  type PolicyConstraints,
} from "@cordum/protocol";
import type { Constraints, Decision, PolicyInput } from "./decision.ts";
import { constraintsOf, PROTO_DECISIONS } from "./decision-forms.ts";
import { parseEffectiveConfig } from "./effective-config.ts";

/** The input that a check asks about. Identity and content fields of later releases are not looked at. Never throws. */
export function inputOfCheck(request: PolicyCheckRequest): PolicyInput {
  const { meta } = request;
  const effectiveConfig = parseEffectiveConfig(Buffer.from(request.effectiveConfig).toString("utf8"));
  return {
    jobId: request.jobId,
    topic: request.topic,
    tenant: request.tenant.trim() || (meta?.tenantId ?? ""),
    principal: request.principalId,
    actorId: meta?.actorId ?? "",
    actorType: actorTypeOf(meta?.actorType),
    capability: meta?.capability ?? "",
    packId: meta?.packId ?? "",
    riskTags: meta?.riskTags ?? [],
    requires: meta?.requires ?? [],
    labels: request.labels,
    ...(effectiveConfig !== undefined && { effectiveConfig }),
  };
}

/** Approval is required exactly when a person is asked, never beside a denial. */
export function checkAnswer(decision: Decision, jobId: string): Init<PolicyCheckResponse> {
  const constraints = constraintsOf(decision);
  const needsApproval = decision.kind === "require_approval";
  return {
    decision: PROTO_DECISIONS[decision.kind].number,
    reason: decision.reason,
    policySnapshot: decision.snapshot,
    ruleId: decision.ruleId,
    constraints: constraints && constraintsMessage(constraints),
    approvalRequired: needsApproval,
    approvalRef: needsApproval ? jobId : "",
    remediations: decision.remediations,
  };
}

function actorTypeOf(type: number | undefined): PolicyInput["actorType"] {
  if (type === ActorType.HUMAN) return "human";
  return type === ActorType.SERVICE ? "service" : "";
}

/** All parts are present, even empty ones: readers of the first releases do not ask whether they are. */
function constraintsMessage(constraints: Constraints): Init<PolicyConstraints> {
  const { budgets = {}, sandbox = {}, toolchain = {}, diff = {}, redactionLevel = "" } = constraints;
  return { budgets, sandbox, toolchain, diff, redactionLevel };
}
