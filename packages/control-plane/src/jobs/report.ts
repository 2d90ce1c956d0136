// What workers say about jobs: results and progress.
// Owns:          how a result packet is read into a report; that late, doubled and foreign results change nothing and are counted.
// Must not know: the bus (packet-intake.ts), what a result contains.
// R1. A status that means nothing is a failure with a code, never silence. R2. Texts of workers are capped.
// R3. Whether a failure is tried again: only where attempts are left; never after FAILED_FATAL or a code that repeating cannot help.

import {
  ErrorCode,
  enumName,
  type JobProgress,
  type JobResult,
  JobStatus,
  jobStatusNames,
  SENDERS,
} from "@cordum/protocol";
import { capText } from "./cap-text.ts";
import { type Changed, changeSeen } from "./change.ts";
import { retryDelayMs, statusOf } from "./effects.ts";
import { isTerminal, type Job } from "./job.ts";
import type { Report } from "./job-event.ts";
import type { JobParts } from "./job-parts.ts";
import type { SeenJob } from "./job-store.ts";
import { acceptsReport } from "./transition.ts";

const MESSAGE_CHARS_MAX = 4_096;
const CODE_CHARS_MAX = 128;
const ID_CHARS_MAX = 256;
const POINTER_CHARS_MAX = 1_024;
const ARTIFACTS_MAX = 100;

/** Whose word a progress is. A gateway speaks for the workers that are connected to it, and says for which. */
export function workerBehind(senderId: string, { dispatch }: Pick<JobProgress, "dispatch">): string | undefined {
  return senderId === SENDERS.gateway ? dispatch?.assignedWorkerId : senderId;
}

/** What became of a result. */
export type Reception = "accepted" | "late" | "foreign" | "unknown_job";

/** Faults: STATE_*, JOB_CONTENDED: the result was not stored, and should come again. */
export async function receiveResult(result: JobResult, parts: JobParts, signal: AbortSignal): Promise<Reception> {
  if (result.jobId === "" || result.jobId.length > ID_CHARS_MAX) return stray("unknown_job", result, undefined, parts);
  const report = readReport(result);
  // Most results answer a dispatch that this process has just written: its record need not be read. Whether one is refused is decided
  // on what the store says.
  const remembered = parts.jobs.recall(result.jobId);
  const first = remembered === undefined ? undefined : await applyReport(remembered, report, parts, signal);
  if (first?.moved) return "accepted";
  const seen = await parts.jobs.load(result.jobId, parts.clock.deadline(signal, parts.settings.storeTimeoutMs));
  const changed = seen === undefined ? undefined : await applyReport(seen, report, parts, signal);
  if (changed === undefined) return stray("unknown_job", result, undefined, parts);
  if (!changed.moved) return stray(isTerminal(changed.job) ? "late" : "foreign", result, changed.job, parts);
  return "accepted";
}

async function applyReport(
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

function stray(
  reception: Exclude<Reception, "accepted">,
  result: JobResult,
  job: Job | undefined,
  parts: JobParts,
): Reception {
  const isEcho = job !== undefined && "outcome" in job.phase && statusOf(job.phase.state) === result.status;
  if (reception === "late" && isEcho) return reception;
  parts.meter.count("cordum_scheduler_stray_results_total", { reason: reception });
  parts.log.warn("result.refused", {
    jobId: capText(result.jobId, ID_CHARS_MAX),
    reason: reception,
    workerId: capText(result.workerId, ID_CHARS_MAX),
    state: job?.phase.state,
  });
  return reception;
}
