// Job requests as bytes: taken out of a packet, completed and sent on without being decoded or encoded again.
// Owns:          how appended fields are merged by every protobuf reader.
// Must not know: why a field is added.
// A1. Protobuf readers merge: of a scalar the last one counts, messages are merged field by field, map entries replace those of the same
//     key, lists are continued. So appended bytes change and add, and unknown fields of a later release survive.
// A2. What is unset or default is not written and therefore changes nothing: appending cannot clear a field, nor take a map entry away.
// A3. Appended bytes are not what the sender signed. The result carries no signature; sign it anew where one is needed.

import { BusPacket, JobRequest } from "./gen/agent.ts";
import { encodeInto } from "./wire/encode.ts";
import { Reader } from "./wire/reader.ts";
import type { Init } from "./wire/schema.ts";
import { Writer } from "./wire/writer.ts";

/** Envelope of a packet without payload and signature. */
export type Envelope = Omit<Init<BusPacket>, "payload" | "signature"> & {
  readonly payload?: undefined;
  readonly signature?: undefined;
};

const REQUEST_TAG = 0x52;
const SIGNATURE_TAG = 0x72;
const PAYLOAD_NUMBERS: ReadonlySet<number> = new Set(
  BusPacket.oneofs.flatMap((oneof) => [...oneof.members.values()]).map((field) => field.no),
);
const writer = new Writer();

/**
 * The bytes of the JobRequest that a packet carries, as they came, or undefined when it carries another payload or none. Parts of a
 * request that was sent in several pieces are joined; of one in a single piece the answer is a view into the packet. Walks over the
 * packet's top level only. Throws WireError.
 */
export function jobRequestBytes(packetBytes: Uint8Array): Uint8Array | undefined {
  const reader = new Reader(packetBytes);
  let parts: Uint8Array[] = [];
  while (reader.at < reader.end) {
    const tag = reader.tag();
    if (tag === REQUEST_TAG) {
      const length = reader.length();
      parts.push(packetBytes.subarray(reader.at, reader.at + length));
      reader.at += length;
    } else {
      if ((tag & 7) === 2 && PAYLOAD_NUMBERS.has(tag >>> 3)) parts = [];
      reader.skip(tag, 1);
    }
  }
  return parts.length > 1 ? new Uint8Array(Buffer.concat(parts)) : parts[0];
}

/** A packet around the bytes of a request, completed by `fields` (A1, A2). Throws WireError `bad_value`. */
export function wrapJobRequest(requestBytes: Uint8Array, envelope: Envelope, fields?: Init<JobRequest>): Uint8Array {
  writer.reset();
  if (fields !== undefined) encodeInto(JobRequest, fields, writer);
  writer.raw(requestBytes);
  writer.varint32(writer.written);
  writer.varint32(REQUEST_TAG);
  encodeInto(BusPacket, envelope, writer);
  return writer.take();
}

/**
 * A packet that carries a JobRequest, with `fields` appended to the request and `envelope` to the packet (A1, A2). `createdAt` replaces the
 * old one wholly. A signature is emptied (A3). The packet must carry a request: one that carries another payload would lose it.
 * Throws WireError `bad_value`.
 */
export function appendJobRequestFields(
  packetBytes: Uint8Array,
  fields: Init<JobRequest>,
  envelope: Envelope = {},
): Uint8Array {
  const { createdAt, ...rest } = envelope;
  writer.reset();
  writer.varint32(0);
  writer.varint32(SIGNATURE_TAG);
  encodeInto(JobRequest, fields, writer);
  writer.varint32(writer.written - 2);
  writer.varint32(REQUEST_TAG);
  if (createdAt !== undefined) writeWholeTimestamp(createdAt);
  encodeInto(BusPacket, rest, writer);
  writer.raw(packetBytes);
  return writer.take();
}

/** Zeros too, because a left out member of a merged message would keep its old value. */
function writeWholeTimestamp(createdAt: NonNullable<Envelope["createdAt"]>): void {
  const before = writer.written;
  writer.int32(createdAt.nanos ?? 0);
  writer.varint32(0x10);
  writer.int64(createdAt.seconds ?? 0);
  writer.varint32(0x08);
  writer.varint32(writer.written - before);
  writer.varint32(0x1a);
}
