// Wire: between packets and what this worker understands of them.
// Owns:          which members of a packet a worker reads and fills; with signing.ts the only file that names the protocol package.
// Must not know: handlers, queues, connections.
// W1. Bytes from the bus are hostile: what cannot be read is a refusal with a reason, never an exception.
// W2. Every packet says protocol version 1, this worker as sender, the time, and the trace of the request it answers.
// W3. The dispatch and identity members of a request are repeated in everything about that job, so that a result can be matched
//     with the dispatch it answers.

import {
  type BusPacket,
  type BusPacketPayload,
  ComponentRole,
  type DispatchIdentity,
  directCancelSubject,
  directSubject,
  type IdentityBinding,
  type Init,
  isTopic,
  type JobRequest,
  JobStatus,
  type ParsedPointer,
  parsePacket,
  parsePointer,
  pointerTo,
  resultKey,
  SUBJECTS as SYSTEM_SUBJECTS,
  TRACEPARENT_ENV,
  timestampOf,
  workerIdForm,
} from "@cordum/protocol";
import type { Texts } from "./job-context.ts";
import type { Outcome } from "./outcome.ts";
import type { Signing } from "./signing.ts";

const PROTOCOL_VERSION = 1;
const SDK_VERSION = "cordum-sdk-ts/0.1.0";

export const SUBJECTS = {
  result: SYSTEM_SUBJECTS.jobResult,
  progress: SYSTEM_SUBJECTS.jobProgress,
  cancel: SYSTEM_SUBJECTS.jobCancel,
  heartbeat: SYSTEM_SUBJECTS.heartbeat,
  handshake: SYSTEM_SUBJECTS.handshake,
  direct: directSubject,
  directCancel: directCancelSubject,
} as const;

export { isTopic, type ParsedPointer, parsePointer, TRACEPARENT_ENV };

export const isWorkerId = (text: string): boolean => workerIdForm(text) === "plain";

/** A job as it was handed to this worker. */
export interface JobOffer {
  readonly jobId: string;
  readonly topic: string;
  readonly traceId: string;
  readonly tenant: string;
  readonly contextPtr: string;
  readonly env: Texts;
  readonly labels: Texts;
  /** 1 = the first. Senders before CAP 2.15 do not say it; then `attemptSaid` is false and this is 1. */
  readonly attempt: number;
  readonly attemptSaid: boolean;
  readonly dispatch: DispatchIdentity | undefined;
  readonly identity: IdentityBinding | undefined;
}

export interface CancelOrder {
  readonly jobId: string;
  readonly reason: string;
  readonly by: string;
  /** The only attempt that is meant, when the sender said one. */
  readonly attempt: number | undefined;
}

export type Read<T> =
  | { readonly kind: "read"; readonly value: T }
  | { readonly kind: "refused"; readonly reason: string };

export interface HeartbeatFacts {
  readonly pool: string;
  readonly capabilities: readonly string[];
  readonly labels: Texts;
  readonly activeJobs: number;
  readonly maxParallelJobs: number;
}

export interface ProgressFacts {
  readonly percent: number;
  readonly message: string;
}

const JOB_ID_CHARS_MAX = 512;
/** Control characters have no place in an id that becomes part of a key and of log lines. */
const JOB_ID = /^[^\p{Cc}\s]+$/u;

/** Reads what the bus brings. */
export class PacketReader {
  readonly #signing: Signing;

  constructor(signing: Signing) {
    this.#signing = signing;
  }

  job(bytes: Uint8Array): Read<JobOffer> {
    const packet = this.#open(bytes);
    if (packet.kind === "refused") return packet;
    const { payload, traceId, protocolVersion } = packet.value;
    if (payload?.kind !== "jobRequest") return refused("not a job request");
    if (protocolVersion !== PROTOCOL_VERSION && protocolVersion !== 0)
      return refused(`protocol version ${protocolVersion}`);
    if (!isJobId(payload.value.jobId)) return refused("no usable job id");
    return { kind: "read", value: offerOf(payload.value, traceId) };
  }

  cancel(bytes: Uint8Array): Read<CancelOrder> {
    const packet = this.#open(bytes);
    if (packet.kind === "refused") return packet;
    const { payload } = packet.value;
    if (payload?.kind !== "jobCancel") return refused("not a cancel");
    const { jobId, reason, requestedBy, dispatch } = payload.value;
    if (!isJobId(jobId)) return refused("no usable job id");
    return { kind: "read", value: { jobId, reason, by: requestedBy, attempt: attemptOf(dispatch) } };
  }

  #open(bytes: Uint8Array): Read<BusPacket> {
    const parsed = parsePacket(bytes);
    if (parsed.kind === "malformed") return refused(`malformed: ${parsed.reason}`);
    const refusal = this.#signing.refusal(bytes, parsed.packet);
    return refusal === undefined ? { kind: "read", value: parsed.packet } : refused(refusal);
  }
}

function offerOf(request: JobRequest, traceId: string): JobOffer {
  const attempt = attemptOf(request.dispatch);
  return {
    jobId: request.jobId,
    topic: request.topic,
    traceId,
    tenant: request.tenantId || request.env.tenant_id || request.meta?.tenantId || "",
    contextPtr: request.contextPtr,
    env: request.env,
    labels: request.labels,
    attempt: attempt ?? 1,
    attemptSaid: attempt !== undefined,
    dispatch: request.dispatch,
    identity: request.identity,
  };
}

/** Key and pointer under which the result of a job is kept. */
export function resultPlace(jobId: string): { readonly key: string; readonly pointer: string } {
  const key = resultKey(jobId);
  return { key, pointer: pointerTo(key) };
}

/** Writes the packets of one worker. */
export class PacketWriter {
  readonly #workerId: string;
  readonly #signing: Signing;
  readonly #now: () => number;

  constructor(workerId: string, signing: Signing, now: () => number) {
    this.#workerId = workerId;
    this.#signing = signing;
    this.#now = now;
  }

  progress(offer: JobOffer, facts: ProgressFacts): Uint8Array {
    return this.#packet(offer.traceId, {
      kind: "jobProgress",
      value: {
        jobId: offer.jobId,
        status: JobStatus.RUNNING,
        ...facts,
        dispatch: offer.dispatch,
        identity: offer.identity,
      },
    });
  }

  result(offer: JobOffer, outcome: Outcome, executionMs: number): Uint8Array {
    const said =
      outcome.status === "SUCCEEDED"
        ? {}
        : { errorCode: outcome.code, errorCodeEnum: outcome.codeNumber, errorMessage: outcome.message };
    return this.#packet(offer.traceId, {
      kind: "jobResult",
      value: {
        jobId: offer.jobId,
        status: JobStatus[outcome.status],
        resultPtr: outcome.resultPtr,
        workerId: this.#workerId,
        executionMs: Math.round(executionMs),
        ...said,
        dispatch: offer.dispatch,
        identity: offer.identity,
      },
    });
  }

  heartbeat(facts: HeartbeatFacts): Uint8Array {
    return this.#packet(this.#workerId, { kind: "heartbeat", value: { workerId: this.#workerId, ...facts } });
  }

  handshake(capabilities: readonly string[], readyTopics: readonly string[]): Uint8Array {
    const own = ["progress", "cancel", "error_codes", "heartbeats", ...(this.#signing.signs ? ["signatures"] : [])];
    const flags = [...own, ...capabilities].map((name) => [name, true] as const);
    return this.#packet(this.#workerId, {
      kind: "handshake",
      value: {
        componentId: this.#workerId,
        role: ComponentRole.WORKER,
        supportedVersions: [PROTOCOL_VERSION],
        capabilities: Object.fromEntries(flags),
        sdkVersion: SDK_VERSION,
        readyTopics,
      },
    });
  }

  #packet(traceId: string, payload: Init<BusPacketPayload>): Uint8Array {
    const createdAt = timestampOf(this.#now());
    return this.#signing.seal({
      traceId,
      senderId: this.#workerId,
      createdAt,
      protocolVersion: PROTOCOL_VERSION,
      payload,
    });
  }
}

function isJobId(text: string): boolean {
  return text.length <= JOB_ID_CHARS_MAX && JOB_ID.test(text);
}

function attemptOf(dispatch: DispatchIdentity | undefined): number | undefined {
  const attempt = Number(dispatch?.attempt ?? 0);
  return Number.isSafeInteger(attempt) && attempt > 0 ? attempt : undefined;
}

function refused(reason: string): { readonly kind: "refused"; readonly reason: string } {
  return { kind: "refused", reason };
}
