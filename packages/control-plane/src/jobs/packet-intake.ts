// Packets from the bus, led to the use cases.
// Owns:          which subjects the scheduler listens to, and what a packet that is no good becomes.
// Must not know: how a use case works; which bus it is.
// X1. A packet that cannot be read is refused, counted and said on sys.alert; it never loops and never stops anybody.
// X2. A packet whose change cannot be stored now comes again later, as often as it takes. Other failures throw: the bus counts these.
// X3. Identity is not what a packet says: results belong to the job's tenant; a submit's tenant is checked like any other input.

import {
  type BusPacket,
  encodePacket,
  type Heartbeat as HeartbeatOnWire,
  ID_CHARS_MAX,
  jobRequestBytes,
  type ParsedPacket,
  parsePacket,
  QUEUE_GROUPS,
  SENDERS,
  SUBJECTS,
} from "@cordum/protocol";
import type { About, Handle, Subscription, Verdict } from "../ports/bus.ts";
import { Fault, messageOf } from "../ports/fault.ts";
import { type Heartbeat, INSTANCE_LABEL, PRESENCE_BYTES_MAX } from "../scheduling/registry.ts";
import type { Backlog } from "./backlog.ts";
import { cancelJob } from "./cancel.ts";
import { capText } from "./cap-text.ts";
import { timestamp } from "./effects.ts";
import type { JobParts } from "./job-parts.ts";
import { receiveProgress, receiveResult, workerBehind } from "./report.ts";
import { reviewWorker } from "./review-worker.ts";
import { submitPacket } from "./submit-packet.ts";

const ACK: Verdict = { kind: "ack" };
const IN_FLIGHT_MAX = 256;

type Payload = NonNullable<BusPacket["payload"]>;
type ValueOf<K extends Payload["kind"]> = Extract<Payload, { readonly kind: K }>["value"];
interface Received<V> {
  readonly value: V;
  readonly packet: BusPacket;
  readonly bytes: Uint8Array;
}
type Lead<V> = (received: Received<V>, signal: AbortSignal) => Promise<Verdict>;

/** Subscribes the scheduler. The caller drains what comes back. */
export async function listenToPackets(parts: JobParts, backlog: Backlog): Promise<readonly Subscription[]> {
  const group = QUEUE_GROUPS.scheduler;
  const { bus } = parts;
  const inFlightMax = IN_FLIGHT_MAX;
  return Promise.all([
    bus.subscribe({ subject: SUBJECTS.jobSubmit, group, keep: true, inFlightMax, laneOf: jobLane }, submits(parts)),
    bus.subscribe(
      { subject: SUBJECTS.jobResult, group, keep: true, inFlightMax, laneOf: jobLane },
      results(parts, backlog),
    ),
    bus.subscribe({ subject: SUBJECTS.jobProgress, group, keep: false, inFlightMax, laneOf: jobLane }, progress(parts)),
    bus.subscribe({ subject: SUBJECTS.jobCancel, group, keep: false, inFlightMax }, cancels(parts)),
  ]);
}

/** Hears which workers there are. */
export async function listenToWorkers(parts: JobParts, backlog: Backlog): Promise<readonly Subscription[]> {
  const { bus } = parts;
  const inFlightMax = IN_FLIGHT_MAX;
  return Promise.all([
    bus.subscribe({ subject: SUBJECTS.heartbeat, keep: false, inFlightMax }, heartbeats(parts, backlog)),
    bus.subscribe({ subject: SUBJECTS.handshake, keep: false, inFlightMax }, handshakes(parts, backlog)),
  ]);
}

const submits = (parts: JobParts): Handle =>
  leading(
    (payload) => (payload.kind === "jobRequest" ? payload.value : undefined),
    parts,
    ({ value, packet, bytes }, signal) =>
      submitPacket({ request: value, packet, requestBytes: jobRequestBytes(bytes) }, parts, signal),
  );

const results = (parts: JobParts, backlog: Backlog): Handle =>
  leading(
    (payload) => (payload.kind === "jobResult" ? payload.value : undefined),
    parts,
    async ({ value, packet }, signal) => {
      const reception = await receiveResult(value, packet.senderId, parts, signal);
      if (reception === "accepted") backlog.hintJobEnded();
      return reception === "unknown_job" ? { kind: "refuse", reason: "unknown_job" } : ACK;
    },
  );

const progress = (parts: JobParts): Handle =>
  leading(
    (payload) => (payload.kind === "jobProgress" ? payload.value : undefined),
    parts,
    async ({ value, packet: { senderId } }) => {
      receiveProgress(value, workerBehind(senderId, value) ?? "", parts);
      return ACK;
    },
  );

const cancels = (parts: JobParts): Handle =>
  leading(
    (payload) => (payload.kind === "jobCancel" ? payload.value : undefined),
    parts,
    ({ value }, signal) => receiveCancel(value, parts, signal),
  );

const heartbeats = (parts: JobParts, backlog: Backlog): Handle =>
  leading(
    (payload) => (payload.kind === "heartbeat" ? payload.value : undefined),
    parts,
    async ({ value, bytes }, signal) => {
      const { workerId, pool } = value;
      const { registry, drives } = parts;
      const complaint = complaintOfPresence(workerId, bytes) ?? (registry.hasRoomFor(workerId) ? undefined : "workers");
      if (complaint !== undefined) return refusePresence(complaint, parts);
      const now = parts.clock.now();
      const freeBefore = registry.find(workerId, now)?.free ?? 0;
      if (registry.hear(readHeartbeat(value), now)) {
        parts.log.info("worker.appeared", { workerId, pool });
        if (drives) await reviewWorker(workerId, parts, signal);
      }
      const worker = registry.find(workerId, parts.clock.now());
      if (drives && freeBefore === 0 && worker !== undefined && worker.free > 0) backlog.hint(worker);
      return ACK;
    },
  );

const handshakes = (parts: JobParts, backlog: Backlog): Handle =>
  leading(
    (payload) => (payload.kind === "handshake" ? payload.value : undefined),
    parts,
    async ({ value, bytes }) => {
      const workerId = value.componentId;
      const complaint = complaintOfPresence(workerId, bytes);
      if (complaint !== undefined) return refusePresence(complaint, parts);
      if (parts.registry.announce(workerId, value.readyTopics, parts.clock.now()) && parts.drives)
        backlog.hint(parts.registry.find(workerId, parts.clock.now()));
      return ACK;
    },
  );

function complaintOfPresence(workerId: string, bytes: Uint8Array): string | undefined {
  if (workerId === "" || workerId.length > ID_CHARS_MAX) return "worker_id";
  return bytes.length > PRESENCE_BYTES_MAX ? "presence_bytes" : undefined;
}

function refusePresence(reason: string, { meter }: JobParts): Verdict {
  meter.count("cordum_scheduler_validation_rejections_total", { reason });
  return { kind: "refuse", reason };
}

async function receiveCancel(cancel: ValueOf<"jobCancel">, parts: JobParts, signal: AbortSignal): Promise<Verdict> {
  if (cancel.jobId.length > ID_CHARS_MAX) return ACK; // no job has such an id
  const by = cancel.requestedBy === "" ? "bus" : capText(cancel.requestedBy, 128);
  try {
    await cancelJob(cancel.jobId, { tenant: undefined, by, reason: cancel.reason }, parts, signal);
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== "JOB_NOT_FOUND") throw error;
  }
  return ACK;
}

function leading<V>(pick: (payload: Payload) => V | undefined, parts: JobParts, lead: Lead<V>): Handle {
  return async (bytes: Uint8Array, about: About, signal: AbortSignal) => {
    const parsed = parseOnce(bytes);
    if (parsed.kind === "malformed")
      return refuse(parts, about, { code: "PROTOCOL_MALFORMED_PACKET", senderId: "" }, signal);
    const { packet } = parsed;
    const { senderId, payload } = packet;
    if (packet.protocolVersion > 1)
      return refuse(parts, about, { code: "PROTOCOL_VERSION_MISMATCH", senderId }, signal);
    const value = payload === undefined ? undefined : pick(payload);
    if (value === undefined) return refuse(parts, about, { code: "PROTOCOL_UNKNOWN_PAYLOAD", senderId }, signal);
    try {
      return await lead({ value, packet, bytes }, signal);
    } catch (error) {
      if (!(error instanceof Fault) || error.spec.retry === "never") throw error;
      parts.log.warn("packet.postponed", { subject: about.subject, code: error.code, delivery: about.delivery });
      return { kind: "later", inMs: postponeMs(about.delivery, parts.clock.random()) };
    }
  };
}

/** 50 ms to 100 ms, twice as much each time, 5 s at most: a store that is away does not lose a result, however long that takes. */
function postponeMs(delivery: number, random: number): number {
  return Math.min(5_000, 100 * 2 ** Math.min(delivery - 1, 6)) * (0.5 + random / 2);
}

async function refuse(
  parts: JobParts,
  about: About,
  fault: { readonly code: string; readonly senderId: string },
  signal: AbortSignal,
): Promise<Verdict> {
  const { code } = fault;
  const senderId = capText(fault.senderId, 256);
  parts.meter.count("cordum_scheduler_validation_rejections_total", { reason: code });
  parts.log.warn("packet.refused", { subject: about.subject, code, senderId });
  const details = { offending_sender: senderId, subject: about.subject };
  const bytes = encodePacket({
    senderId: SENDERS.scheduler,
    createdAt: timestamp(parts.clock.now()),
    protocolVersion: 1,
    payload: {
      kind: "alert",
      value: {
        level: "ERROR",
        message: `packet refused: ${code}`,
        component: SENDERS.scheduler,
        code,
        sourceComponent: SENDERS.scheduler,
        details,
      },
    },
  });
  try {
    await parts.bus.publish(SUBJECTS.alert, bytes, parts.clock.deadline(signal, parts.settings.busTimeoutMs));
  } catch (error) {
    parts.log.warn("alert.not_published", { reason: messageOf(error) });
  }
  return { kind: "refuse", reason: code };
}

const parsedPackets = new WeakMap<Uint8Array, ParsedPacket>();

/** A packet is asked for its lane first and handled later. */
function parseOnce(bytes: Uint8Array): ParsedPacket {
  const known = parsedPackets.get(bytes);
  if (known !== undefined) return known;
  const parsed = parsePacket(bytes);
  parsedPackets.set(bytes, parsed);
  return parsed;
}

/** Packets of one job stay in order; unreadable ones share a lane. */
function jobLane(bytes: Uint8Array): string {
  const parsed = parseOnce(bytes);
  if (parsed.kind === "malformed") return "";
  const { payload } = parsed.packet;
  return payload !== undefined && "jobId" in payload.value ? payload.value.jobId : "";
}

function readHeartbeat(heartbeat: HeartbeatOnWire): Heartbeat {
  return {
    workerId: heartbeat.workerId,
    instance: heartbeat.labels[INSTANCE_LABEL] ?? "",
    pool: heartbeat.pool,
    region: heartbeat.region,
    type: heartbeat.type,
    activeJobs: Math.max(0, heartbeat.activeJobs),
    capacity: heartbeat.maxParallelJobs,
    cpuLoad: finite(heartbeat.cpuLoad),
    gpuUtilization: finite(heartbeat.gpuUtilization),
    memoryLoad: finite(heartbeat.memoryLoad),
    capabilities: heartbeat.capabilities,
    labels: heartbeat.labels,
  };
}

function finite(load: number): number {
  return Number.isFinite(load) ? load : 0;
}
