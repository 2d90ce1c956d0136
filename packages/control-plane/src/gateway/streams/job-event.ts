// A change of a job as clients see it in a stream.
// Owns:          from a record to the line of data; ids of events, and what they say when they come back.
// Must not know: how streams are sent, who follows.
// J1. Data is a packet in protobuf JSON, as clients of the original read it, with our member `job` beside. J2. Of a denied job no pointers
//     are shown; references to secrets are blanked out. J3. An id names a safe moment (jobs/job-follower.ts, F3) and a job.

import { jobStatusNames, SENDERS } from "@cordum/protocol";
import { statusOf } from "../../jobs/effects.ts";
import { isTerminal, type Job } from "../../jobs/job.ts";
import { redactJson } from "../../policy/secrets.ts";
import { Fault } from "../../ports/fault.ts";
import type { EpochMs } from "../../ports/time.ts";
import { filled } from "../filled.ts";

export const JOB_EVENT = "job.status_changed";

/** One line of JSON; with the states that the job has passed, where they are asked for. */
export function jobData(job: Job, { withSteps }: { readonly withSteps: boolean }): string {
  const steps = job.steps.map(({ state, at, why }) => ({ state, at: at * 1000, why }));
  const data = {
    traceId: job.traceId,
    senderId: SENDERS.scheduler,
    createdAt: new Date(job.updatedAt).toISOString(),
    protocolVersion: 1,
    ...(isTerminal(job) ? { jobResult: resultOf(job) } : { jobProgress: progressOf(job) }),
    job: { ...summaryOf(job), ...(withSteps ? { steps } : {}) },
  };
  return redactJson(JSON.stringify(data));
}

function resultOf(job: Job) {
  const { phase } = job;
  if (!("outcome" in phase)) return { jobId: job.id };
  const { outcome } = phase;
  const isDenied = phase.state === "DENIED";
  return {
    jobId: job.id,
    status: jobStatusNames.numberOf.has(outcome.reported) ? outcome.reported : `JOB_STATUS_${phase.state}`,
    ...filled({
      resultPtr: isDenied ? "" : outcome.resultPtr,
      workerId: outcome.workerId,
      executionMs: outcome.executionMs === 0 ? "" : String(outcome.executionMs),
      errorCode: outcome.code,
      errorMessage: outcome.message,
      artifactPtrs: isDenied ? [] : [...outcome.artifactPtrs],
    }),
  };
}

function progressOf(job: Job) {
  const { phase } = job;
  return {
    jobId: job.id,
    ...filled({
      percent: "percent" in phase ? phase.percent : 0,
      message: saidOf(job) || (job.steps.at(-1)?.why ?? ""),
      status: statusOf(phase.state) === 0 ? "" : `JOB_STATUS_${phase.state}`,
    }),
  };
}

function summaryOf(job: Job) {
  const { phase } = job;
  const outcome = "outcome" in phase ? phase.outcome : undefined;
  return {
    id: job.id,
    state: phase.state,
    updated_at: job.updatedAt * 1000,
    topic: job.topic,
    tenant: job.tenant,
    trace_id: job.traceId,
    attempts: job.attempts,
    ...filled({
      waiting: "waiting" in phase ? phase.waiting : "",
      percent: "percent" in phase ? phase.percent : 0,
      progress_message: saidOf(job),
      worker_id: "dispatch" in phase ? phase.dispatch.workerId : (outcome?.workerId ?? ""),
      error_code: outcome?.code ?? "",
      error_message: outcome?.message ?? "",
      result_ptr: phase.state === "DENIED" ? "" : (outcome?.resultPtr ?? ""),
    }),
  };
}

/** What its worker said last about its work. */
function saidOf({ phase }: Job): string {
  return "progress" in phase ? (phase.progress?.message ?? "") : "";
}

export function eventId(safeAt: EpochMs, jobId: string): string {
  return `${safeAt}-${jobId}`;
}

/** The safe moment that an id names; undefined: none was given. Fault INVALID_REQUEST for an id that no stream has given out. */
export function safeAtOf(lastEventId: string): EpochMs | undefined {
  if (lastEventId === "") return undefined;
  const at = /^(\d{1,15})-/.exec(lastEventId)?.[1];
  if (at !== undefined) return Number(at);
  const reason = "not the id of an event of this stream; leave it out to begin now";
  throw new Fault("INVALID_REQUEST", `Last-Event-ID is ${reason}`, { fields: [{ field: "Last-Event-ID", reason }] });
}
