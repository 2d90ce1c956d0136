// Problem: what an answer that is not a success means.
// Owns:          CordumError; reading it from problem+json, from `{error, code, status}` and from plain text.
// Must not know: how requests are sent or repeated.
// P1. The key never gets in here: messages are built from what the server said and from method and path alone.
// P2. Text of the server is capped; nothing in an answer can make an error that is hard to log.

export interface FieldProblem {
  readonly field: string;
  readonly reason: string;
}

export interface CordumErrorParts {
  /** HTTP status; 0 when there was no answer. */
  readonly status: number;
  /** Code of the server's table, e.g. JOB_NOT_FOUND; or NETWORK_ERROR, CALL_TIMEOUT, WAIT_TIMEOUT, RESPONSE_TOO_LARGE,
   *  RESPONSE_INVALID, HTTP_<status> when the server sent none. */
  readonly code: string;
  readonly title: string;
  readonly detail: string;
  readonly fields?: readonly FieldProblem[];
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;
  readonly traceId?: string | undefined;
  readonly cause?: unknown;
}

/** Every failure of the client but the caller's own abort, which is thrown as the signal's reason. */
export class CordumError extends Error {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly detail: string;
  readonly fields: readonly FieldProblem[];
  readonly retryable: boolean;
  readonly traceId: string | undefined;

  constructor(parts: CordumErrorParts) {
    super(
      `${parts.code}: ${parts.detail === "" ? parts.title : parts.detail}`,
      parts.cause === undefined ? undefined : { cause: parts.cause },
    );
    this.name = "CordumError";
    this.status = parts.status;
    this.code = parts.code;
    this.title = parts.title;
    this.detail = parts.detail;
    this.fields = parts.fields ?? [];
    this.retryable = parts.retryable;
    this.traceId = parts.traceId;
  }
}

/** Statuses after which the same request is sent again. */
export const RETRIED_STATUSES: ReadonlySet<number> = new Set([408, 429, 502, 503, 504]);

const TEXT_CHARS_MAX = 2_000;
const FIELDS_MAX = 100;

export interface ErrorAnswer {
  readonly status: number;
  readonly statusText: string;
  readonly body: string;
  /** From the headers, when the body names none. */
  readonly traceId: string | undefined;
}

/** Reads the error out of an answer, whatever generation of server wrote it. Never throws. */
export function parseProblem(answer: ErrorAnswer): CordumError {
  const members = parseObject(answer.body);
  const plain = members === undefined ? answer.body.trim() : "";
  const nested = asObject(members?.error);
  const title = firstText(members?.title, nested?.message, members?.error, answer.statusText, `HTTP ${answer.status}`);
  const retryable = members?.retryable;
  return new CordumError({
    status: answer.status,
    code: firstText(members?.code, nested?.code, `HTTP_${answer.status}`),
    title,
    detail: firstText(members?.detail, nested?.message, members?.error, members?.message, plain, title),
    fields: fieldsOf(members?.errors ?? asObject(nested?.details)?.fields ?? members?.violations),
    retryable: typeof retryable === "boolean" ? retryable : RETRIED_STATUSES.has(answer.status),
    traceId: firstText(members?.traceId, members?.trace_id, answer.traceId) || undefined,
  });
}

/** Wait in ms that a `Retry-After` header asks for (seconds or an HTTP date), or undefined. `now`: epoch ms. */
export function parseRetryAfterMs(header: string | null, now: number): number | undefined {
  if (header === null) return undefined;
  if (/^\s*\d{1,9}\s*$/.test(header)) return Number(header) * 1000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}

function fieldsOf(value: unknown): readonly FieldProblem[] {
  if (Array.isArray(value)) {
    return value.slice(0, FIELDS_MAX).map((entry: unknown) => {
      const members = asObject(entry);
      return {
        field: firstText(members?.field, members?.pointer, members?.path, members?.name),
        reason: firstText(members?.reason, members?.message, members?.detail, entry),
      };
    });
  }
  const byName = asObject(value);
  if (byName === undefined) return [];
  return Object.entries(byName)
    .slice(0, FIELDS_MAX)
    .map(([field, reason]) => ({ field: cap(field), reason: firstText(reason, JSON.stringify(reason)) }));
}

function parseObject(text: string): { readonly [member: string]: unknown } | undefined {
  if (!text.trimStart().startsWith("{")) return undefined;
  try {
    return asObject(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function asObject(value: unknown): { readonly [member: string]: unknown } | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as { readonly [member: string]: unknown })
    : undefined;
}

function firstText(...candidates: readonly unknown[]): string {
  for (const candidate of candidates) {
    if (typeof candidate === "string" && candidate !== "") return cap(candidate);
  }
  return "";
}

function cap(text: string): string {
  return text.length <= TEXT_CHARS_MAX ? text : `${text.slice(0, TEXT_CHARS_MAX)}…`;
}
