// Jobs as clients see them.
// Owns:          from a job's record and request to the shapes of the API; units (µs, s) of times.
// Must not know: where records come from, HTTP.

import type { JobRequest } from "@cordum/protocol";
import type { Static } from "typebox";
import type { Job, JobState } from "../jobs/job.ts";
import { isTerminal } from "../jobs/job.ts";
import { requestOf } from "../jobs/job-request.ts";
import type { JobWithBodies } from "../jobs/read-job.ts";
import { constraintsToRest } from "../policy/constraints.ts";
import { constraintsOf, REST_DECISIONS, remediationToRest } from "../policy/decision-forms.ts";
import type { EpochMs } from "../ports/time.ts";
import { filled } from "./filled.ts";
import type { ApprovalSchema } from "./http/approval-schemas.ts";
import type { JobDetailSchema, JobRecordSchema } from "./http/job-schemas.ts";
import { asidesOf } from "./job-asides.ts";

export type JobRecordView = Static<typeof JobRecordSchema>;
export type JobDetailView = Static<typeof JobDetailSchema>;
export type ApprovalView = Static<typeof ApprovalSchema>;

export function toMicros(at: EpochMs): number {
  return at * 1000;
}

export function jobRecordView(job: Job): JobRecordView {
  const request = requestOf(job);
  const safety = safetyOf(job);
  return {
    id: job.id,
    state: job.phase.state,
    updated_at: toMicros(job.updatedAt),
    ...filled({
      trace_id: job.traceId,
      topic: job.topic,
      tenant: job.tenant,
      team: job.team,
      principal: job.principal,
      ...metaOf(request),
      attempts: job.attempts,
      safety_decision: safety.decision,
      safety_reason: safety.reason,
      safety_rule_id: safety.ruleId,
      safety_snapshot: safety.snapshot,
      deadline_unix: isTerminal(job) ? 0 : Math.floor((job.wakes.deadline ?? 0) / 1000),
      worker_id: workerOf(job),
      failure_reason: "outcome" in job.phase ? job.phase.outcome.message : "",
    }),
  };
}

export function jobDetailView({ job, request, context, result }: JobWithBodies): JobDetailView {
  const { phase } = job;
  const safety = safetyOf(job);
  const meta = metaOf(request);
  return {
    id: job.id,
    state: phase.state,
    trace_id: job.traceId,
    topic: job.topic,
    tenant: job.tenant,
    ...meta,
    attempts: job.attempts,
    context_ptr: request.contextPtr,
    context,
    result_ptr: "outcome" in phase ? phase.outcome.resultPtr : "",
    result,
    safety_decision: safety.decision,
    safety_reason: safety.reason,
    safety_rule_id: safety.ruleId,
    safety_snapshot: safety.snapshot,
    safety_job_hash: safety.jobHash,
    approval_ref: safety.isAsking ? job.id : "",
    approval_required: safety.isAsking,
    safety_constraints: safety.constraints,
    safety_remediations: safety.remediations,
    labels: request.labels,
    workflow_id: request.workflowId || (request.labels.workflow_id ?? ""),
    run_id: request.labels.run_id ?? "",
    step_id: request.labels.step_id ?? "",
    updated_at: toMicros(job.updatedAt),
    steps: job.steps.map(({ state, at, why }) => ({ state, at: toMicros(at), why })),
    ...filled({
      not_before: toMicros(job.notBefore ?? 0),
      waiting: "waiting" in phase ? phase.waiting : "",
      worker_id: workerOf(job),
      percent: "percent" in phase ? phase.percent : 0,
    }),
    ...asidesOf(job),
    ...failureOf(job),
    ...approvalOf(job),
  };
}

export function approvalView(job: Job): ApprovalView {
  const request = requestOf(job);
  const safety = safetyOf(job);
  return {
    job_id: job.id,
    job: jobRecordView(job),
    decision: safety.decision,
    policy_snapshot: safety.snapshot,
    policy_rule_id: safety.ruleId,
    policy_reason: safety.reason,
    job_hash: safety.jobHash,
    approval_ref: job.id,
    constraints: safety.constraints,
    approval_required: true,
    approval_status: "pending",
    approval_actionability: "actionable",
    context_ptr: request.contextPtr,
    ...filled({
      submitted_by: job.principal,
      workflow_id: request.workflowId || (request.labels.workflow_id ?? ""),
      workflow_run_id: request.labels.run_id ?? "",
      workflow_step_id: request.labels.step_id ?? "",
    }),
  };
}

function metaOf(request: JobRequest) {
  const { meta } = request;
  return {
    actor_id: meta?.actorId ?? "",
    actor_type: meta?.actorType === 1 ? "human" : meta?.actorType === 2 ? "service" : "",
    idempotency_key: meta?.idempotencyKey ?? "",
    capability: meta?.capability ?? "",
    pack_id: meta?.packId ?? "",
    risk_tags: [...(meta?.riskTags ?? [])],
    requires: [...(meta?.requires ?? [])],
  };
}

/** The last decision. A person's yes stands in for the question that it answers, as clients of the original expect. */
function safetyOf(job: Job) {
  const record = job.decisions.at(-1);
  if (record === undefined) {
    const nothing = { decision: "", reason: "", ruleId: "", snapshot: "", jobHash: "" };
    return { ...nothing, isAsking: false, constraints: null, remediations: null };
  }
  const { decision, jobHash } = record;
  const constraints = constraintsOf(decision);
  const isApproved =
    decision.kind === "require_approval" &&
    job.approval?.answer === "approved" &&
    job.phase.state !== "APPROVAL_REQUIRED";
  return {
    decision: isApproved ? REST_DECISIONS.allow : REST_DECISIONS[decision.kind],
    reason: isApproved ? "approval granted" : decision.reason,
    ruleId: decision.ruleId,
    snapshot: decision.snapshot,
    jobHash,
    isAsking: job.phase.state === "APPROVAL_REQUIRED",
    constraints: constraints === undefined ? null : constraintsToRest(constraints),
    remediations: decision.remediations.length === 0 ? null : decision.remediations.map(remediationToRest),
  };
}

function workerOf({ phase }: Job): string {
  if ("dispatch" in phase) return phase.dispatch.workerId;
  return "outcome" in phase ? phase.outcome.workerId : "";
}

function failureOf(job: Job) {
  const { phase } = job;
  if (!("outcome" in phase) || phase.state === "SUCCEEDED") return {};
  const { outcome, state } = phase;
  return filled({
    error_message: outcome.message,
    error_status: outcome.reported === "" ? `JOB_STATUS_${state}` : outcome.reported,
    error_code: outcome.code,
    last_state: lastStateOf(job),
  });
}

function lastStateOf(job: Job): JobState | "" {
  return job.steps.at(-2)?.state ?? "";
}

function approvalOf(job: Job) {
  const { approval } = job;
  if (job.phase.state === "APPROVAL_REQUIRED")
    return { approval_status: "pending", approval_actionability: "actionable" };
  if (approval === undefined) return {};
  return filled({
    approval_by: approval.by,
    approval_role: approval.role,
    approval_at: toMicros(approval.at),
    approval_reason: approval.reason,
    approval_note: approval.note,
    approval_policy_snapshot: approval.snapshot,
    approval_job_hash: approval.jobHash,
    approval_status: approval.answer,
    approval_actionability: "resolved",
    approval_decision: approval.answer === "approved" ? "approve" : "reject",
  });
}
