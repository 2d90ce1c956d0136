// Vouching: from what a worker says to what the gateway says for it.
// Owns:          which packets a worker may send, what of them is believed, and how they leave for the bus.
// Must not know: sockets, State; whose a job is (session.ts asks).
// V1. A packet is read, judged and written anew: its sender is the gateway, its time the gateway's, its worker that of the session. What a
//     worker claims about tenants, tokens and signatures goes no further.
// V2. Of heartbeats the labels that decide who gets which job are the gateway's alone.
// V3. A pointer in a result is the job's own or none.

import {
  type BusPacket,
  type BusPacketPayload,
  ComponentRole,
  encodePacket,
  type Heartbeat,
  ID_CHARS_MAX,
  type Init,
  isTopic,
  type JobProgress,
  type JobResult,
  JobStatus,
  parsePacket,
  parsePointer,
  pointerTo,
  resultKey,
  SENDERS,
  SUBJECTS,
  timestampOf,
} from "@cordum/protocol";
import type { Dispatch, Job } from "../jobs/job.ts";
import { ownersOf } from "../jobs/out-with-worker.ts";
import { WORKER_NOT_REACHED } from "../jobs/report.ts";
import type { EpochMs } from "../ports/time.ts";
import { INSTANCE_LABEL, PRESENCE_BYTES_MAX, SESSION_LABEL, TENANT_LABEL } from "../scheduling/registry.ts";
import { isOwnName, type SessionWorker } from "./session-worker.ts";

/** What a worker said, as far as it may be said by it. */
export type Said =
  | { readonly kind: "heartbeat"; readonly value: Heartbeat; readonly instance: string }
  | { readonly kind: "handshake"; readonly topics: readonly string[]; readonly value: Init<BusPacketPayload> }
  | { readonly kind: "progress"; readonly jobId: string; readonly value: JobProgress; readonly traceId: string }
  | { readonly kind: "result"; readonly jobId: string; readonly value: JobResult; readonly traceId: string }
  | { readonly kind: "refused"; readonly code: VouchRefusal; readonly reason: string };

export type VouchRefusal =
  | "PACKET_MALFORMED"
  | "PACKET_TOO_LARGE"
  | "PACKET_UNEXPECTED"
  | "SUBJECT_FORBIDDEN"
  | "WORKER_MISMATCH";

/** Which dispatch a packet about a job answers. */
export type Answered = Pick<Dispatch, "id"> & { readonly attempt: number };

const TOPICS_MAX = 256;
const CAPACITY_MAX = 1_000;
const OUR_LABELS = "cordum.";

/** Never throws on bytes. */
export function hearWorker(subject: string, bytes: Uint8Array, worker: SessionWorker): Said {
  const wanted = KIND_ON.get(subject);
  if (wanted === undefined)
    return refused("SUBJECT_FORBIDDEN", `a worker publishes nothing on ${subject.slice(0, 80)}`);
  const isPresence = wanted === "heartbeat" || wanted === "handshake";
  if (isPresence && bytes.length > PRESENCE_BYTES_MAX)
    return refused("PACKET_TOO_LARGE", `a ${wanted} has at most ${PRESENCE_BYTES_MAX} bytes`);
  const parsed = parsePacket(bytes);
  if (parsed.kind === "malformed") return refused("PACKET_MALFORMED", parsed.reason);
  const { packet } = parsed;
  if (packet.protocolVersion > 1) return refused("PACKET_UNEXPECTED", "the protocol version is 1");
  if (packet.payload?.kind !== wanted) return refused("PACKET_UNEXPECTED", `on ${subject} a ${wanted} is expected`);
  return hear(packet, packet.payload, worker);
}

function hear({ traceId }: BusPacket, payload: BusPacketPayload, worker: SessionWorker): Said {
  const trace = traceId.slice(0, ID_CHARS_MAX).toWellFormed();
  switch (payload.kind) {
    case "heartbeat":
      return hearHeartbeat(payload.value, worker);
    case "handshake": {
      const { componentId, readyTopics, capabilities, sdkVersion } = payload.value;
      if (!isOwnName(componentId, worker)) return mismatch(componentId, worker);
      const topics = readyTopics.filter(isTopic).slice(0, TOPICS_MAX);
      const value = {
        componentId: worker.workerId,
        role: ComponentRole.WORKER,
        supportedVersions: [1],
        capabilities,
        sdkVersion,
        readyTopics: topics,
      };
      return { kind: "handshake", topics, value: { kind: "handshake", value } };
    }
    case "jobProgress": {
      const { value } = payload;
      return isJobId(value.jobId)
        ? { kind: "progress", jobId: value.jobId, value, traceId: trace }
        : refused("PACKET_UNEXPECTED", "a progress names its job");
    }
    case "jobResult": {
      const { value } = payload;
      if (!isJobId(value.jobId)) return refused("PACKET_UNEXPECTED", "a result names its job");
      if (value.workerId !== "" && !isOwnName(value.workerId, worker)) return mismatch(value.workerId, worker);
      return { kind: "result", jobId: value.jobId, value, traceId: trace };
    }
    default:
      return refused("PACKET_UNEXPECTED", "a worker does not send this");
  }
}

function hearHeartbeat(heartbeat: Heartbeat, worker: SessionWorker): Said {
  if (!isOwnName(heartbeat.workerId, worker)) return mismatch(heartbeat.workerId, worker);
  const labels: Record<string, string> = Object.create(null);
  for (const [name, value] of Object.entries(heartbeat.labels)) if (!name.startsWith(OUR_LABELS)) labels[name] = value;
  const instance = (heartbeat.labels[INSTANCE_LABEL] ?? "").slice(0, ID_CHARS_MAX);
  if (instance !== "") labels[INSTANCE_LABEL] = instance;
  labels[TENANT_LABEL] = worker.tenant;
  labels[SESSION_LABEL] = worker.session;
  const maxParallelJobs = Math.min(heartbeat.maxParallelJobs, CAPACITY_MAX);
  const value = { ...heartbeat, workerId: worker.workerId, labels, maxParallelJobs, authToken: "" };
  return { kind: "heartbeat", value, instance };
}

export function presencePacket(
  said: Said & { readonly kind: "heartbeat" | "handshake" },
  worker: SessionWorker,
  now: EpochMs,
): Uint8Array {
  const payload = said.kind === "handshake" ? said.value : ({ kind: "heartbeat", value: said.value } as const);
  return seal(worker.workerId, payload, now);
}

export function progressPacket(
  said: Said & { readonly kind: "progress" },
  answered: Answered,
  worker: SessionWorker,
  now: EpochMs,
): Uint8Array {
  const { value, traceId, jobId } = said;
  const own = {
    ...value,
    dispatch: dispatchOf(answered, worker),
    identity: undefined,
    resultPtr: ownPointer(jobId, value.resultPtr),
    artifactPtrs: value.artifactPtrs.filter((pointer) => isOwnArtifact(jobId, pointer)),
  };
  return seal(traceId, { kind: "jobProgress", value: own }, now);
}

/** `answered`: what it had of the job, where that is known. A dispatch that the worker names itself stays: by it others see a late result. */
export function resultPacket(
  said: Said & { readonly kind: "result" },
  answered: Answered | undefined,
  worker: SessionWorker,
  now: EpochMs,
): Uint8Array {
  const { value, traceId, jobId } = said;
  const named = value.dispatch?.dispatchId ?? "";
  const dispatch = answered === undefined ? value.dispatch : dispatchOf(answered, worker);
  const own = {
    ...value,
    workerId: worker.workerId,
    dispatch: named === "" || dispatch === undefined ? dispatch : { ...dispatch, dispatchId: named },
    identity: undefined,
    resultPtr: ownPointer(jobId, value.resultPtr),
    artifactPtrs: value.artifactPtrs.filter((pointer) => isOwnArtifact(jobId, pointer)),
  };
  return seal(traceId, { kind: "jobResult", value: own }, now);
}

/** Gives a job back that the worker does not have: no attempt is lost by it. */
export function givenBack(job: Job, dispatch: Dispatch, reason: string, now: EpochMs): Uint8Array {
  const value = {
    jobId: job.id,
    status: JobStatus.FAILED_RETRYABLE,
    workerId: dispatch.workerId,
    errorCode: WORKER_NOT_REACHED,
    errorMessage: reason,
    dispatch: { dispatchId: dispatch.id, attempt: job.attempts, assignedWorkerId: dispatch.workerId },
  };
  return seal(job.traceId, { kind: "jobResult", value }, now);
}

/** Tells the worker that a job has ended without it. */
export function stopOrder(job: Job, now: EpochMs): Uint8Array {
  const reason = "the job has ended";
  return seal(job.traceId, { kind: "jobCancel", value: { jobId: job.id, reason, requestedBy: SENDERS.gateway } }, now);
}

function seal(traceId: string, payload: Init<BusPacketPayload>, now: EpochMs): Uint8Array {
  return encodePacket({
    traceId,
    senderId: SENDERS.gateway,
    createdAt: timestampOf(now),
    protocolVersion: 1,
    payload,
  });
}

function dispatchOf({ id, attempt }: Answered, { workerId }: SessionWorker) {
  return { dispatchId: id, attempt, assignedWorkerId: workerId };
}

function ownPointer(jobId: string, pointer: string): string {
  const parsed = parsePointer(pointer);
  const isOwn = parsed.kind === "key" && (parsed.fallbackKey ?? parsed.key) === resultKey(jobId);
  return isOwn ? pointerTo(resultKey(jobId)) : "";
}

function isOwnArtifact(jobId: string, pointer: string): boolean {
  const parsed = parsePointer(pointer);
  return parsed.kind === "key" && ownersOf(parsed.key, "store").includes(jobId) && parsed.key.startsWith("art:");
}

function isJobId(text: string): boolean {
  return text !== "" && text.length <= ID_CHARS_MAX;
}

const KIND_ON: ReadonlyMap<string, BusPacketPayload["kind"]> = new Map([
  [SUBJECTS.heartbeat, "heartbeat"],
  [SUBJECTS.handshake, "handshake"],
  [SUBJECTS.jobProgress, "jobProgress"],
  [SUBJECTS.jobResult, "jobResult"],
]);

function mismatch(name: string, { ownId }: SessionWorker): Said {
  return refused("WORKER_MISMATCH", `this session is of worker ${ownId}, not of ${name.slice(0, 80).toWellFormed()}`);
}

function refused(code: VouchRefusal, reason: string): Said {
  return { kind: "refused", code, reason };
}
