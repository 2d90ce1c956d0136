// Problem: how an error looks to a caller.
// Owns:          the one rendering of faults and unknown errors; the fixed texts that clients of the original display.
// Must not know: routes, Fastify's request and reply.
// P1. `application/problem+json` (RFC 9457) with our code, plus the member `error` that older clients show. P2. Whatever is not a Fault
//     is INTERNAL: nothing of it reaches the caller. P3. An answer that may be repeated says when (`retryAfterS`).

import { FAULTS, Fault, type FaultCode } from "../ports/fault.ts";

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly instance: string;
  readonly code: FaultCode;
  readonly traceId: string;
  readonly retryable: boolean;
  readonly errors: readonly { readonly field: string; readonly reason: string }[];
  readonly error: string;
}

export interface Occurrence {
  /** Path of the request, without its query. */
  readonly instance: string;
  readonly traceId: string;
}

export const PROBLEM_CONTENT_TYPE = "application/problem+json";
/** A stable name: it resolves to nothing, docs/reference/problems.md explains each. */
export const PROBLEM_TYPE_PREFIX = "urn:cordum:problem:";

/** What the original answered for the same condition, letter by letter. Codes without an entry say their detail. */
export const FIXED_TEXTS: { readonly [code in FaultCode]?: string } = {
  UNAUTHENTICATED: "unauthorized",
  FORBIDDEN: "access denied",
  TENANT_FORBIDDEN: "tenant access denied",
  ORIGIN_FORBIDDEN: "origin not allowed",
  ROUTE_NOT_FOUND: "404 page not found",
  METHOD_NOT_ALLOWED: "Method Not Allowed",
  RATE_LIMITED: "rate limited",
  INTERNAL: "internal error",
  JOB_NOT_FOUND: "job not found",
  IDEMPOTENCY_CONFLICT: "idempotency key already used",
  APPROVAL_NOT_ACTIONABLE: "job not awaiting approval",
  APPROVAL_STALE_POLICY: "policy snapshot changed; re-evaluate before approving",
  APPROVAL_STALE_REQUEST: "job request changed; approval rejected",
};

const DETAIL_CHARS_MAX = 1_000;
const ERRORS_MAX = 50;
const INTERNAL_DETAIL = "something went wrong on our side; the trace id finds it in the log";

export function toProblem(error: unknown, about: Occurrence): Problem {
  const fault = error instanceof Fault ? error : new Fault("INTERNAL", INTERNAL_DETAIL, { cause: error });
  const { code, spec, fields } = fault;
  const detail = cap(fault.message);
  return {
    type: PROBLEM_TYPE_PREFIX + code,
    title: spec.title,
    status: spec.status,
    detail,
    instance: about.instance,
    code,
    traceId: about.traceId,
    retryable: spec.retry !== "never",
    errors: fields.slice(0, ERRORS_MAX).map(({ field, reason }) => ({ field: cap(field), reason: cap(reason) })),
    error: FIXED_TEXTS[code] ?? detail,
  };
}

/** Seconds that a caller should wait before it repeats, where its answer says none; undefined: repeating is not what helps. */
export function retryAfterS(status: number): number | undefined {
  if (status === 429) return 1;
  return status === 503 ? 2 : undefined;
}

/** The page docs/reference/problems.md; a test keeps the two equal. */
export function problemsPage(): string {
  const rows = Object.entries(FAULTS).map(
    ([code, { status, retry, title }]) => `| \`${code}\` | ${status} | ${retryColumn(retry)} | ${title} |`,
  );
  return `${PAGE_HEAD}\n${rows.join("\n")}\n`;
}

const PAGE_HEAD = `# Problems

Every error of the API is \`application/problem+json\` (RFC 9457): \`type\` (\`${PROBLEM_TYPE_PREFIX}<code>\`), \`title\`, \`status\`, \`detail\`,
\`instance\`, and our members \`code\` (stable, from the table below), \`traceId\` (also in the log and in the header \`X-Request-Id\`),
\`retryable\`, \`errors\` (which input is wrong, and why) and \`error\` (the text that clients of the original display).
Branch on \`code\`, show \`detail\`. This page is generated from the table of codes.

| Code | Status | Repeating the same call | Meaning |
|---|---|---|---|`;

function retryColumn(retry: string): string {
  if (retry === "never") return "does not help";
  return retry === "later" ? "may succeed later; see `Retry-After`" : "may succeed at once";
}

function cap(text: string): string {
  return text.length <= DETAIL_CHARS_MAX ? text : `${text.slice(0, DETAIL_CHARS_MAX)}…`;
}
