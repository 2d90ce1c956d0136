// The shapes of jobs on the wire.
// Owns:          member names and types of job records, details, decisions and submissions, as clients of the original know them.
// Must not know: how they are filled.

import { Type } from "@fastify/type-provider-typebox";
import type { Job } from "../../jobs/job.ts";
import type { JsonObject } from "../../ports/json.ts";
import { AsideMembers } from "../job-asides.ts";
import { maybe, TextMap } from "./schemas.ts";

const text = Type.Optional(Type.String());
const texts = Type.Optional(Type.Array(Type.String()));
const integer = Type.Optional(Type.Integer());

export const JobStateSchema = Type.Unsafe<Job["phase"]["state"]>(
  Type.String({ examples: ["PENDING", "RUNNING", "SUCCEEDED"] }),
);

export const ConstraintsSchema = Type.Unsafe<JsonObject>(
  Type.Object({
    budgets: Type.Optional(
      Type.Object({
        max_runtime_ms: integer,
        max_retries: integer,
        max_artifact_bytes: integer,
        max_concurrent_jobs: integer,
      }),
    ),
    sandbox: Type.Optional(
      Type.Object({
        isolated: Type.Optional(Type.Boolean()),
        network_allowlist: texts,
        fs_read_only: texts,
        fs_read_write: texts,
      }),
    ),
    toolchain: Type.Optional(Type.Object({ allowed_tools: texts, allowed_commands: texts })),
    diff: Type.Optional(Type.Object({ max_files: integer, max_lines: integer, deny_path_globs: texts })),
    redaction_level: text,
  }),
);

export const RemediationSchema = Type.Unsafe<JsonObject>(
  Type.Object({
    id: text,
    title: text,
    summary: text,
    replacement_topic: text,
    replacement_capability: text,
    add_labels: Type.Optional(TextMap),
    remove_labels: texts,
  }),
);

export const JobRecordSchema = Type.Object({
  id: Type.String(),
  state: JobStateSchema,
  updated_at: Type.Integer({ description: "Unix microseconds." }),
  trace_id: text,
  topic: text,
  tenant: text,
  team: text,
  principal: text,
  actor_id: text,
  actor_type: text,
  idempotency_key: text,
  capability: text,
  risk_tags: texts,
  requires: texts,
  pack_id: text,
  attempts: integer,
  safety_decision: text,
  safety_reason: text,
  safety_rule_id: text,
  safety_snapshot: text,
  deadline_unix: Type.Optional(Type.Integer({ description: "Unix seconds." })),
  worker_id: text,
  failure_reason: text,
});

export const JobDetailSchema = Type.Object({
  id: Type.String(),
  state: JobStateSchema,
  trace_id: Type.String(),
  topic: Type.String(),
  tenant: Type.String(),
  actor_id: Type.String(),
  actor_type: Type.String(),
  idempotency_key: Type.String(),
  capability: Type.String(),
  pack_id: Type.String(),
  risk_tags: Type.Union([Type.Array(Type.String()), Type.Null()]),
  requires: Type.Union([Type.Array(Type.String()), Type.Null()]),
  attempts: Type.Integer(),
  context_ptr: Type.String(),
  context: Type.Unknown({ description: "What was submitted; null when it has expired." }),
  result_ptr: Type.String(),
  result: Type.Unknown({ description: "What the worker returned; null when there is none." }),
  safety_decision: Type.String(),
  safety_reason: Type.String(),
  safety_rule_id: Type.String(),
  safety_snapshot: Type.String(),
  safety_job_hash: Type.String(),
  approval_ref: Type.String(),
  approval_required: Type.Boolean(),
  safety_constraints: Type.Union([ConstraintsSchema, Type.Null()]),
  safety_remediations: Type.Union([Type.Array(RemediationSchema), Type.Null()]),
  labels: TextMap,
  workflow_id: Type.String(),
  run_id: Type.String(),
  step_id: Type.String(),
  updated_at: Type.Integer({ description: "Unix microseconds." }),
  steps: Type.Array(
    Type.Object({
      state: JobStateSchema,
      at: Type.Integer({ description: "Unix microseconds." }),
      why: Type.String({ description: "A wait reason, an error code, a rule id or a worker id." }),
    }),
    { description: "The newest 50 states that the job passed, oldest first." },
  ),
  not_before: Type.Optional(Type.Integer({ description: "Unix microseconds." })),
  waiting: Type.Optional(Type.String({ description: "Why a job that could run does not run yet." })),
  worker_id: text,
  percent: integer,
  ...AsideMembers,
  error_message: text,
  error_status: text,
  error_code: text,
  last_state: text,
  approval_by: text,
  approval_role: text,
  approval_at: Type.Optional(Type.Integer({ description: "Unix microseconds." })),
  approval_reason: text,
  approval_note: text,
  approval_policy_snapshot: text,
  approval_job_hash: text,
  approval_status: text,
  approval_actionability: text,
  approval_decision: text,
});

export const DecisionSchema = Type.Unsafe<JsonObject>(
  Type.Object({
    decision: Type.String(),
    reason: text,
    rule_id: text,
    policy_snapshot: text,
    constraints: Type.Optional(ConstraintsSchema),
    approval_required: Type.Optional(Type.Boolean()),
    approval_ref: text,
    job_hash: text,
    remediations: Type.Optional(Type.Array(RemediationSchema)),
    checked_at: Type.Integer({ description: "Unix microseconds." }),
  }),
);

const IGNORED = "Accepted and ignored: the principal is that of the credential.";

export const SubmissionSchema = Type.Object(
  {
    prompt: maybe(Type.String({ description: "Required; at most 100,000 bytes." })),
    topic: maybe(Type.String({ description: "Begins with `job.`; default `job.default`." })),
    adapter_id: maybe(Type.String()),
    priority: maybe(
      Type.String({ description: "`critical`, `interactive` or `batch`; anything else is interactive." }),
    ),
    context: Type.Optional(
      Type.Unknown({ description: "Any JSON, at most 128 levels deep: the input of the worker." }),
    ),
    memory_id: maybe(Type.String()),
    context_mode: maybe(Type.String()),
    org_id: maybe(Type.String()),
    tenant_id: maybe(Type.String()),
    team_id: maybe(Type.String()),
    project_id: maybe(Type.String()),
    principal_id: maybe(Type.String({ description: IGNORED })),
    actor_id: maybe(Type.String()),
    actor_type: maybe(Type.String({ description: "`human` or `service`." })),
    idempotency_key: maybe(Type.String({ description: "The header Idempotency-Key says the same." })),
    pack_id: maybe(Type.String()),
    capability: maybe(Type.String()),
    risk_tags: maybe(Type.Array(Type.String())),
    requires: maybe(Type.Array(Type.String())),
    labels: maybe(TextMap),
    tags: maybe(Type.Array(Type.String())),
    allow_summarization: maybe(Type.Boolean()),
    allow_retrieval: maybe(Type.Boolean()),
    max_input_tokens: maybe(Type.Integer()),
    max_output_tokens: maybe(Type.Integer()),
    max_total_tokens: maybe(Type.Integer()),
    deadline_ms: maybe(Type.Integer({ description: "Milliseconds from acceptance; 0 = none." })),
    not_before: maybe(
      Type.Union([Type.String(), Type.Integer()], {
        description: "No worker gets it before then: RFC 3339, or a Unix time; at most 366 days ahead.",
      }),
    ),
    delay_ms: maybe(Type.Integer({ description: "As not_before, in milliseconds from acceptance." })),
  },
  { examples: [{ prompt: "Say hello", topic: "job.echo" }] },
);
