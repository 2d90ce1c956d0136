// Effects: what is published after a commit.
// Owns:          the packets that the control plane sends about a job.
// Must not know: why the job changed.
// F1. Effects may be lost or doubled; a publish that fails is logged and left to the job's alarm.
// F2. A dispatched packet is the stored request with fields appended: what a newer client put in survives.

import {
  directCancelSubject,
  encodePacket,
  JobStatus,
  jobStatusNames,
  parsePointer,
  SENDERS,
  SUBJECTS,
  TRACEPARENT_ENV,
  wrapJobRequest,
} from "@cordum/protocol";
import { constraintsEnv } from "../policy/constraints.ts";
import type { Constraints } from "../policy/decision.ts";
import { constraintsOf } from "../policy/decision-forms.ts";
import { unreachable } from "../ports/fault.ts";
import type { EpochMs } from "../ports/time.ts";
import type { Dispatch, Job, JobState } from "./job.ts";
import { configOf, meetConfig } from "./job-config.ts";
import type { Effect, JobEvent } from "./job-event.ts";
import type { Transition } from "./job-moves.ts";
import type { JobParts } from "./job-parts.ts";
import { bytesOfRequest, EFFECTIVE_CONFIG_ENV, requestOf } from "./job-request.ts";
import { startDispatchSpan } from "./job-spans.ts";

export interface DeliveryHistory {
  /** The same dispatch may have been heard before: nobody listening now means that its worker is lost. */
  readonly maybeBefore: boolean;
}

/** Never throws for what the bus does. What follows for the job, if anything: nobody listened, or nobody could be told. Without a promise
 *  where nothing is to be published, as with most results. */
export function carryOut(
  { next, effects }: Transition,
  parts: JobParts,
  signal: AbortSignal,
  history: DeliveryHistory,
): undefined | Promise<JobEvent | undefined> {
  keepResult(next, parts, signal);
  const [first] = effects;
  if (first === undefined) return undefined;
  if (first.kind === "deliver" && effects.length === 1) return deliver(first.dispatch, next, parts, signal, history);
  return carryOutAll(effects, next, parts, signal, history);
}

async function carryOutAll(
  effects: readonly Effect[],
  job: Job,
  parts: JobParts,
  signal: AbortSignal,
  history: DeliveryHistory,
): Promise<JobEvent | undefined> {
  let follows: JobEvent | undefined;
  for (const effect of effects) {
    if (effect.kind === "deliver") follows = await deliver(effect.dispatch, job, parts, signal, history);
    else if (!(await publish(effect, job, parts, signal)) && effect.kind === "stop_worker")
      follows = { kind: "stop_unsent" };
  }
  return follows;
}

/** False when the bus did not take it. */
async function publish(
  effect: Exclude<Effect, { kind: "deliver" }>,
  job: Job,
  parts: JobParts,
  signal: AbortSignal,
): Promise<boolean> {
  const until = parts.clock.deadline(signal, parts.settings.busTimeoutMs);
  const now = parts.clock.now();
  try {
    switch (effect.kind) {
      case "stop_worker":
        await publishCancel(job, effect, parts, until);
        break;
      case "ring":
        await parts.bus.publish(SUBJECTS.jobSubmit, submitPacketOf(job, now), until);
        break;
      case "announce_end":
        await parts.bus.publish(SUBJECTS.jobResult, resultPacket(job, now), until);
        break;
      case "announce_dead_letter":
        await parts.bus.publish(SUBJECTS.jobDeadLetter, resultPacket(job, now), until);
        break;
      default:
        unreachable(effect);
    }
    return true;
  } catch (error) {
    parts.log.error("effect.not_published", error, { jobId: job.id, effect: effect.kind });
    return false;
  }
}

async function deliver(
  dispatch: Dispatch,
  job: Job,
  parts: JobParts,
  signal: AbortSignal,
  history: DeliveryHistory,
): Promise<JobEvent | undefined> {
  const { bus, clock, outbound, registry, settings } = parts;
  outbound.noteSending(job.id, dispatch.id);
  const span = startDispatchSpan(job, dispatch, parts.tracing);
  let verdict: "heard" | "nobody";
  try {
    const config = configOf(job, parts) ?? (await meetConfig(job, parts));
    const about = { configText: config.text, traceparent: span.traceparent };
    const bytes = dispatchPacket(job, dispatch, clock.now(), about);
    verdict = await bus.deliver(dispatch.subject, bytes, clock.deadline(signal, settings.busTimeoutMs));
  } catch (error) {
    span.end({}, "not published");
    outbound.noteNotHeard(job.id, dispatch.id);
    parts.log.error("dispatch.not_published", error, { jobId: job.id, subject: dispatch.subject });
    return undefined;
  }
  span.end({}, verdict === "heard" ? "" : "nobody listens");
  if (verdict === "heard") {
    registry.noteHeard(dispatch.workerId);
    outbound.noteHeard(job.id, dispatch.id, clock.now());
    parts.meter.count("cordum_scheduler_jobs_dispatched_total", { topic: job.topic });
    return undefined;
  }
  outbound.noteNotHeard(job.id, dispatch.id);
  registry.noteMissed(dispatch.workerId, dispatch.direct, clock.now());
  parts.log.info("dispatch.nobody_listens", { jobId: job.id, subject: dispatch.subject });
  const retryAfterMs = retryDelayMs(job.attempts, clock.random());
  return {
    kind: "undelivered",
    dispatchId: dispatch.id,
    maybeBefore: history.maybeBefore,
    doorbell: job.wakes.doorbell,
    retryAfterMs,
  };
}

export interface DispatchAbout {
  /** What is configured for the job, as JSON; "" for nothing. */
  readonly configText: string;
  /** "" leaves the trace context of the submit. */
  readonly traceparent: string;
}

/** The packet that a worker gets. */
export function dispatchPacket(job: Job, dispatch: Dispatch, now: EpochMs, about: DispatchAbout): Uint8Array {
  const decision = job.decisions.at(-1)?.decision;
  const constraints = decision === undefined ? undefined : constraintsOf(decision);
  const maxRuntimeMs = constraints?.budgets?.maxRuntimeMs ?? 0;
  const asked = Number(requestOf(job).budget?.deadlineMs ?? 0);
  const isTighter = maxRuntimeMs > 0 && (asked <= 0 || maxRuntimeMs < asked);
  return wrapJobRequest(
    bytesOfRequest(job),
    { traceId: job.traceId, senderId: SENDERS.scheduler, createdAt: timestamp(now), protocolVersion: 1 },
    {
      dispatch: { dispatchId: dispatch.id, attempt: job.attempts, assignedWorkerId: dispatch.workerId },
      ...envOf(constraints, about),
      ...(isTighter ? { budget: { deadlineMs: maxRuntimeMs } } : {}),
    },
  );
}

function envOf(constraints: Constraints | undefined, about: DispatchAbout): { readonly env?: Texts } {
  const { configText, traceparent } = about;
  const ofPolicy = constraints === undefined ? undefined : constraintsEnv(constraints);
  if (traceparent === "" && configText === "") return ofPolicy === undefined ? {} : { env: ofPolicy };
  const ofConfig = configText === "" ? {} : { [EFFECTIVE_CONFIG_ENV]: configText };
  const ofTrace = traceparent === "" ? {} : { [TRACEPARENT_ENV]: traceparent };
  return { env: { ...ofPolicy, ...ofConfig, ...ofTrace } };
}

type Texts = { readonly [name: string]: string };

function submitPacketOf(job: Job, now: EpochMs): Uint8Array {
  const envelope = {
    traceId: job.traceId,
    senderId: SENDERS.gatewayHttp,
    createdAt: timestamp(now),
    protocolVersion: 1,
  };
  return wrapJobRequest(bytesOfRequest(job), envelope);
}

async function publishCancel(
  job: Job,
  effect: Effect & { kind: "stop_worker" },
  parts: JobParts,
  signal: AbortSignal,
): Promise<void> {
  const value = { jobId: job.id, reason: effect.reason, requestedBy: effect.by };
  const bytes = encodePacket({
    traceId: job.id,
    senderId: SENDERS.scheduler,
    createdAt: timestamp(parts.clock.now()),
    protocolVersion: 1,
    payload: { kind: "jobCancel", value },
  });
  await parts.bus.publish(SUBJECTS.jobCancel, bytes, signal);
  const { phase } = job;
  if ("outcome" in phase && phase.outcome.workerId !== "")
    await parts.bus.publish(directCancelSubject(phase.outcome.workerId), bytes, signal);
}

function resultPacket(job: Job, now: EpochMs): Uint8Array {
  const { phase } = job;
  const status = statusOf(phase.state);
  const outcome = "outcome" in phase ? phase.outcome : undefined;
  const value = {
    jobId: job.id,
    status,
    resultPtr: outcome?.resultPtr ?? "",
    workerId: outcome?.workerId ?? "",
    errorCode: outcome?.code ?? "",
    errorMessage: outcome?.message ?? "",
  };
  return encodePacket({
    traceId: job.traceId,
    senderId: SENDERS.scheduler,
    createdAt: timestamp(now),
    protocolVersion: 1,
    payload: { kind: "jobResult", value },
  });
}

/** The number by which CAP knows a state. */
export function statusOf(state: JobState): number {
  const status = jobStatusNames.numberOf.get(`JOB_STATUS_${state}`);
  return status ?? JobStatus.UNSPECIFIED;
}

/** A result that its worker stored without an end gets one. Only results: no other key is touched on a worker's word. */
function keepResult(job: Job, parts: JobParts, signal: AbortSignal): void {
  const { phase } = job;
  if (!("outcome" in phase) || phase.outcome.resultPtr === "") return;
  const pointer = parsePointer(phase.outcome.resultPtr);
  if (pointer.kind !== "key" || pointer.family !== "result") return;
  parts.payloads
    .keep(
      pointer.fallbackKey ?? pointer.key,
      parts.settings.resultKeepMs,
      parts.clock.deadline(signal, parts.settings.storeTimeoutMs),
    )
    .catch((error: unknown) => {
      if (!signal.aborted) parts.log.error("result.not_kept", error, { jobId: job.id });
    });
}

/** Full jitter up to 1 s, 2 s, 4 s … 30 s. Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. */
export function retryDelayMs(attempt: number, random: number): number {
  return Math.round(random * Math.min(30_000, 1_000 * 2 ** Math.max(0, Math.min(attempt - 1, 10))));
}

export function timestamp(at: EpochMs): { readonly seconds: number; readonly nanos: number } {
  return { seconds: Math.floor(at / 1000), nanos: (at % 1000) * 1_000_000 };
}
