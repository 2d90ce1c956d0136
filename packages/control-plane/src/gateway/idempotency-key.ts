// The key under which a request may be repeated.
// Owns:          its header and its length.
// Must not know: what a repeat means.

import type { FastifyRequest } from "fastify";
import { invalidField } from "../ports/fault.ts";

const HEADERS = ["idempotency-key", "x-idempotency-key"] as const;
const CHARS_MAX = 512;

/** The first header that is not blank, as it was sent; "" without one. Its length is for the caller to judge. */
export function idempotencyHeader(request: FastifyRequest): string {
  for (const name of HEADERS) {
    const value = request.headers[name];
    if (typeof value === "string" && value.trim() !== "") return value;
  }
  return "";
}

/** "" without one. Fault INVALID_REQUEST. */
export function idempotencyKeyOf(request: FastifyRequest, charsMax: number = CHARS_MAX): string {
  const text = idempotencyHeader(request);
  if (text.length <= charsMax) return text.trim();
  throw invalidField("Idempotency-Key", `Idempotency-Key is longer than ${charsMax} characters`);
}
