// Failure: how a job can end without success, and what the packet says about it.
// Owns:          the codes of this SDK, the two error classes for handlers, the cap on text that leaves the worker.
// Must not know: packets, connections.
// F1. A code is written down here or chosen by the handler, never derived from a message.
// F2. Text that leaves is well-formed Unicode of at most 4 KiB and holds no stack.
// F3. Only what may succeed when it is tried again is retryable: an oversize result, a bad input or a bug is not.

import { messageOf } from "./log.ts";

/** Number on the wire (CAP ErrorCode; from 1000 on they belong to applications) and whether trying again can help. */
const FAILURES = {
  INVALID_INPUT: { number: 203, status: "FAILED" },
  INVALID_POINTER: { number: 203, status: "FAILED" },
  CONTEXT_NOT_FOUND: { number: 204, status: "FAILED" },
  CONTEXT_TOO_LARGE: { number: 201, status: "FAILED" },
  CONTEXT_UNAVAILABLE: { number: 402, status: "FAILED_RETRYABLE" },
  TOPIC_NOT_SERVED: { number: 204, status: "FAILED" },
  // The next two never began, so repeating them is safe whatever the job does.
  WORKER_FULL: { number: 201, status: "FAILED_RETRYABLE" },
  WORKER_DRAINED: { number: 206, status: "FAILED_RETRYABLE" },
  WORKER_STOPPED: { number: 206, status: "FAILED_RETRYABLE" },
  HANDLER_FAILED: { number: 1000, status: "FAILED" },
  HANDLER_RETRYABLE: { number: 1000, status: "FAILED_RETRYABLE" },
  INVALID_OUTPUT: { number: 1001, status: "FAILED" },
  RESULT_TOO_LARGE: { number: 201, status: "FAILED" },
  RESULT_NOT_STORED: { number: 402, status: "FAILED_RETRYABLE" },
  TIMEOUT: { number: 200, status: "TIMEOUT" },
  CANCELLED: { number: 0, status: "CANCELLED" },
} as const;

export type FailureCode = keyof typeof FAILURES;
export type FailureStatus = "FAILED" | "FAILED_RETRYABLE" | "TIMEOUT" | "CANCELLED";

export interface Failure {
  readonly status: FailureStatus;
  readonly code: string;
  readonly codeNumber: number;
  readonly message: string;
}

/** Codes of the protocol that a handler may use in JobError; any other code becomes 1000 with its text. */
const PROTOCOL_CODES: ReadonlyMap<string, number> = new Map([
  ["TIMEOUT", 200],
  ["RESOURCE_EXHAUSTED", 201],
  ["PERMISSION_DENIED", 202],
  ["INVALID_INPUT", 203],
  ["NOT_FOUND", 204],
  ["DUPLICATE", 205],
  ["WORKER_UNAVAILABLE", 206],
  ["DENIED", 300],
  ["POLICY_VIOLATION", 301],
  ["RISK_TAG_BLOCKED", 302],
]);
const APPLICATION_CODE = 1000;

export interface HandlerErrorOptions {
  readonly cause?: unknown;
}

/** Thrown by a handler: the job has failed for good, with a code that callers can branch on. */
export class JobError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options: HandlerErrorOptions = {}) {
    super(message, options);
    this.name = "JobError";
    this.code = code;
  }
}

/** Thrown by a handler: it failed now and may succeed later. The control plane decides whether it is tried again. */
export class RetryableError extends Error {
  readonly code: string;

  constructor(message: string, options: HandlerErrorOptions & { readonly code?: string } = {}) {
    super(message, options);
    this.name = "RetryableError";
    this.code = options.code ?? "HANDLER_RETRYABLE";
  }
}

export function failure(code: FailureCode, message: string): Failure {
  return { status: FAILURES[code].status, code, codeNumber: FAILURES[code].number, message: capText(message) };
}

/** What a handler's exception means. */
export function failureOf(thrown: unknown): Failure {
  if (thrown instanceof FailureError) return thrown.failure;
  if (thrown instanceof RetryableError) return coded("FAILED_RETRYABLE", thrown.code, thrown);
  if (thrown instanceof JobError) return coded("FAILED", thrown.code, thrown);
  return failure("HANDLER_FAILED", messageOf(thrown));
}

/** Carries a failure of this SDK's own through a handler's call stack. */
export class FailureError extends Error {
  readonly failure: Failure;

  constructor(code: FailureCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "FailureError";
    this.failure = failure(code, message);
  }
}

function coded(status: FailureStatus, code: string, thrown: Error): Failure {
  const text = capText(String(code), CODE_BYTES_MAX);
  return {
    status,
    code: text,
    codeNumber: PROTOCOL_CODES.get(text) ?? APPLICATION_CODE,
    message: capText(messageOf(thrown)),
  };
}

const TEXT_BYTES_MAX = 4096;
const CODE_BYTES_MAX = 128;

/** Well-formed text of at most `bytesMax` bytes of UTF-8, cut between characters. */
export function capText(text: string, bytesMax: number = TEXT_BYTES_MAX): string {
  // A JavaScript character is at most three bytes of UTF-8, so nearly all texts need no encoding to be measured.
  if (text.length * 3 <= bytesMax) return text.toWellFormed();
  const whole = text.toWellFormed();
  const { read } = new TextEncoder().encodeInto(whole, new Uint8Array(bytesMax));
  return whole.slice(0, read);
}
