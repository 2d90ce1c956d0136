// @cordum/sdk: what users import. A table of contents, nothing else.

export type {
  Artifact,
  ArtifactMetadata,
  ArtifactRecord,
  MemoryRecord,
  UploadedArtifact,
} from "./client/artifacts.ts";
export {
  type CallOptions,
  Client,
  type ClientOptions,
  type FollowOptions,
  type ListOptions,
  type SubmitOptions,
  type Verdict,
  type WaitOptions,
} from "./client/client.ts";
export type { ConfigAddress, ConfigChange, ConfigDocument, EffectiveConfig } from "./client/configuration.ts";
export type {
  DeadLetterFilter,
  DeadLetterGroup,
  ManyLetters,
  ManyLettersAnswer,
} from "./client/dead-letters.ts";
export type { Call, Fetch, QueryValue } from "./client/http.ts";
export type { JobCounts, JobLog, JobLogEntry, JobWait } from "./client/job-reading.ts";
export type { LockRecord, LockWish } from "./client/locks.ts";
export { CordumError, type CordumErrorParts, type FieldProblem } from "./client/problem.ts";
export {
  type ApiKeyRecord,
  type ApiKeyWish,
  type Approval,
  type ApprovedJob,
  type CancelledJob,
  type Constraints,
  type DeadLetter,
  isTerminal,
  JOB_STATES,
  type JobDecision,
  type JobDetail,
  type JobEvent,
  type JobQuery,
  type JobRecord,
  type JobState,
  type JobStep,
  type JobSubmission,
  type JobUpdate,
  type MadeApiKey,
  type Remediation,
  type RetriedJob,
  type StopOrder,
  type StrayResult,
  type SubmittedJob,
  type SystemStatus,
} from "./client/records.ts";
export type { RegisteredSchema, SchemaOptions } from "./client/schema-registry.ts";
export type { RevokedSession, WorkerDrain, WorkerRecord } from "./client/worker-records.ts";
export { type ConnectionOptions, connect, connectFromEnvironment } from "./connections/connect.ts";
export type { GatewayTarget } from "./connections/gateway-target.ts";
export type { ConnectionTarget, NatsTarget, RedisTarget } from "./connections/target.ts";
export type { TlsFiles } from "./connections/tls.ts";
export type { Runtime } from "./runtime.ts";
export { PayloadTooLarge, type WorkerConnection, type WorkerSubscription } from "./worker/connection.ts";
export type { JobConstraints } from "./worker/constraints.ts";
export {
  type CheckedWorker,
  type UncheckedWorker,
  type WorkerDefinition,
  worker,
} from "./worker/definition.ts";
export { type HandlerErrorOptions, JobError, RetryableError } from "./worker/failure.ts";
export type { JobContext, Texts, TopicHandler, WorkerOptions } from "./worker/job-context.ts";
export { type LogFields, type LogLevel, lineLog, type WorkerLog } from "./worker/log.ts";
export { JobStopped, type Stop } from "./worker/outcome.ts";
export { type ServeOptions, type Serving, type StartOptions, serve } from "./worker/serve.ts";
export type { ProcessOptions } from "./worker/settings.ts";
export type { SigningOptions, VerifyMode } from "./worker/signing.ts";
