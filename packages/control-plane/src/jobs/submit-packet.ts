// Jobs that arrive as packets on the bus, from anybody who speaks CAP.
// Owns:          how a JobRequest packet becomes a job; what is refused.
// Must not know: HTTP. Policy, placement and storage are the submit use case's (submit.ts).
// The bytes of the request are kept as they came, so that fields of newer clients survive; only a request that claims what the control
// plane alone may say is written anew, without it.

import { type BusPacket, encodeJobRequest, type JobRequest, JobPriority as PriorityOnWire } from "@cordum/protocol";
import type { Verdict } from "../ports/bus.ts";
import { changeJob } from "./change.ts";
import type { JobPriority } from "./job.ts";
import type { JobParts } from "./job-parts.ts";
import { hashRequest, RESERVED_LABELS, withoutKeys } from "./job-request.ts";
import { createJob } from "./submit.ts";
import { complaintsOfTopic } from "./submit-command.ts";

export interface RequestPacket {
  readonly request: JobRequest;
  readonly packet: BusPacket;
  readonly requestBytes: Uint8Array | undefined;
}

const ID_CHARS_MAX = 256;
const TENANT = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
/** Ids become parts of keys and subjects; run and step ids hold ":" and "@". */
const JOB_ID = /^[A-Za-z0-9][A-Za-z0-9:._@[\]-]*$/;

export async function submitPacket(received: RequestPacket, parts: JobParts, signal: AbortSignal): Promise<Verdict> {
  const { request, packet } = received;
  const jobId = request.jobId.trim();
  const topic = request.topic.trim();
  const tenant = request.tenantId || request.meta?.tenantId || request.env.tenant_id || "default";
  const fault = faultOf(jobId, topic, tenant);
  if (fault !== undefined) return refuse(fault, jobId, packet.senderId, parts);
  const isClean =
    !Object.keys(request.labels).some((label) => RESERVED_LABELS.has(label)) &&
    request.jobId === jobId &&
    request.topic === topic;
  const clean = isClean ? request : { ...request, jobId, topic, labels: withoutKeys(request.labels, RESERVED_LABELS) };
  const encoded = isClean && received.requestBytes !== undefined ? received.requestBytes : encodeJobRequest(clean);
  const deadlineMs = Math.max(0, Number(request.budget?.deadlineMs ?? 0));
  const draft = {
    jobId,
    tenant,
    topic,
    traceId: packet.traceId === "" ? jobId : packet.traceId.slice(0, ID_CHARS_MAX),
    team: request.env.team_id ?? "",
    principal: request.principalId,
    priority: PRIORITY_OF[request.priority] ?? "interactive",
    request: clean,
    encoded,
    contextPtr: request.contextPtr,
    bodyHash: "",
    deadlineMs: Number.isSafeInteger(deadlineMs) ? deadlineMs : 0,
  } as const;
  const { job, isNew } = await createJob(draft, parts, signal);
  if (isNew) return { kind: "ack" };
  if (job.tenant !== tenant || job.hash !== hashRequest(clean, encoded))
    return refuse("job_id_taken", jobId, packet.senderId, parts);
  // The packet came again, or another process has stored the job and rings for one that judges and places.
  await changeJob(jobId, "pull", parts, signal);
  return { kind: "ack" };
}

const PRIORITY_OF: Readonly<Record<number, JobPriority>> = {
  [PriorityOnWire.INTERACTIVE]: "interactive",
  [PriorityOnWire.BATCH]: "batch",
  [PriorityOnWire.CRITICAL]: "critical",
};

function faultOf(jobId: string, topic: string, tenant: string): string | undefined {
  if (jobId.length > ID_CHARS_MAX || !JOB_ID.test(jobId) || jobId.includes("..")) return "job_id";
  if (complaintsOfTopic(topic).length > 0) return "topic";
  return TENANT.test(tenant) ? undefined : "tenant_id";
}

function refuse(field: string, jobId: string, senderId: string, parts: JobParts): Verdict {
  parts.meter.count("cordum_scheduler_validation_rejections_total", { reason: field });
  parts.log.warn("submit.refused", {
    jobId: jobId.slice(0, ID_CHARS_MAX),
    field,
    senderId: senderId.slice(0, ID_CHARS_MAX),
  });
  return { kind: "refuse", reason: `invalid ${field}` };
}
