// From the body of a submit to the command of the use case.
// Owns:          defaults and spellings of HTTP clients; what the credential decides and the body does not.
// Must not know: limits and rules of fields (submit-command.ts has them), Fastify.

import type { Static } from "typebox";
import type { SubmitCommand } from "../jobs/submit-command.ts";
import { invalidField } from "../ports/fault.ts";
import { isDeeperThan } from "../records/depth.ts";
import type { SubmissionSchema } from "./http/job-schemas.ts";
import { type Caller, resolveTenant } from "./identity.ts";
import { parseMoment } from "./moment.ts";

export type Submission = Static<typeof SubmissionSchema>;

const DEFAULT_TOPIC = "job.default";
const CONTEXT_DEPTH_MAX = 128;
const PRIORITY_CHARS_MAX = 64;

/** What a submission brings beside its body. */
export interface SubmissionHead {
  /** "" without one. */
  readonly idempotencyKey: string;
  /** The key is one that a job's own may replace; otherwise the two must not differ. */
  readonly isPreset?: boolean;
  /** W3C trace context; "" without one. */
  readonly traceparent: string;
}

/** `headerKey`: the header Idempotency-Key, "" when absent. Faults: INVALID_REQUEST, TENANT_FORBIDDEN. */
export function commandOf(body: Submission, head: SubmissionHead, caller: Caller): SubmitCommand {
  const priorityText = (body.priority ?? "").slice(0, PRIORITY_CHARS_MAX);
  if (isDeeperThan(body.context, CONTEXT_DEPTH_MAX)) {
    throw invalidField("context", `context is nested deeper than ${CONTEXT_DEPTH_MAX} levels`);
  }
  return {
    tenant: resolveTenant(caller, body.org_id || body.tenant_id || ""),
    principal: caller.identity.principal,
    team: body.team_id ?? "",
    topic: body.topic || DEFAULT_TOPIC,
    priority: priorityOf(priorityText),
    priorityText,
    prompt: body.prompt ?? "",
    context: body.context,
    adapterId: body.adapter_id ?? "",
    memoryId: body.memory_id ?? "",
    contextMode: body.context_mode ?? "",
    projectId: body.project_id ?? "",
    actorId: trimmed(body.actor_id),
    actorType: actorTypeOf(trimmed(body.actor_type)),
    idempotencyKey: idempotencyKeyOf(trimmed(body.idempotency_key), head),
    packId: trimmed(body.pack_id),
    capability: trimmed(body.capability),
    riskTags: body.risk_tags ?? [],
    requires: body.requires ?? [],
    labels: body.labels ?? {},
    tags: body.tags ?? [],
    allowSummarization: body.allow_summarization ?? false,
    allowRetrieval: body.allow_retrieval ?? false,
    maxInputTokens: body.max_input_tokens ?? 0,
    maxOutputTokens: body.max_output_tokens ?? 0,
    maxTotalTokens: body.max_total_tokens ?? 0,
    deadlineMs: body.deadline_ms ?? 0,
    ...startOf(body),
    traceparent: head.traceparent,
  };
}

function startOf(body: Submission): Pick<SubmitCommand, "notBefore" | "delayMs"> {
  const delay = body.delay_ms ?? undefined;
  const text = body.not_before ?? "";
  const isGiven = text !== "" && text !== 0;
  const notBefore = isGiven ? parseMoment(text) : undefined;
  if (isGiven && notBefore === undefined)
    throw invalidField("not_before", "not_before must be a time in RFC 3339, or a Unix time");
  return { ...(notBefore === undefined ? {} : { notBefore }), ...(delay === undefined ? {} : { delayMs: delay }) };
}

function priorityOf(text: string): SubmitCommand["priority"] {
  const lower = text.toLowerCase();
  return lower === "batch" || lower === "critical" ? lower : "interactive";
}

function actorTypeOf(text: string): SubmitCommand["actorType"] {
  const lower = text.toLowerCase();
  if (lower === "" || lower === "human" || lower === "service") return lower;
  throw invalidField("actor_type", "actor_type must be 'human' or 'service'");
}

function idempotencyKeyOf(ofBody: string, { idempotencyKey: ofHeader, isPreset }: SubmissionHead): string {
  if (ofBody !== "" && ofHeader !== "" && ofBody !== ofHeader && isPreset !== true) {
    throw invalidField("idempotency_key", "idempotency_key and the header Idempotency-Key differ");
  }
  return ofBody === "" ? ofHeader : ofBody;
}

function trimmed(text: string | null | undefined): string {
  return (text ?? "").trim();
}
