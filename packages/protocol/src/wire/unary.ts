// gRPC methods as data.
// Owns:          the form of a unary method, the same that @grpc/grpc-js takes as one member of a service definition.
// Must not know: gRPC itself: this package depends on no server.

import { type DecodeLimits, decode } from "./decode.ts";
import { encode } from "./encode.ts";
import type { Init, MessageType } from "./schema.ts";

export interface UnaryMethod<Request, Response> {
  readonly path: string;
  readonly requestType: MessageType<Request>;
  readonly responseType: MessageType<Response>;
  readonly requestStream: false;
  readonly responseStream: false;
  requestSerialize(value: Init<Request>): Buffer;
  /** Throws WireError, which grpc-js answers as INTERNAL. */
  requestDeserialize(bytes: Buffer): Request;
  responseSerialize(value: Init<Response>): Buffer;
  responseDeserialize(bytes: Buffer): Response;
}

/** Nesting and entries are bounded here, the size of a message by the server's own setting (4 MiB in grpc-js). */
const LIMITS: DecodeLimits = { bytesMax: 1 << 26, stringBytesMax: 1 << 26, entriesMax: 10_000, depthMax: 100 };

export function unary<Request, Response>(
  path: string,
  request: MessageType<Request>,
  response: MessageType<Response>,
): UnaryMethod<Request, Response> {
  return {
    path,
    requestType: request,
    responseType: response,
    requestStream: false,
    responseStream: false,
    requestSerialize: (value) => toBuffer(encode(request, value)),
    requestDeserialize: (bytes) => decode(request, bytes, LIMITS),
    responseSerialize: (value) => toBuffer(encode(response, value)),
    responseDeserialize: (bytes) => decode(response, bytes, LIMITS),
  };
}

function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
