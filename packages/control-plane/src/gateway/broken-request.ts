// Requests that are not HTTP: nothing was parsed, so no hook and no route has seen them.
// Owns:          the last words to such a connection.
// Must not know: routes, logs (whoever scans ports must not fill a disk).

import type { Socket } from "node:net";
import { FAULTS, type FaultCode } from "../ports/fault.ts";
import { FIXED_TEXTS, PROBLEM_CONTENT_TYPE, PROBLEM_TYPE_PREFIX } from "./problem.ts";

export function refuseBrokenRequest(error: Error, socket: Socket): void {
  if (!socket.writable || socket.destroyed) return;
  const [status, detail] = statusOf(Reflect.get(error, "code"));
  const code: FaultCode = "INVALID_REQUEST";
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

type Status = { readonly code: number; readonly text: string };

function statusOf(code: unknown): readonly [Status, string] {
  if (code === "HPE_HEADER_OVERFLOW")
    return [{ code: 431, text: "Request Header Fields Too Large" }, "the request's head is too large"];
  if (code === "ERR_HTTP_REQUEST_TIMEOUT")
    return [{ code: 408, text: "Request Timeout" }, "the request did not arrive in time"];
  return [{ code: 400, text: "Bad Request" }, "this is not an HTTP request"];
}
