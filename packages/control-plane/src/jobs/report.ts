// What workers say about jobs: results and progress.
// Owns:          how a result packet is read into a report; that late, doubled and foreign results change nothing, are noted and counted.
// Must not know: the bus (packet-intake.ts), what a result contains.
// R1. A status that means nothing is a failure with a code, never silence. R2. Texts of workers are capped.
// R3. Whether a failure is tried again: only where attempts are left; never after FAILED_FATAL or a code that repeating cannot help.

import {
  ErrorCode,
  enumName,
  ID_CHARS_MAX,
  type JobProgress,
  type JobResult,
  JobStatus,
  jobStatusNames,
  SENDERS,
} from "@cordum/protocol";
import { capText } from "./cap-text.ts";
import { type Changed, changeSeen } from "./change.ts";
import { retryDelayMs } from "./effects.ts";
import type { Job, StrayReason, StrayResult } from "./job.ts";
import type { JobEvent, Report } from "./job-event.ts";
import type { JobParts } from "./job-parts.ts";
import type { SeenJob } from "./job-store.ts";
import { answersStop, strayReason } from "./stop-order.ts";
import { acceptsReport } from "./transition.ts";

const MESSAGE_CHARS_MAX = 4_096;
const CODE_CHARS_MAX = 128;
const POINTER_CHARS_MAX = 1_024;
const ARTIFACTS_MAX = 100;
const STRAY_CHARS_MAX = 128;
const PROGRESS_CHARS_MAX = 512;

/** Whose word a progress is. A gateway speaks for the workers that are connected to it, and says for which. */
export function workerBehind(senderId: string, { dispatch }: Pick<JobProgress, "dispatch">): string | undefined {
  return senderId === SENDERS.gateway ? dispatch?.assignedWorkerId : senderId;
}

/** What became of a result. `acknowledged`: it says what became of a job that was ended under its worker's hands. */
export type Reception = "accepted" | "acknowledged" | "own" | StrayKind | "unknown_job";
type StrayKind = "late" | "doubled" | "foreign";

/** Faults: STATE_*, JOB_CONTENDED: the result was not stored, and should come again. */
export async function receiveResult(
  result: JobResult,
  senderId: string,
  parts: JobParts,
  signal: AbortSignal,
): Promise<Reception> {
  if (result.jobId === "" || result.jobId.length > ID_CHARS_MAX) return noteUnknown(result, parts);
  const report = readReport(result);
  // Most results answer a dispatch that this process has just written: its record need not be read. Whether one is refused is decided
  // on what the store says.
  const remembered = parts.jobs.recall(result.jobId);
  const first = remembered === undefined ? undefined : await applyReport(remembered, report, parts, signal);
  if (first?.moved) return "accepted";
  const seen = await parts.jobs.load(result.jobId, parts.clock.deadline(signal, parts.settings.storeTimeoutMs));
  return seen === undefined ? noteUnknown(result, parts) : judgeReport(seen, { report, senderId }, parts, signal);
}

function applyReport(
  seen: SeenJob,
  report: Report,
  parts: JobParts,
  signal: AbortSignal,
): Promise<Changed | undefined> {
  const retryAfterMs = retryDelayMs(seen.record.attempts, parts.clock.random());
  return changeSeen(
    seen,
    (job) => (acceptsReport(job, report) ? { kind: "reported", report, retryAfterMs } : undefined),
    parts,
    signal,
  );
}

interface Said {
  readonly report: Report;
  readonly senderId: string;
}

/** Counts it, takes it as the answer to the order to stop, or notes that it does neither. */
async function judgeReport(seen: SeenJob, said: Said, parts: JobParts, signal: AbortSignal): Promise<Reception> {
  const { report, senderId } = said;
  const retryAfterMs = retryDelayMs(seen.record.attempts, parts.clock.random());
  let judged: JobEvent | undefined;
  const judge = (job: Job): JobEvent | undefined => {
    if (acceptsReport(job, report)) return { kind: "reported", report, retryAfterMs };
    if (senderId === SENDERS.scheduler) return undefined; // what we announce comes back to us
    const { workerId, reported } = report;
    if (answersStop(job, report)) return { kind: "stop_answered", workerId, reported };
    return { kind: "strayed", stray: strayOf(job, said, parts) };
  };
  const changed = await changeSeen(
    seen,
    (job) => {
      judged = judge(job);
      return judged;
    },
    parts,
    signal,
  );
  if (changed === undefined) return "unknown_job";
  switch (judged?.kind) {
    case "reported":
      return "accepted";
    case "stop_answered":
      return noteStopped(changed.job, report, parts);
    case "strayed":
      return noteStray(changed.job, judged.stray, parts);
    default:
      return "own";
  }
}

function strayOf(job: Job, { report, senderId }: Said, parts: JobParts): StrayResult {
  return {
    at: parts.clock.now(),
    why: strayReason(job, report),
    workerId: capText(report.workerId, STRAY_CHARS_MAX),
    via: senderId === report.workerId ? "" : capText(senderId, STRAY_CHARS_MAX),
    dispatchId: capText(report.dispatchId, STRAY_CHARS_MAX),
    reported: report.reported,
    code: capText(report.code, STRAY_CHARS_MAX),
  };
}

/** A claim (the first progress) or progress of a job: noted, and written by the next flush if the job is still out then. */
export function receiveProgress(progress: JobProgress, senderId: string, parts: JobParts): void {
  const percent = Math.max(0, Math.min(100, progress.percent));
  const { jobId } = progress;
  if (jobId === "" || jobId.length > ID_CHARS_MAX) return;
  parts.board.note({
    jobId,
    workerId: capText(senderId, ID_CHARS_MAX),
    dispatchId: progress.dispatch?.dispatchId ?? "",
    percent,
    message: capText(progress.message, PROGRESS_CHARS_MAX),
    at: parts.clock.now(),
  });
}

export function readReport(result: JobResult): Report {
  const { ends, code } = endingOf(result);
  return {
    ends,
    reported: enumName(jobStatusNames, result.status),
    code,
    message: capText(result.errorMessage, MESSAGE_CHARS_MAX),
    resultPtr: result.resultPtr.length <= POINTER_CHARS_MAX ? result.resultPtr : "",
    workerId: capText(result.workerId, ID_CHARS_MAX),
    executionMs: Math.max(0, Math.min(Number(result.executionMs), Number.MAX_SAFE_INTEGER)),
    artifactPtrs: result.artifactPtrs.filter((pointer) => pointer.length <= POINTER_CHARS_MAX).slice(0, ARTIFACTS_MAX),
    dispatchId: result.dispatch?.dispatchId ?? "",
  };
}

function endingOf(result: JobResult): Pick<Report, "ends" | "code"> {
  const code = codeOf(result);
  switch (result.status) {
    case JobStatus.SUCCEEDED:
      return { ends: "SUCCEEDED", code: "" };
    case JobStatus.FAILED:
      return { ends: NEVER_AGAIN.has(result.errorCodeEnum) ? "FAILED" : "retry", code };
    case JobStatus.FAILED_RETRYABLE:
      return { ends: NOT_BEGUN.has(code) ? "returned" : "retry", code };
    case JobStatus.FAILED_FATAL:
      return { ends: "FAILED", code };
    case JobStatus.CANCELLED:
      return { ends: "CANCELLED", code };
    case JobStatus.DENIED:
      return { ends: "DENIED", code };
    case JobStatus.TIMEOUT:
      return { ends: "TIMEOUT", code };
    case JobStatus.UNSPECIFIED:
      if (result.resultPtr !== "" && result.errorMessage === "" && code === "") return { ends: "SUCCEEDED", code: "" };
      return { ends: "FAILED", code: code || "PROTOCOL_MALFORMED_PACKET" };
    default:
      return { ends: "FAILED", code: code || "PROTOCOL_MALFORMED_PACKET" };
  }
}

const NEVER_AGAIN: ReadonlySet<number> = new Set([
  ErrorCode.JOB_INVALID_INPUT,
  ErrorCode.JOB_PERMISSION_DENIED,
  ErrorCode.SAFETY_DENIED,
]);

/** A gateway gives a job back that it could not hand to the worker. */
export const WORKER_NOT_REACHED = "WORKER_NOT_REACHED";
/** Codes by which our SDK, or a gateway, gives a job back that has not begun: no attempt is lost by that. */
const NOT_BEGUN: ReadonlySet<string> = new Set(["WORKER_FULL", "WORKER_DRAINED", WORKER_NOT_REACHED]);

function codeOf(result: JobResult): string {
  if (result.errorCode !== "") return capText(result.errorCode, CODE_CHARS_MAX);
  return errorCodeName(result.errorCodeEnum);
}

function errorCodeName(code: number): string {
  if (code === 0) return "";
  for (const [name, value] of Object.entries(ErrorCode)) if (value === code) return name;
  return String(code);
}

function noteUnknown(result: JobResult, parts: JobParts): Reception {
  const about = { jobId: capText(result.jobId, ID_CHARS_MAX), workerId: capText(result.workerId, ID_CHARS_MAX) };
  parts.meter.count("cordum_scheduler_stray_results_total", { reason: "unknown_job" });
  parts.log.warn("result.refused", { ...about, reason: "unknown_job" });
  return "unknown_job";
}

function noteStopped(job: Job, { workerId, reported }: Report, parts: JobParts): Reception {
  parts.meter.count("cordum_scheduler_job_stops_total", { outcome: "acknowledged" });
  parts.log.info("job.stop_acknowledged", { jobId: job.id, workerId, reported });
  return "acknowledged";
}

const KIND_OF: { readonly [why in StrayReason]: StrayKind } = {
  ended: "late",
  earlier_attempt: "late",
  repeated: "doubled",
  not_assigned: "foreign",
  other_dispatch: "foreign",
  not_out: "foreign",
};

function noteStray({ id, phase }: Job, { why, workerId, via, reported }: StrayResult, parts: JobParts): Reception {
  const kind = KIND_OF[why];
  parts.meter.count("cordum_scheduler_stray_results_total", { reason: kind });
  parts.log.warn("result.refused", { jobId: id, reason: kind, why, workerId, via, reported, state: phase.state });
  return kind;
}
