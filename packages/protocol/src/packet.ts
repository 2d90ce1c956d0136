// The packet: how bytes from the bus become a BusPacket, and back.
// Owns:          the limits for what strangers send; the two ways to read (trusted and hostile).
// Must not know: subjects, what a payload means.

import { BusPacket, JobRequest } from "./gen/agent.ts";
import { type DecodeLimits, decode } from "./wire/decode.ts";
import { encode } from "./wire/encode.ts";
import type { Init } from "./wire/schema.ts";
import { WireError, type WireReason } from "./wire/wire-error.ts";

/** 256 KiB a packet, 64 KiB a string, 1000 entries a list or map, 100 levels. */
export const PACKET_LIMITS: DecodeLimits = {
  bytesMax: 256 * 1024,
  stringBytesMax: 64 * 1024,
  entriesMax: 1000,
  depthMax: 100,
};

export type ParsedPacket =
  | { readonly kind: "packet"; readonly packet: BusPacket }
  | { readonly kind: "malformed"; readonly reason: WireReason; readonly detail: string };

/** Reads what anybody may have sent. Never throws on bytes. A payload of a later release is a packet without payload. */
export function parsePacket(bytes: Uint8Array, limits: DecodeLimits = PACKET_LIMITS): ParsedPacket {
  try {
    return { kind: "packet", packet: decode(BusPacket, bytes, limits) };
  } catch (error) {
    if (error instanceof WireError) return { kind: "malformed", reason: error.reason, detail: error.message };
    throw error;
  }
}

/** Reads bytes that we wrote ourselves. Throws WireError. */
export function decodePacket(bytes: Uint8Array): BusPacket {
  return decode(BusPacket, bytes);
}

/** Canonical bytes of a packet. Throws WireError `bad_value` for a value that its field cannot hold. */
export function encodePacket(packet: Init<BusPacket>): Uint8Array {
  return encode(BusPacket, packet);
}

/** Reads a request that stands alone, as records keep it. Throws WireError. */
export function decodeJobRequest(bytes: Uint8Array): JobRequest {
  return decode(JobRequest, bytes);
}

/** Canonical bytes of a request that stands alone. Throws WireError `bad_value`. */
export function encodeJobRequest(request: Init<JobRequest>): Uint8Array {
  return encode(JobRequest, request);
}
