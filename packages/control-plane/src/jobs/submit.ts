// Submitting a job: one use case for HTTP, the bus and whoever comes later.
// Owns:          validation, ids, the request that is stored and judged, idempotency, and the one commit that creates the job.
// Must not know: HTTP, packets' envelopes.
// B1. Validate, decide, place, then one commit that creates the record in the state it has reached; then publish; then answer.
// B2. An idempotency key makes the job's id: same tenant, key and body → the same answer; another body → IDEMPOTENCY_CONFLICT. Nothing is
//     reserved, so a failed submit leaves nothing behind.
// B3. The context is stored together with the record, or before it where it is large or the store cannot. Under an idempotency key its name holds the body's hash, so that of two bodies that race
//     each keeps its own. B4. Labels that only the control plane sets are dropped.

import { createHash } from "node:crypto";
import { encodeJobRequest, type JobRequest, pointerTo } from "@cordum/protocol";
import { assert, Fault } from "../ports/fault.ts";
import type { Attachment } from "../ports/state.ts";
import type { EpochMs, Ms } from "../ports/time.ts";
import { poolsFor } from "../scheduling/routing.ts";
import type { Passage } from "../scheduling/turnstile.ts";
import { makeRoom } from "./backpressure.ts";
import { followThrough, settleAndCommit } from "./change.ts";
import { derivedUuid, newUuid } from "./ids.ts";
import { JOB_SHAPE, type Job, type JobPriority, type JobState } from "./job.ts";
import type { DeedOf } from "./job-audit.ts";
import type { JobEvent } from "./job-event.ts";
import { isDeadLetter } from "./job-moves.ts";
import type { JobParts } from "./job-parts.ts";
import { contextKeyFor, hashRequest, REQUEST_BYTES_MAX } from "./job-request.ts";
import { payloadFault } from "./job-schemas.ts";
import type { SeenJob } from "./job-store.ts";
import { type SubmitCommand, startOf, toRequest, validateCommand } from "./submit-command.ts";

export interface Submitted {
  readonly jobId: string;
  readonly traceId: string;
  readonly state: JobState;
  readonly job: Job;
  /** The answer of an earlier submit with the same idempotency key. */
  readonly isRepeat: boolean;
}

/** Faults: INVALID_REQUEST with fields, IDEMPOTENCY_CONFLICT, PAYLOAD_TOO_LARGE, BACKPRESSURE, SCHEMA_*, STATE_*, PAYLOADS_UNAVAILABLE. */
export async function submitJob(
  command: SubmitCommand,
  parts: JobParts,
  signal: AbortSignal,
  patienceMs = parts.settings.patienceMs,
): Promise<Submitted> {
  validateCommand(command);
  const { jobId, bodyHash } = nameOf(command, parts);
  if (bodyHash !== "") {
    const seen = await parts.jobs.load(jobId, parts.clock.deadline(signal, parts.settings.storeTimeoutMs));
    if (seen !== undefined) return repeatOf(seen.record, bodyHash);
  }
  const key = contextKeyFor(jobId, bodyHash);
  const now = parts.clock.now();
  const notBefore = startOf(command, now);
  const { message: request, context } = toRequest(command, jobId, pointerTo(key), now);
  const encoded = encodeJobRequest(request);
  if (encoded.byteLength > REQUEST_BYTES_MAX)
    throw tooLarge("labels", `labels, tags and the like take more than ${REQUEST_BYTES_MAX} bytes together`);
  const { tenant, team, topic, principal, priority, deadlineMs } = command;
  const room = makeRoom({ tenant, team, request }, parts, signal);
  if (room !== undefined) await room;
  const load = async (): Promise<Uint8Array> => Buffer.from(context);
  const checking = payloadFault({ jobId, tenant, team, topic, request, load }, parts, signal);
  const fault = checking === undefined ? undefined : await checking;
  if (fault !== undefined) throw fault;
  const attached = attachable(key, context, parts);
  if (attached.length === 0) await storeContext(key, context, parts, signal);
  const about = { jobId, tenant, topic, traceId: jobId, team, principal, priority, request, encoded };
  const draft: JobDraft = { ...about, bodyHash, deadlineMs, notBefore, attached, patienceMs };
  const created = await createJob(draft, parts, signal);
  return created.kind === "created" ? answerOf(created.job, false) : repeatOf(created.seen.record, bodyHash);
}

/** See B2. */
function nameOf(command: SubmitCommand, { clock }: JobParts): { readonly jobId: string; readonly bodyHash: string } {
  const { tenant, idempotencyKey } = command;
  if (idempotencyKey === "") return { jobId: newUuid(clock), bodyHash: "" };
  return { jobId: derivedUuid("job", tenant, idempotencyKey), bodyHash: fingerprint(command) };
}

/** Larger ones would keep the store from its other batches. */
const ATTACHED_BYTES_MAX = 16_384;

/** See B3: the context where it is to be committed with the record; nothing where it must be stored before. */
function attachable(key: string, text: string, { payloads, state, settings }: JobParts): readonly Attachment[] {
  const { bytesMax } = payloads.traits;
  const bytes = Buffer.byteLength(text);
  if (bytes > bytesMax) throw tooLarge("context", `context and prompt take more than ${bytesMax} bytes together`);
  if (!state.traits.attaches || bytes > ATTACHED_BYTES_MAX) return [];
  return [{ do: "attach", key, text, keepMs: settings.contextKeepMs }];
}

function storeContext(key: string, text: string, parts: JobParts, signal: AbortSignal): Promise<void> {
  const { payloads, settings, clock } = parts;
  return payloads.put(key, Buffer.from(text), settings.contextKeepMs, clock.deadline(signal, settings.storeTimeoutMs));
}

/** What ends as a dead letter at once is kept for as long as the letter. */
function keptWith(job: Job, attached: readonly Attachment[], { jobs }: JobParts): readonly Attachment[] {
  if (!isDeadLetter(job)) return attached;
  return attached.map((one) => ({ ...one, keepMs: Math.max(one.keepMs, jobs.deadLetterKeepMs) }));
}

function tooLarge(field: string, reason: string): Fault {
  return new Fault("PAYLOAD_TOO_LARGE", reason, { fields: [{ field, reason }] });
}

export interface JobDraft {
  readonly jobId: string;
  readonly tenant: string;
  readonly topic: string;
  readonly traceId: string;
  readonly team: string;
  readonly principal: string;
  readonly priority: JobPriority;
  readonly request: JobRequest;
  readonly encoded: Uint8Array;
  readonly bodyHash: string;
  /** 0: none. */
  readonly deadlineMs: Ms;
  readonly notBefore?: EpochMs | undefined;
  /** What is committed with the record. */
  readonly attached?: readonly Attachment[];
  /** When its turn comes; absent: now. */
  readonly turnAt?: EpochMs;
  /** How long it may wait for a slot that comes free soon, before it is stored; undefined: not at all. */
  readonly patienceMs?: Ms;
  /** Why it cannot run: then it is created to have failed. */
  readonly refusal?: { readonly code: string; readonly message: string };
}

interface Slot {
  readonly pool: string;
  readonly passing: Promise<Passage>;
}

export type Creation =
  | { readonly kind: "created"; readonly job: Job }
  /** A job has the id already: of the same request, or of another one. */
  | { readonly kind: "taken"; readonly seen: SeenJob };

/** Creates the job of a request that is complete, in the state that it can reach now; or brings the job that has the id already. */
export async function createJob(
  draft: JobDraft,
  parts: JobParts,
  signal: AbortSignal,
  deedOf?: DeedOf,
): Promise<Creation> {
  const slot = slotSoon(draft, parts);
  const passage = slot === undefined ? undefined : await slot.passing;
  if (passage !== undefined) parts.meter.count("cordum_scheduler_submits_held_total", { outcome: passage });
  const now = parts.clock.now();
  const accepted: Job = {
    shape: JOB_SHAPE,
    id: draft.jobId,
    tenant: draft.tenant,
    topic: draft.topic,
    traceId: draft.traceId,
    team: draft.team,
    principal: draft.principal,
    priority: draft.priority,
    request: Buffer.from(draft.encoded.buffer, draft.encoded.byteOffset, draft.encoded.byteLength).toString("base64"),
    hash: hashRequest(draft.request, draft.encoded),
    bodyHash: draft.bodyHash,
    acceptedAt: now,
    updatedAt: now,
    listedAt: now,
    ...(draft.notBefore === undefined ? {} : { notBefore: draft.notBefore }),
    attempts: 0,
    attemptsMax: 1,
    phase: { state: "PENDING", waiting: "placing" },
    wakes: {
      decide: now,
      upkeep: now + parts.settings.upkeepMs,
      ...(draft.deadlineMs > 0 ? { deadline: now + draft.deadlineMs } : {}),
    },
    steps: [{ at: now, state: "PENDING", why: "accepted" }],
    decisions: [],
  };
  const { attached = [] } = draft;
  const event = firstEventOf(draft);
  const begun = { before: accepted, event, after: now - 1, attachesContext: attached.length > 0 };
  const { moved, saved } = await settleAndCommit(begun, parts, signal, (next) =>
    parts.jobs.create(next, parts.clock.deadline(signal, parts.settings.storeTimeoutMs), {
      attached: keptWith(next, attached, parts),
      deedOf,
    }),
  );
  if (slot !== undefined && passage === "slot" && !("dispatch" in moved.next.phase)) parts.turnstile.passOn(slot.pool);
  assert(saved !== "unchanged", "a new job is judged or waits for policy", { jobId: accepted.id });
  if (saved.kind === "conflict") {
    if (saved.seen !== undefined) return { kind: "taken", seen: saved.seen };
    throw new Fault("JOB_CONTENDED", "the job with this id was removed while it was being submitted again");
  }
  parts.meter.count("cordum_scheduler_jobs_received_total", { topic: draft.topic });
  const following = followThrough(moved, parts, signal);
  if (following !== undefined) await following;
  return { kind: "created", job: moved.next };
}

function firstEventOf({ refusal, turnAt }: JobDraft): JobEvent {
  if (refusal !== undefined) return { kind: "refused", ...refusal };
  return turnAt === undefined ? { kind: "woke" } : { kind: "paced", until: turnAt };
}

/** Undefined: nothing to wait for. Critical jobs do not wait here: in the backlog they come first. */
function slotSoon({ topic, priority, notBefore, turnAt, patienceMs }: JobDraft, parts: JobParts): Slot | undefined {
  if (!parts.drives || patienceMs === undefined || priority === "critical") return undefined;
  if (notBefore !== undefined || turnAt !== undefined) return undefined;
  const [pool, ...others] = poolsFor(parts.scheduling.current.routing, topic);
  if (pool === undefined || others.length > 0) return undefined;
  const passing = parts.turnstile.enter(pool, parts.registry.freeSlots(pool, parts.clock.now()), patienceMs);
  return passing === undefined ? undefined : { pool, passing };
}

function answerOf(job: Job, isRepeat: boolean): Submitted {
  return { jobId: job.id, traceId: job.traceId, state: job.phase.state, job, isRepeat };
}

function repeatOf(job: Job, bodyHash: string): Submitted {
  if (job.bodyHash !== bodyHash)
    throw new Fault("IDEMPOTENCY_CONFLICT", "idempotency key already used with another request");
  return answerOf(job, true);
}

/** SHA-256 over the command in a form where the order of members does not matter. A repeat comes with another trace. */
function fingerprint({ traceparent: _, ...command }: SubmitCommand): string {
  const context = command.context ?? undefined; // null is none
  return createHash("sha256")
    .update(stable({ ...command, context }))
    .digest("hex");
}

function stable(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(stable).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value) ?? "null";
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  members.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${stable(member)}`).join(",")}}`;
}
