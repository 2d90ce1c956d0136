// Requests that are not HTTP: nothing was parsed, so no hook and no route has seen them.
// Owns:          the last words to such a connection.
// Must not know: routes, logs (whoever scans ports must not fill a disk).

import type { Socket } from "node:net";
import { FAULTS, type FaultCode } from "../ports/fault.ts";
import { FIXED_TEXTS, PROBLEM_CONTENT_TYPE, PROBLEM_TYPE_PREFIX } from "./problem.ts";

export function refuseBrokenRequest(error: Error, socket: Socket): void {
  if (!socket.writable || socket.destroyed) return;
  const { status, detail, code } = refusalOf(Reflect.get(error, "code"));
  const { title, retry } = FAULTS[code];
  const body = JSON.stringify({
    type: PROBLEM_TYPE_PREFIX + code,
    title,
    status: status.code,
    detail,
    code,
    retryable: retry !== "never",
    errors: [],
    error: FIXED_TEXTS[code] ?? detail,
  });
  socket.end(
    `HTTP/1.1 ${status.code} ${status.text}\r\nConnection: close\r\nContent-Type: ${PROBLEM_CONTENT_TYPE}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

interface Refusal {
  readonly status: { readonly code: number; readonly text: string };
  readonly detail: string;
  readonly code: FaultCode;
}

function refusalOf(cause: unknown): Refusal {
  if (cause === "HPE_HEADER_OVERFLOW") {
    const status = { code: 431, text: "Request Header Fields Too Large" };
    return { status, detail: "the request's head is too large", code: "INVALID_REQUEST" };
  }
  if (cause === "ERR_HTTP_REQUEST_TIMEOUT") {
    const status = { code: 408, text: "Request Timeout" };
    return { status, detail: "the request did not arrive in time", code: "REQUEST_TIMEOUT" };
  }
  const status = { code: 400, text: "Bad Request" };
  return { status, detail: "this is not an HTTP request", code: "INVALID_REQUEST" };
}
