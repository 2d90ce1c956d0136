// What is asked for when a job is submitted, and the request that comes of it.
// Owns:          the fields, their limits, the context blob, env and hints as workers of the original know them.
// Must not know: ids, State, who sent it. Source of names and defaults: REST submit and CAP JobRequest.

import { isTopic, JobRequest, JobPriority as PriorityOnWire, TRACEPARENT_ENV } from "@cordum/protocol";
import { refersToSecret } from "../policy/secrets.ts";
import { Fault, invalidField } from "../ports/fault.ts";
import type { EpochMs, Ms } from "../ports/time.ts";
import type { JobPriority } from "./job.ts";
import { RESERVED_LABELS, withoutKeys } from "./job-request.ts";

export interface SubmitCommand {
  readonly tenant: string;
  readonly principal: string;
  readonly team: string;
  readonly topic: string;
  readonly priority: JobPriority;
  /** As the caller wrote it; kept in the context blob. */
  readonly priorityText: string;
  readonly prompt: string;
  /** JSON; undefined when there is none. */
  readonly context: unknown;
  readonly adapterId: string;
  readonly memoryId: string;
  readonly contextMode: string;
  readonly projectId: string;
  readonly actorId: string;
  readonly actorType: "human" | "service" | "";
  readonly idempotencyKey: string;
  readonly packId: string;
  readonly capability: string;
  readonly riskTags: readonly string[];
  readonly requires: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly tags: readonly string[];
  readonly allowSummarization: boolean;
  readonly allowRetrieval: boolean;
  /** 0: the default, 8000. */
  readonly maxInputTokens: number;
  /** 0: the default, 1024. */
  readonly maxOutputTokens: number;
  readonly maxTotalTokens: number;
  /** 0: none. */
  readonly deadlineMs: Ms;
  /** No worker gets it before this moment, or before this long after acceptance; at most one of the two. */
  readonly notBefore?: EpochMs;
  readonly delayMs?: Ms;
  /** W3C trace context of the request; "" without one. */
  readonly traceparent: string;
}

const PROMPT_BYTES_MAX = 100_000;
const LABELS_MAX = 50;
const LABEL_KEY_BYTES_MAX = 256;
const LABEL_VALUE_BYTES_MAX = 4_096;
const TAGS_MAX = 50;
const LIST_MAX = 100;
const TEXT_CHARS_MAX = 512;
const INT32_MAX = 2_147_483_647;
/** Ten years: a deadline beyond is a slip of units. */
const DEADLINE_MS_MAX = 315_360_000_000;
/** A year and a day. */
const DELAY_MS_MAX = 366 * 86_400_000;
const TENANT = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

type Complaint = { readonly field: string; readonly reason: string };

/** Throws INVALID_REQUEST naming every field that is wrong and why. */
export function validateCommand(command: SubmitCommand): void {
  const complaints: Complaint[] = [];
  lookAtTexts(command, complaints);
  lookAtLists(command, complaints);
  lookAtNumbers(command, complaints);
  lookAtStart(command, complaints);
  const [first] = complaints;
  if (first !== undefined) throw new Fault("INVALID_REQUEST", first.reason, { fields: complaints });
}

/** When the job may run; undefined: at once. Throws INVALID_REQUEST for a time too far off, and for a deadline that comes first. */
export function startOf(command: SubmitCommand, now: EpochMs): EpochMs | undefined {
  const { notBefore, delayMs, deadlineMs } = command;
  const at = notBefore ?? now + (delayMs ?? 0);
  if (at <= now) return undefined;
  const field = notBefore === undefined ? "delay_ms" : "not_before";
  if (at - now > DELAY_MS_MAX) throw invalidField(field, `${field} must be within ${DELAY_MS_MAX / 86_400_000} days`);
  if (deadlineMs > 0 && at - now >= deadlineMs)
    throw invalidField("deadline_ms", `deadline_ms would end the job before ${field} lets it begin`);
  return at;
}

export interface CompleteRequest {
  readonly message: JobRequest;
  /** What is behind the context pointer. */
  readonly context: string;
}

/** The request as it is stored, judged and sent. */
export function toRequest(command: SubmitCommand, jobId: string, contextPtr: string, now: EpochMs): CompleteRequest {
  const holdsSecrets = refersToSecret(command.prompt) || refersToSecret(command.context);
  const labels = withoutKeys(command.labels, RESERVED_LABELS);
  // A caller may say that there are secrets which nobody sees; that there are none is for the detection to say.
  if (holdsSecrets || saysYes(labels.secrets_present ?? "")) labels.secrets_present = "true";
  else delete labels.secrets_present;
  const isTagged = command.riskTags.some((tag) => tag.toLowerCase() === "secrets");
  const riskTags = holdsSecrets && !isTagged ? [...command.riskTags, "secrets"] : command.riskTags;
  const memoryId = command.memoryId === "" ? `mem:${jobId}` : command.memoryId;
  const maxInputTokens = command.maxInputTokens || 8_000;
  const maxOutputTokens = command.maxOutputTokens || 1_024;
  const unset = JobRequest.make();
  const { tenant, tags, allowSummarization, allowRetrieval, maxTotalTokens, deadlineMs } = command;
  const message: JobRequest = {
    ...unset,
    jobId,
    topic: command.topic,
    priority: PRIORITY_ON_WIRE[command.priority],
    contextPtr,
    adapterId: command.adapterId,
    env: envOf(command, memoryId, maxInputTokens, maxOutputTokens),
    memoryId,
    contextHints: { maxInputTokens, allowSummarization, allowRetrieval, tags, unknownFields: undefined },
    budget: { maxInputTokens, maxOutputTokens, maxTotalTokens, deadlineMs, unknownFields: undefined },
    tenantId: tenant,
    principalId: command.principal,
    labels,
    meta: {
      tenantId: tenant,
      actorId: command.actorId === "" ? command.principal : command.actorId,
      actorType: command.actorType === "human" ? 1 : command.actorType === "service" ? 2 : 0,
      idempotencyKey: command.idempotencyKey,
      capability: command.capability,
      riskTags,
      requires: command.requires,
      packId: command.packId,
      labels,
      unknownFields: undefined,
    },
  };
  return { message, context: contextBlob(command, now) };
}

function saysYes(value: string): boolean {
  return ["true", "1", "yes"].includes(value.trim().toLowerCase());
}

const PRIORITY_ON_WIRE = {
  interactive: PriorityOnWire.INTERACTIVE,
  batch: PriorityOnWire.BATCH,
  critical: PriorityOnWire.CRITICAL,
} as const satisfies Record<JobPriority, number>;

function envOf(
  command: SubmitCommand,
  memoryId: string,
  maxInputTokens: number,
  maxOutputTokens: number,
): Record<string, string> {
  const env: Record<string, string> = {
    tenant_id: command.tenant,
    max_input_tokens: String(maxInputTokens),
    max_output_tokens: String(maxOutputTokens),
    memory_id: memoryId,
  };
  if (command.team !== "") env.team_id = command.team;
  if (command.projectId !== "") env.project_id = command.projectId;
  if (command.contextMode !== "") env.context_mode = command.contextMode;
  if (command.traceparent !== "") env[TRACEPARENT_ENV] = command.traceparent;
  return env;
}

function contextBlob(command: SubmitCommand, now: EpochMs): string {
  const blob = {
    prompt: command.prompt,
    adapter_id: command.adapterId,
    priority: command.priorityText,
    topic: command.topic,
    created_at: toSecond(now),
    tenant_id: command.tenant,
    context: command.context ?? undefined, // null is none
  };
  return JSON.stringify(blob);
}

/** RFC 3339. Many jobs come in the same second, and writing a time is dear. */
function toSecond(now: EpochMs): string {
  const second = Math.floor(now / 1_000);
  if (second !== lately.second) lately = { second, text: `${new Date(now).toISOString().slice(0, 19)}Z` };
  return lately.text;
}

let lately = { second: Number.NaN, text: "" };

/** Short texts, by the names that callers know. */
const TEXTS = [
  ["adapter_id", "adapterId"],
  ["memory_id", "memoryId"],
  ["context_mode", "contextMode"],
  ["team_id", "team"],
  ["project_id", "projectId"],
  ["principal_id", "principal"],
  ["actor_id", "actorId"],
  ["idempotency_key", "idempotencyKey"],
  ["pack_id", "packId"],
  ["capability", "capability"],
] as const satisfies readonly (readonly [field: string, member: keyof SubmitCommand])[];
const TOKENS = [
  ["max_input_tokens", "maxInputTokens"],
  ["max_output_tokens", "maxOutputTokens"],
  ["max_total_tokens", "maxTotalTokens"],
] as const satisfies readonly (readonly [field: string, member: keyof SubmitCommand])[];

function lookAtTexts(command: SubmitCommand, complaints: Complaint[]): void {
  if (command.prompt === "") complaints.push({ field: "prompt", reason: "prompt is required" });
  if (Buffer.byteLength(command.prompt) > PROMPT_BYTES_MAX)
    complaints.push({ field: "prompt", reason: "prompt too long (>100000 chars)" });
  complaints.push(...complaintsOfTopic(command.topic));
  if (!TENANT.test(command.tenant))
    complaints.push({ field: "tenant_id", reason: "tenant_id must be 1 to 128 letters, digits, '.', '_' or '-'" });
  for (const [field, member] of TEXTS) {
    const text = command[member];
    if (text === "") continue; // as most of them are
    if (text.length > TEXT_CHARS_MAX)
      complaints.push({ field, reason: `${field} is longer than ${TEXT_CHARS_MAX} characters` });
    else if (!text.isWellFormed() || hasControls(text))
      complaints.push({ field, reason: `${field} must be text without control characters` });
  }
}

export function complaintsOfTopic(topic: string): readonly Complaint[] {
  if (!topic.startsWith("job.")) return [{ field: "topic", reason: "topic must start with job." }];
  if (isTopic(topic)) return [];
  return [
    {
      field: "topic",
      reason: "topic must be job. and dot-separated names of letters, digits, '_' and '-', at most 256 characters",
    },
  ];
}

function lookAtLists({ labels, tags, riskTags, requires }: SubmitCommand, complaints: Complaint[]): void {
  if (tags.length > TAGS_MAX) complaints.push({ field: "tags", reason: `too many tags (max ${TAGS_MAX})` });
  lookAtLabels(labels, complaints);
  lookAtList("risk_tags", riskTags, complaints);
  lookAtList("requires", requires, complaints);
  lookAtList("tags", tags.slice(0, TAGS_MAX), complaints);
}

function lookAtLabels(labels: SubmitCommand["labels"], complaints: Complaint[]): void {
  const entries = Object.entries(labels);
  if (entries.length > LABELS_MAX) complaints.push({ field: "labels", reason: `too many labels (max ${LABELS_MAX})` });
  for (const [key, value] of entries.slice(0, LABELS_MAX)) {
    if (key === "" || Buffer.byteLength(key) > LABEL_KEY_BYTES_MAX || !key.isWellFormed()) {
      complaints.push({ field: "labels", reason: `a label's name must be 1 to ${LABEL_KEY_BYTES_MAX} bytes of text` });
    } else if (Buffer.byteLength(value) > LABEL_VALUE_BYTES_MAX || !value.isWellFormed()) {
      complaints.push({
        field: `labels.${key}`,
        reason: `a label's value must be at most ${LABEL_VALUE_BYTES_MAX} bytes of text`,
      });
    }
  }
}

function lookAtList(field: string, list: readonly string[], complaints: Complaint[]): void {
  if (list.length > LIST_MAX) complaints.push({ field, reason: `${field} has more than ${LIST_MAX} entries` });
  else if (list.some((entry) => entry.length > TEXT_CHARS_MAX || !entry.isWellFormed())) {
    complaints.push({ field, reason: `an entry of ${field} is longer than ${TEXT_CHARS_MAX} characters or not text` });
  }
}

function lookAtNumbers(command: SubmitCommand, complaints: Complaint[]): void {
  for (const [field, member] of TOKENS) {
    const count = command[member];
    if (count < 0) complaints.push({ field, reason: "token limits must be non-negative" });
    else if (!Number.isSafeInteger(count) || (field === "max_input_tokens" && count > INT32_MAX))
      complaints.push({ field, reason: `${field} is not an integer in range` });
  }
  const { deadlineMs } = command;
  if (deadlineMs < 0) complaints.push({ field: "deadline_ms", reason: "deadline_ms must be non-negative" });
  else if (!Number.isSafeInteger(deadlineMs) || deadlineMs > DEADLINE_MS_MAX)
    complaints.push({ field: "deadline_ms", reason: "deadline_ms must be an integer up to ten years" });
}

function lookAtStart({ notBefore, delayMs }: SubmitCommand, complaints: Complaint[]): void {
  if (notBefore !== undefined && delayMs !== undefined)
    complaints.push({ field: "delay_ms", reason: "delay_ms and not_before exclude each other" });
  else if (delayMs !== undefined && (!Number.isSafeInteger(delayMs) || delayMs < 0))
    complaints.push({ field: "delay_ms", reason: "delay_ms must be a non-negative integer" });
  else if (notBefore !== undefined && !Number.isSafeInteger(notBefore))
    complaints.push({ field: "not_before", reason: "not_before is not a moment" });
}

/** What names somebody or something: short, no control characters. */
export function isShortText(text: string): boolean {
  return text.length <= TEXT_CHARS_MAX && text.isWellFormed() && !hasControls(text);
}

function hasControls(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) < 0x20 || text.charCodeAt(at) === 0x7f) return true;
  return false;
}
