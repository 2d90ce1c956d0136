// Parse: from the text of an answer to a typed record.
// Owns:          the checks at the edge: the members that callers branch on must have their types, else RESPONSE_INVALID.
// Must not know: HTTP, retries.
// Other members are passed on as the server sent them: a newer server may add some, and a client must not fail on that.

import { CordumError } from "./problem.ts";
import type {
  ApiKeyRecord,
  Approval,
  ApprovedJob,
  CancelledJob,
  DeadLetter,
  JobDecision,
  JobDetail,
  JobEvent,
  JobRecord,
  JobUpdate,
  MadeApiKey,
  RetriedJob,
  SubmittedJob,
  SystemStatus,
} from "./records.ts";
import type { RevokedSession, WorkerRecord } from "./worker-records.ts";

type Members = { readonly [member: string]: unknown };

export interface Page<T> {
  readonly items: readonly T[];
  readonly nextCursor: string | undefined;
}

export const parseSubmitted = (text: string): SubmittedJob => withText<SubmittedJob>(parseJson(text), "job_id");
export const parseCancelled = (text: string): CancelledJob => withText<CancelledJob>(parseJson(text), "id", "state");
export const parseApproved = (text: string): ApprovedJob => withText<ApprovedJob>(parseJson(text), "job_id");
export const parseDeadLetter = (text: string): DeadLetter => withText<DeadLetter>(parseJson(text), "job_id");
export const parseRetried = (text: string): RetriedJob => withText<RetriedJob>(parseJson(text), "job_id");
export const parseStatus = (text: string): SystemStatus => withText<SystemStatus>(parseJson(text), "time");
export const parseJobDetail = (text: string): JobDetail => withText<JobDetail>(parseJson(text), "id", "state");
export const parseDecisions = (text: string): readonly JobDecision[] =>
  itemsOf(parseJson(text)).map((item) => withText<JobDecision>(item));
export const parseApiKey = (text: string): ApiKeyRecord => apiKeyOf(parseJson(text));
export const parseMadeApiKey = (text: string): MadeApiKey => withText<MadeApiKey>(parseJson(text), "id", "secret");
export const parseApiKeyPage = (text: string): Page<ApiKeyRecord> => pageOf(parseJson(text), apiKeyOf);
export const parseWorker = (text: string): WorkerRecord => withText<WorkerRecord>(parseJson(text), "worker_id");
export const parseWorkers = (text: string): readonly WorkerRecord[] =>
  itemsOf(parseJson(text)).map((item) => withText<WorkerRecord>(item, "worker_id"));

/** Undefined for events of other kinds, which newer servers may send. */
export function parseJobEvent(event: {
  readonly event: string;
  readonly data: string;
  readonly lastEventId: string;
}): JobEvent | undefined {
  if (event.event !== "job.status_changed") return undefined;
  const job = withText<JobUpdate>(objectOf(parseJson(event.data)).job, "id", "state");
  return { job, lastEventId: event.lastEventId };
}

export const parseJobPage = (text: string): Page<JobRecord> =>
  pageOf(parseJson(text), (item) => withText<JobRecord>(item, "id", "state"));
export const parseDeadLetterPage = (text: string): Page<DeadLetter> =>
  pageOf(parseJson(text), (item) => withText<DeadLetter>(item, "job_id"));
export const parseApprovalPage = (text: string): Page<Approval> =>
  pageOf(parseJson(text), (item) => {
    const approval = withText<Approval>(item);
    withText<JobRecord>(approval.job, "id");
    return approval;
  });

/** Any JSON; RESPONSE_INVALID when it is none. An empty body is undefined. */
export function parseJson(text: string): unknown {
  if (text.trim() === "") return undefined;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw invalid("the answer is not JSON", cause);
  }
}

function apiKeyOf(value: unknown): ApiKeyRecord {
  const key = withText<ApiKeyRecord>(value, "id", "name", "state");
  if (![key.tenants, key.roles, key.secrets].every(Array.isArray))
    throw invalid("a key without tenants, roles or secrets");
  return key;
}

export function parseRevokedSession(text: string): RevokedSession {
  const ended = withText<RevokedSession>(parseJson(text), "worker_id", "tenant");
  if (typeof ended.revoked !== "boolean") throw invalid("the answer does not say whether there was a session");
  return ended;
}

/** The one place where an answer gets its type: an object whose members `names` are texts. */
export function withText<T>(value: unknown, ...names: readonly string[]): T {
  const members = objectOf(value);
  for (const name of names) {
    if (typeof members[name] !== "string") throw invalid(`member ${name} of the answer is missing or not a string`);
  }
  return members as T;
}

/** Older servers answer some lists as a bare array, newer ones as `{items}`. */
function itemsOf(value: unknown): readonly unknown[] {
  const items = Array.isArray(value) ? value : objectOf(value).items;
  if (items === null) return [];
  if (!Array.isArray(items)) throw invalid("the answer holds no list");
  return items;
}

export function pageOf<T>(value: unknown, parseItem: (item: unknown) => T): Page<T> {
  const cursor = Array.isArray(value) ? undefined : objectOf(value).next_cursor;
  const nextCursor =
    typeof cursor === "number" || (typeof cursor === "string" && cursor !== "") ? String(cursor) : undefined;
  return { items: itemsOf(value).map(parseItem), nextCursor };
}

export function objectOf(value: unknown): Members {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid("the answer is not an object");
  return value as Members;
}

function invalid(detail: string, cause?: unknown): CordumError {
  return new CordumError({
    status: 200,
    code: "RESPONSE_INVALID",
    title: "The answer is not what this API sends",
    detail,
    retryable: false,
    cause,
  });
}
