// Jobs that arrive as packets on the bus, from anybody who speaks CAP.
// Owns:          how a JobRequest packet becomes a job; what is refused.
// Must not know: HTTP. Policy, placement and storage are the submit use case's (submit.ts).
// A packet cannot be sent away as a request can: a job that comes when its tenant has submitted as many as it may is taken, and waits for its
// turn in its record (docs/decisions/024). One that is there already takes no turn: packets come twice, and gateways ring with them.
// The bytes of the request are kept as they came, so that fields of newer clients survive; only a request that claims what the control
// plane alone may say is written anew, without it.

import {
  type BusPacket,
  encodeJobRequest,
  ID_CHARS_MAX,
  type JobRequest,
  JobPriority as PriorityOnWire,
} from "@cordum/protocol";
import type { Verdict } from "../ports/bus.ts";
import { Fault } from "../ports/fault.ts";
import type { EpochMs } from "../ports/time.ts";
import { makeRoom } from "./backpressure.ts";
import { capText } from "./cap-text.ts";
import { changeSeen } from "./change.ts";
import type { Job, JobPriority } from "./job.ts";
import type { JobParts } from "./job-parts.ts";
import { hashRequest, REQUEST_BYTES_MAX, RESERVED_ENV, RESERVED_LABELS, withoutKeys } from "./job-request.ts";
import { codeOf, payloadFault } from "./job-schemas.ts";
import { ownContextKey } from "./own-payloads.ts";
import { createJob, type JobDraft } from "./submit.ts";
import { complaintsOfTopic, isShortText } from "./submit-command.ts";
import { isDue } from "./transition.ts";

export interface RequestPacket {
  readonly request: JobRequest;
  readonly packet: BusPacket;
  readonly requestBytes: Uint8Array | undefined;
}

const TENANT = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
/** Ids become parts of keys and subjects; run and step ids hold ":" and "@". */
const JOB_ID = /^[A-Za-z0-9][A-Za-z0-9:._@[\]-]*$/;

export async function submitPacket(received: RequestPacket, parts: JobParts, signal: AbortSignal): Promise<Verdict> {
  const { request, packet } = received;
  const jobId = request.jobId.trim();
  const topic = request.topic.trim();
  const tenants = new Set([request.tenantId, request.meta?.tenantId, request.env.tenant_id].filter(Boolean));
  const [tenant = "default"] = tenants;
  const fault = tenants.size > 1 ? "tenant_mismatch" : faultOf(request, { jobId, topic, tenant });
  if (fault !== undefined) return refuse(fault, jobId, packet.senderId, parts);
  const isClean = !claimsWhatIsOurs(request) && request.jobId === jobId && request.topic === topic;
  const clean = isClean ? request : cleaned(request, jobId, topic);
  const encoded = isClean && received.requestBytes !== undefined ? received.requestBytes : encodeJobRequest(clean);
  if (encoded.byteLength > REQUEST_BYTES_MAX) return refuse("request_bytes", jobId, packet.senderId, parts);
  const deadlineMs = Math.max(0, Number(request.budget?.deadlineMs ?? 0));
  const draft = {
    jobId,
    tenant,
    topic,
    traceId: packet.traceId === "" ? jobId : capText(packet.traceId, ID_CHARS_MAX),
    team: request.env.team_id ?? "",
    principal: request.principalId,
    priority: PRIORITY_OF[request.priority] ?? "interactive",
    request: clean,
    encoded,
    bodyHash: "",
    deadlineMs: Number.isSafeInteger(deadlineMs) ? deadlineMs : 0,
    patienceMs: parts.settings.longPatienceMs,
  } as const;
  const checked = await withRoom(await withRefusal(draft, parts, signal), parts, signal);
  const created = await createJob(await withTurn(checked, parts, signal), parts, signal);
  if (created.kind === "created") return { kind: "ack" };
  const { record } = created.seen;
  if (record.tenant !== tenant || record.hash !== hashRequest(clean, encoded))
    return refuse("job_id_taken", jobId, packet.senderId, parts);
  // The packet came again, or another process has stored the job and rings for one that judges and places.
  const pull = (job: Job): "pull" | undefined => (waitsForARing(job, parts.clock.now()) ? "pull" : undefined);
  await changeSeen(created.seen, pull, parts, signal);
  return { kind: "ack" };
}

async function withRefusal(draft: JobDraft, parts: JobParts, signal: AbortSignal): Promise<JobDraft> {
  const { clock, jobs, payloads, settings } = parts;
  const within = () => clock.deadline(signal, settings.storeTimeoutMs);
  const load = async (): Promise<Uint8Array | undefined> => {
    // A gateway rings with jobs that are there; with an idempotency key their contexts have names of their own.
    const seen = await jobs.load(draft.jobId, within());
    const key = ownContextKey({ id: draft.jobId, bodyHash: seen?.record.bodyHash ?? "" }, draft.request);
    return key === undefined ? undefined : payloads.get(key, within());
  };
  const checking = payloadFault({ ...draft, load }, parts, signal);
  const fault = checking === undefined ? undefined : await checking;
  return fault === undefined ? draft : { ...draft, refusal: { code: codeOf(fault), message: fault.message } };
}

/** A job beyond what its tenant may have open is a dead letter, from where it can be retried. One that is there already stays what it is. */
async function withRoom(draft: JobDraft, parts: JobParts, signal: AbortSignal): Promise<JobDraft> {
  if (draft.refusal !== undefined) return draft;
  try {
    await makeRoom(draft, parts, signal);
    return draft;
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== "BACKPRESSURE") throw error;
    return { ...draft, refusal: { code: "backpressure", message: error.message } };
  }
}

async function withTurn(draft: JobDraft, parts: JobParts, signal: AbortSignal): Promise<JobDraft> {
  const { submitLimiter, settings, clock, jobs, meter } = parts;
  const { tenant, jobId } = draft;
  if (draft.refusal !== undefined || !submitLimiter.limits(tenant)) return draft;
  const seen = await jobs.load(jobId, clock.deadline(signal, settings.storeTimeoutMs));
  if (seen !== undefined) return draft;
  const turn = await submitLimiter.queue(tenant, settings.backlogMaxMs, signal);
  if (turn.kind === "now") return draft;
  meter.count("cordum_scheduler_submits_paced_total", { outcome: turn.kind === "later" ? "waits" : "failed" });
  if (turn.kind === "later") return { ...draft, turnAt: turn.at };
  const message = `jobs of tenant ${tenant} are limited to ${turn.rate.perSecond} a second, and too many wait for their turn`;
  return { ...draft, refusal: { code: "submit_rate_limited", message } };
}

/** Not for one that waits for something: back-off and the order of the backlog hold whatever is rung. */
function waitsForARing(job: Job, now: EpochMs): boolean {
  const { phase } = job;
  return (
    (phase.state === "PENDING" && phase.waiting === "placing") ||
    (phase.state === "SCHEDULED" && isDue(job, "place", now))
  );
}

function claimsWhatIsOurs({ labels, meta, env }: JobRequest): boolean {
  const isOurs = (label: string): boolean => RESERVED_LABELS.has(label);
  return (
    Object.keys(labels).some(isOurs) ||
    Object.keys(meta?.labels ?? {}).some(isOurs) ||
    Object.keys(env).some((name) => RESERVED_ENV.has(name))
  );
}

function cleaned(request: JobRequest, jobId: string, topic: string): JobRequest {
  const { labels, env, meta } = request;
  return {
    ...request,
    jobId,
    topic,
    labels: withoutKeys(labels, RESERVED_LABELS),
    env: withoutKeys(env, RESERVED_ENV),
    meta: meta === undefined ? undefined : { ...meta, labels: withoutKeys(meta.labels, RESERVED_LABELS) },
  };
}

const PRIORITY_OF: Readonly<Record<number, JobPriority>> = {
  [PriorityOnWire.INTERACTIVE]: "interactive",
  [PriorityOnWire.BATCH]: "batch",
  [PriorityOnWire.CRITICAL]: "critical",
};

interface Ids {
  readonly jobId: string;
  readonly topic: string;
  readonly tenant: string;
}

function faultOf(request: JobRequest, { jobId, topic, tenant }: Ids): string | undefined {
  if (jobId.length > ID_CHARS_MAX || !JOB_ID.test(jobId) || jobId.includes("..")) return "job_id";
  if (complaintsOfTopic(topic).length > 0) return "topic";
  if (!TENANT.test(tenant)) return "tenant_id";
  if (!isShortText(request.principalId)) return "principal_id";
  return isShortText(request.env.team_id ?? "") ? undefined : "team_id";
}

function refuse(field: string, jobId: string, senderId: string, parts: JobParts): Verdict {
  parts.meter.count("cordum_scheduler_validation_rejections_total", { reason: field });
  parts.log.warn("submit.refused", {
    jobId: capText(jobId, ID_CHARS_MAX),
    field,
    senderId: capText(senderId, ID_CHARS_MAX),
  });
  return { kind: "refuse", reason: `invalid ${field}` };
}
