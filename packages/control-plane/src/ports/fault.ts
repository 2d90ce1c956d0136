// Fault: an operational error with a code that is written down.
// Owns:          the table of codes; the class that carries one.
// Must not know: HTTP framing (gateway/problem.ts renders), wire formats of older clients.
// F1. A code is never derived from a message. F2. `retry` tells whether the same call may succeed later.

export type Retry = "never" | "later" | "now";
export interface FaultSpec {
  /** HTTP status that a gateway answers with. */
  readonly status: number;
  readonly retry: Retry;
  readonly title: string;
}

export const FAULTS = {
  STATE_UNAVAILABLE: { status: 503, retry: "later", title: "State store unavailable" },
  STATE_OUTCOME_UNKNOWN: {
    status: 503,
    retry: "later",
    title: "State store did not answer; the change may have happened",
  },
  STATE_REFUSED: { status: 500, retry: "never", title: "State store refused the change" },
  STATE_MISCONFIGURED: {
    status: 500,
    retry: "never",
    title: "State store is configured in a way that would lose jobs",
  },
  BUS_UNAVAILABLE: { status: 503, retry: "later", title: "Message bus unavailable" },
  BUS_MISCONFIGURED: {
    status: 500,
    retry: "never",
    title: "Message bus is configured in a way that cannot work",
  },
  PAYLOADS_UNAVAILABLE: { status: 503, retry: "later", title: "Payload store unavailable" },
  PAYLOAD_TOO_LARGE: { status: 413, retry: "never", title: "Payload too large" },
  INVALID_REQUEST: { status: 400, retry: "never", title: "Invalid request" },
  REQUEST_TIMEOUT: { status: 408, retry: "now", title: "The request did not arrive in time" },
  BODY_TOO_LARGE: { status: 413, retry: "never", title: "Request body too large" },
  UNAUTHENTICATED: { status: 401, retry: "never", title: "Missing or unknown API key" },
  FORBIDDEN: { status: 403, retry: "never", title: "This key may not do that" },
  TENANT_FORBIDDEN: { status: 403, retry: "never", title: "Tenant access denied" },
  ORIGIN_FORBIDDEN: { status: 403, retry: "never", title: "Origin not allowed" },
  ROUTE_NOT_FOUND: { status: 404, retry: "never", title: "No such route" },
  METHOD_NOT_ALLOWED: { status: 405, retry: "never", title: "Method not allowed on this route" },
  RATE_LIMITED: { status: 429, retry: "later", title: "Too many requests" },
  BACKPRESSURE: { status: 429, retry: "later", title: "The tenant has as many open jobs as it may have" },
  SUBMIT_RATE_LIMITED: { status: 429, retry: "later", title: "The tenant submits more jobs than it may" },
  TOO_MANY_CONNECTIONS: { status: 429, retry: "later", title: "Too many streams or sockets are open" },
  INTERNAL: { status: 500, retry: "later", title: "Internal error" },
  SHUTTING_DOWN: { status: 503, retry: "later", title: "This process is shutting down" },
  JOB_NOT_FOUND: { status: 404, retry: "never", title: "No such job" },
  DEAD_LETTER_NOT_FOUND: { status: 404, retry: "never", title: "No such dead letter" },
  JOB_NOT_RETRYABLE: { status: 409, retry: "never", title: "What the job needs to run again is no longer kept" },
  JOB_NOT_REMEDIABLE: { status: 409, retry: "never", title: "Policy offers nothing else for this job" },
  REMEDIATION_NOT_FOUND: { status: 404, retry: "never", title: "No such remediation" },
  JOB_CONTENDED: { status: 503, retry: "later", title: "The job is being changed by many at once" },
  IDEMPOTENCY_CONFLICT: { status: 409, retry: "never", title: "Idempotency key already used with another request" },
  KEY_NOT_FOUND: { status: 404, retry: "never", title: "No such API key" },
  KEY_ENDED: { status: 409, retry: "never", title: "The API key is revoked or has expired" },
  KEY_IN_GRACE: { status: 409, retry: "later", title: "An earlier secret of the API key is still valid" },
  KEY_LIMIT: { status: 409, retry: "never", title: "The tenant has as many API keys as it may have" },
  KEY_CONTENDED: { status: 503, retry: "later", title: "The API key is being changed by many at once" },
  WORKER_NOT_FOUND: { status: 404, retry: "never", title: "No such worker" },
  SESSION_LIMIT: { status: 429, retry: "later", title: "As many sessions were revoked as may be within an hour" },
  DRAIN_LIMIT: { status: 409, retry: "never", title: "As many workers are drained as may be" },
  LOCK_NOT_FOUND: { status: 404, retry: "never", title: "Nobody holds this lock" },
  LOCK_NOT_HELD: { status: 404, retry: "never", title: "The caller does not hold this lock" },
  LOCK_UNAVAILABLE: { status: 409, retry: "later", title: "Somebody else holds the lock" },
  LOCK_CONTENDED: { status: 503, retry: "later", title: "The lock is being changed by many at once" },
  MEMORY_NOT_FOUND: { status: 404, retry: "never", title: "Nothing of this tenant lies there" },
  CONFIG_NOT_FOUND: { status: 404, retry: "never", title: "No such config document" },
  CONFIG_VERSION_CONFLICT: {
    status: 409,
    retry: "never",
    title: "The config document is not the one that was expected",
  },
  CONFIG_SCHEMA_VIOLATION: { status: 400, retry: "never", title: "The config document would be misunderstood" },
  CONFIG_KEY_FORBIDDEN: { status: 400, retry: "never", title: "This member does not belong into this config document" },
  CONFIG_LIMIT: { status: 409, retry: "never", title: "There are as many config documents as there may be" },
  CONFIG_CONTENDED: { status: 503, retry: "later", title: "The configuration is being changed by many at once" },
  SCHEMA_NOT_FOUND: { status: 404, retry: "never", title: "No such schema" },
  SCHEMA_INVALID: { status: 400, retry: "never", title: "The schema cannot be used" },
  SCHEMA_LIMIT: { status: 409, retry: "never", title: "There are as many schemas as there may be" },
  SCHEMA_CONTENDED: { status: 503, retry: "later", title: "The schema is being changed by many at once" },
  SCHEMA_VALIDATION_FAILED: {
    status: 400,
    retry: "never",
    title: "The job's payload does not keep to the schema of its topic",
  },
  SCHEMA_MISSING: { status: 409, retry: "later", title: "The topic names a schema that cannot be used" },
  SCHEMA_UNCHECKED: { status: 503, retry: "later", title: "The check against a schema did not end in time" },
  ARTIFACT_NOT_FOUND: { status: 404, retry: "never", title: "No such artifact" },
  ARTIFACT_DAMAGED: { status: 500, retry: "never", title: "What is stored is not what was uploaded" },
  APPROVAL_NOT_ACTIONABLE: { status: 409, retry: "never", title: "The job does not wait for an approval" },
  APPROVAL_ALREADY_RESOLVED: { status: 409, retry: "never", title: "The approval is already resolved" },
  APPROVAL_STALE_POLICY: { status: 409, retry: "never", title: "Policy has changed; look at the request again" },
  APPROVAL_STALE_REQUEST: { status: 409, retry: "never", title: "The request is not the one that policy asked about" },
  SELF_APPROVAL_DENIED: { status: 403, retry: "never", title: "Nobody approves a request of their own" },
  JOB_DENIED: { status: 403, retry: "never", title: "Policy denies this job" },
  JOB_THROTTLED: { status: 429, retry: "later", title: "Policy lets this job wait" },
  POLICY_UNAVAILABLE: { status: 503, retry: "later", title: "No policy is loaded" },
  POLICY_INVALID: { status: 400, retry: "never", title: "The policy is invalid" },
  CURSOR_INVALID: { status: 400, retry: "never", title: "Invalid cursor" },
} as const satisfies Record<string, FaultSpec>;

export type FaultCode = keyof typeof FAULTS;

export interface FaultDetails {
  readonly cause?: unknown;
  /** Which input is wrong, and why; shown to the caller. */
  readonly fields?: readonly { readonly field: string; readonly reason: string }[];
}

export class Fault extends Error {
  readonly code: FaultCode;
  readonly fields: readonly { readonly field: string; readonly reason: string }[];

  /** `detail` is shown to the caller: no internals, no secrets. */
  constructor(code: FaultCode, detail: string, details: FaultDetails = {}) {
    super(detail, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "Fault";
    this.code = code;
    this.fields = details.fields ?? [];
  }

  get spec(): FaultSpec {
    return FAULTS[this.code];
  }
}

/** The fault of a request of which one field is wrong. `reason` is shown to the caller. */
export function invalidField(field: string, reason: string): Fault {
  return new Fault("INVALID_REQUEST", reason, { fields: [{ field, reason }] });
}

/** What was thrown, in words for the log. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** Ends a switch over a union: a new member does not compile until it is handled. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`);
}

/** A programmer error when false: the process stops and is restarted. Never on bytes from outside. */
export function assert(claim: boolean, says: string, about: Record<string, unknown> = {}): asserts claim {
  if (!claim) throw new AssertionFailure(`assertion failed: ${says} ${JSON.stringify(about)}`);
}

export class AssertionFailure extends Error {
  override readonly name = "AssertionFailure";
}
