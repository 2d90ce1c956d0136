// The shapes of approvals on the wire.
// Owns:          member names and types, as clients of both generations of the original know them.
// Must not know: how they are filled.

import { Type } from "@fastify/type-provider-typebox";
import { ConstraintsSchema, JobRecordSchema } from "./job-schemas.ts";
import { maybe } from "./schemas.ts";

const text = Type.Optional(Type.String());

export const ApprovalSchema = Type.Object({
  job_id: Type.String(),
  job: JobRecordSchema,
  decision: Type.String(),
  policy_snapshot: Type.String(),
  policy_rule_id: Type.String(),
  policy_reason: Type.String(),
  job_hash: Type.String(),
  approval_ref: Type.String(),
  constraints: Type.Union([ConstraintsSchema, Type.Null()]),
  approval_required: Type.Boolean(),
  approval_status: Type.String(),
  approval_actionability: Type.String(),
  context_ptr: Type.String(),
  submitted_by: text,
  workflow_id: text,
  workflow_run_id: text,
  workflow_step_id: text,
});

export const AnswerSchema = Type.Object(
  {
    reason: maybe(Type.String({ description: "Cut to 512 characters." })),
    note: maybe(Type.String({ description: "Cut to 512 characters." })),
  },
  { "x-invalid": "body" },
);

export const ApprovedSchema = Type.Object({
  job_id: Type.String(),
  trace_id: Type.String(),
  status: Type.Optional(Type.String({ description: "`already_approved` when this very answer stood before." })),
  approved_by: text,
  approved_at: Type.Optional(Type.Integer({ description: "Unix microseconds." })),
});

export const RejectedSchema = Type.Object({
  job_id: Type.String(),
  status: Type.Optional(Type.String({ description: "`already_rejected` when this very answer stood before." })),
  rejected_by: text,
  rejected_at: Type.Optional(Type.Integer({ description: "Unix microseconds." })),
});
