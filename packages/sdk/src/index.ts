// @cordum/sdk: what users import. A table of contents, nothing else.

export {
  type CallOptions,
  Client,
  type ClientOptions,
  type ListOptions,
  type SubmitOptions,
  type Verdict,
  type WaitOptions,
} from "./client/client.ts";
export type { Call, Fetch, QueryValue } from "./client/http.ts";
export { CordumError, type CordumErrorParts, type FieldProblem } from "./client/problem.ts";
export {
  type Approval,
  type ApprovedJob,
  type CancelledJob,
  type Constraints,
  type DeadLetter,
  isTerminal,
  type JobDecision,
  type JobDetail,
  type JobQuery,
  type JobRecord,
  type JobState,
  type JobSubmission,
  type Remediation,
  type SubmittedJob,
  type SystemStatus,
  type WorkerRecord,
} from "./client/records.ts";
