// Records: what the API answers, member by member as on the wire (snake_case), and what it is asked.
// Owns:          the types.
// Must not know: how they travel.
// A member marked optional is absent when it is empty. Times of jobs are Unix microseconds, as everywhere in this API.

/** States of a job in the order of its life. Newer servers may have more. */
export const JOB_STATES = [
  "PENDING",
  "APPROVAL_REQUIRED",
  "SCHEDULED",
  "DISPATCHED",
  "RUNNING",
  "SUCCEEDED",
  "FAILED",
  "CANCELLED",
  "TIMEOUT",
  "DENIED",
] as const;
export type JobState = (typeof JOB_STATES)[number] | (string & Record<never, never>);

const TERMINAL_STATES: ReadonlySet<string> = new Set([
  "SUCCEEDED",
  "FAILED",
  "CANCELLED",
  "TIMEOUT",
  "DENIED",
  "QUARANTINED",
  "OUTPUT_QUARANTINED",
]);

/** True when nothing will happen to the job any more. */
export function isTerminal(state: JobState): boolean {
  return TERMINAL_STATES.has(state);
}

/** A job as a stream tells of it. */
export interface JobUpdate {
  readonly id: string;
  readonly state: JobState;
  readonly updated_at: number;
  readonly topic: string;
  readonly tenant: string;
  readonly trace_id: string;
  readonly attempts: number;
  /** Why it does not run yet. */
  readonly waiting?: string;
  readonly percent?: number;
  /** What its worker said last about its work. */
  readonly progress_message?: string;
  readonly worker_id?: string;
  readonly error_code?: string;
  readonly error_message?: string;
  readonly result_ptr?: string;
  /** What it has passed so far; only where one job is watched. */
  readonly steps?: readonly JobStep[];
}

/** A change of a job, and where a reader goes on from there. */
export interface JobEvent {
  readonly job: JobUpdate;
  /** Hand it back to go on from here, in another process too. */
  readonly lastEventId: string;
}

export interface JobSubmission {
  /** Required by the server: at most 100,000 bytes. */
  readonly prompt: string;
  /** Begins with `job.`; the server's default is `job.default`. */
  readonly topic?: string;
  /** Any JSON: the input of a typed worker. */
  readonly context?: unknown;
  readonly priority?: "interactive" | "batch" | "critical";
  readonly adapter_id?: string;
  readonly memory_id?: string;
  readonly context_mode?: "raw" | "chat" | "rag";
  readonly tenant_id?: string;
  readonly team_id?: string;
  readonly project_id?: string;
  readonly principal_id?: string;
  readonly actor_id?: string;
  readonly actor_type?: "human" | "service";
  readonly idempotency_key?: string;
  readonly pack_id?: string;
  readonly capability?: string;
  readonly risk_tags?: readonly string[];
  readonly requires?: readonly string[];
  readonly labels?: { readonly [label: string]: string };
  readonly tags?: readonly string[];
  readonly allow_summarization?: boolean;
  readonly allow_retrieval?: boolean;
  readonly max_input_tokens?: number;
  readonly max_output_tokens?: number;
  readonly max_total_tokens?: number;
  /** Milliseconds from acceptance. */
  readonly deadline_ms?: number;
}

export interface SubmittedJob {
  readonly job_id: string;
  readonly trace_id: string;
  /** Only from servers that answer what policy decided. */
  readonly status?: string;
  readonly reason?: string;
}

export interface JobRecord {
  readonly id: string;
  readonly state: JobState;
  /** Unix microseconds. */
  readonly updated_at: number;
  readonly trace_id?: string;
  readonly topic?: string;
  readonly tenant?: string;
  readonly team?: string;
  readonly principal?: string;
  readonly actor_id?: string;
  readonly actor_type?: string;
  readonly idempotency_key?: string;
  readonly capability?: string;
  readonly risk_tags?: readonly string[];
  readonly requires?: readonly string[];
  readonly pack_id?: string;
  readonly attempts?: number;
  readonly safety_decision?: string;
  readonly safety_reason?: string;
  readonly safety_rule_id?: string;
  readonly safety_snapshot?: string;
  /** Unix seconds. */
  readonly deadline_unix?: number;
}

export interface Constraints {
  readonly budgets?: {
    readonly max_runtime_ms?: number;
    readonly max_retries?: number;
    readonly max_artifact_bytes?: number;
    readonly max_concurrent_jobs?: number;
  };
  readonly sandbox?: {
    readonly isolated?: boolean;
    readonly network_allowlist?: readonly string[];
    readonly fs_read_only?: readonly string[];
    readonly fs_read_write?: readonly string[];
  };
  readonly toolchain?: { readonly allowed_tools?: readonly string[]; readonly allowed_commands?: readonly string[] };
  readonly diff?: {
    readonly max_files?: number;
    readonly max_lines?: number;
    readonly deny_path_globs?: readonly string[];
  };
  readonly redaction_level?: string;
}

export interface Remediation {
  readonly id: string;
  readonly title?: string;
  readonly summary?: string;
  readonly replacement_topic?: string;
  readonly replacement_capability?: string;
  readonly add_labels?: { readonly [label: string]: string };
  readonly remove_labels?: readonly string[];
}

/** What became of the work on a job that was ended while a worker had it. */
export interface StopOrder {
  /** `awaited`: its worker was told to stop. `acknowledged`: it answered, see `reported`. `outcome_unknown`: it did not, in time. */
  readonly status: "awaited" | "acknowledged" | "outcome_unknown" | (string & Record<never, never>);
  readonly worker_id: string;
  /** Unix microseconds, as the other times. */
  readonly asked_at: number;
  readonly answered_at?: number;
  /** Status of the worker's result, e.g. JOB_STATUS_CANCELLED; JOB_STATUS_SUCCEEDED when the order came too late. */
  readonly reported?: string;
}

/** A result that changed nothing. */
export interface StrayResult {
  readonly at: number;
  /** ended, repeated, earlier_attempt, not_assigned, other_dispatch or not_out. */
  readonly why: string;
  readonly worker_id: string;
  readonly via?: string;
  readonly dispatch_id?: string;
  readonly reported: string;
  readonly code?: string;
}

export interface JobDetail {
  readonly id: string;
  readonly state: JobState;
  readonly trace_id: string;
  readonly topic: string;
  readonly tenant: string;
  readonly actor_id: string;
  readonly actor_type: string;
  readonly idempotency_key: string;
  readonly capability: string;
  readonly pack_id: string;
  readonly risk_tags: readonly string[] | null;
  readonly requires: readonly string[] | null;
  readonly attempts: number;
  readonly context_ptr: string;
  readonly context: unknown;
  readonly result_ptr: string;
  /** What the worker returned; null when there is none (yet). */
  readonly result: unknown;
  readonly safety_decision: string;
  readonly safety_reason: string;
  readonly safety_rule_id: string;
  readonly safety_snapshot: string;
  readonly safety_job_hash: string;
  readonly safety_constraints: Constraints | null;
  readonly safety_remediations: readonly Remediation[] | null;
  readonly approval_required: boolean;
  readonly approval_ref: string;
  readonly labels: { readonly [label: string]: string };
  readonly workflow_id: string;
  readonly run_id: string;
  readonly step_id: string;
  /** States that the job passed, oldest first; absent from servers that do not tell. */
  readonly steps?: readonly JobStep[];
  /** Why a job that could run does not run yet. */
  readonly waiting?: string;
  readonly worker_id?: string;
  readonly percent?: number;
  readonly progress_message?: string;
  /** Unix microseconds. */
  readonly progress_at?: number;
  /** Only of a job that was ended while a worker had it. */
  readonly stop?: StopOrder;
  /** Results about the job that did not count, oldest first. */
  readonly stray_results?: readonly StrayResult[];
  readonly error_message?: string;
  readonly error_status?: string;
  readonly error_code?: string;
  readonly last_state?: string;
  readonly approval_by?: string;
  readonly approval_role?: string;
  readonly approval_at?: number;
  readonly approval_reason?: string;
  readonly approval_note?: string;
  readonly approval_policy_snapshot?: string;
  readonly approval_job_hash?: string;
}

export interface JobStep {
  readonly state: JobState;
  /** Unix microseconds. */
  readonly at: number;
  readonly why: string;
}

export interface CancelledJob {
  readonly id: string;
  readonly state: JobState;
  /** `job already terminal` when there was nothing left to cancel. */
  readonly reason?: string;
  /** Where a worker had it. */
  readonly stop?: StopOrder;
}

export interface JobDecision {
  readonly decision?: string;
  readonly reason?: string;
  readonly rule_id?: string;
  readonly policy_snapshot?: string;
  readonly constraints?: Constraints;
  readonly approval_required?: boolean;
  readonly approval_ref?: string;
  readonly job_hash?: string;
  readonly remediations?: readonly Remediation[];
  /** Unix microseconds. */
  readonly checked_at?: number;
}

export interface Approval {
  readonly job: JobRecord;
  readonly decision?: string;
  readonly policy_snapshot?: string;
  readonly policy_rule_id?: string;
  readonly policy_reason?: string;
  readonly job_hash?: string;
  readonly approval_ref?: string;
  readonly constraints?: Constraints | null;
  readonly approval_required?: boolean;
  readonly approval_status?: string;
}

export interface ApprovedJob {
  readonly job_id: string;
  readonly trace_id?: string;
  readonly status?: string;
}

export interface DeadLetter {
  readonly job_id: string;
  /** RFC 3339. */
  readonly created_at: string;
  readonly topic?: string;
  readonly status?: string;
  readonly reason?: string;
  readonly reason_code?: string;
  readonly last_state?: string;
  readonly attempts?: number;
  /** The same for letters of one topic that died of the same error. */
  readonly signature?: string;
  /** The job that repeats this one. */
  readonly retried_as?: string;
}

export interface RetriedJob {
  /** Id of the new job. */
  readonly job_id: string;
}

export interface SystemStatus {
  readonly time: string;
  readonly uptime_seconds: number;
  readonly build: { readonly version: string; readonly commit: string; readonly date: string };
  readonly nats?: { readonly connected: boolean; readonly status: string; readonly url?: string };
  readonly redis?: { readonly ok: boolean; readonly error?: string };
  readonly workers?: { readonly count: number };
  /** Jobs of the tenant by state, in lower case. */
  readonly pipeline?: { readonly [state: string]: number };
}

export interface JobQuery {
  readonly state?: JobState;
  readonly topic?: string;
  readonly team?: string;
  readonly tenant?: string;
  readonly trace_id?: string;
  /** Unix seconds, milliseconds or microseconds, inclusive. */
  readonly updated_after?: number;
  readonly updated_before?: number;
}

/** Who may come in with an API key, and for what. The key itself is shown when it is made or rotated, and never again. */
export interface ApiKeyRecord {
  readonly id: string;
  readonly name: string;
  /** The first is meant when a request names none. */
  readonly tenants: readonly string[];
  readonly all_tenants: boolean;
  readonly roles: readonly string[];
  readonly principal_id: string;
  readonly acts_for_others: boolean;
  readonly state: "active" | "expired" | "revoked" | (string & Record<never, never>);
  /** RFC 3339, as the other times. */
  readonly created_at: string;
  readonly created_by: string;
  readonly expires_at?: string;
  /** To the minute. */
  readonly last_used_at?: string;
  readonly revoked_at?: string;
  /** Valid ones, newest first: two during the grace of a rotation. */
  readonly secrets: readonly { readonly created_at: string; readonly valid_until?: string }[];
}

export interface MadeApiKey extends ApiKeyRecord {
  /** The key. */
  readonly secret: string;
}

export interface ApiKeyWish {
  readonly name: string;
  readonly roles: readonly string[];
  readonly tenants?: readonly string[];
  readonly all_tenants?: boolean;
  readonly principal_id?: string;
  readonly acts_for_others?: boolean;
  /** RFC 3339. */
  readonly expires_at?: string;
}
