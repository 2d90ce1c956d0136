// The key under which a request may be repeated.
// Owns:          its header and its length.
// Must not know: what a repeat means.

import type { FastifyRequest } from "fastify";
import { invalidField } from "../ports/fault.ts";

const CHARS_MAX = 512;

/** "" without one. Fault INVALID_REQUEST. */
export function idempotencyKeyOf(request: FastifyRequest): string {
  const { "idempotency-key": key, "x-idempotency-key": other } = request.headers;
  const text = typeof key === "string" ? key : typeof other === "string" ? other : "";
  if (text.length <= CHARS_MAX) return text.trim();
  const reason = `Idempotency-Key is longer than ${CHARS_MAX} characters`;
  throw invalidField("Idempotency-Key", reason);
}
