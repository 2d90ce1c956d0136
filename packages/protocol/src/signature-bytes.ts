// Field 14 of a packet, as bytes: which bytes a signature covers.
// Owns:          cutting the signature out of received bytes; the order in which each kind of signer wrote.
// Must not know: keys, cryptography.

import { BusPacket } from "./gen/agent.ts";
import { encode } from "./wire/encode.ts";
import { Reader } from "./wire/reader.ts";
import type { Init } from "./wire/schema.ts";

export const SIGNATURE_TAG = 0x72;
const SIGNATURE_NUMBER = 14;
const TOKEN_NUMBER = 18;
const EMPTY_SIGNATURE = Uint8Array.of(SIGNATURE_TAG, 0);

export interface CutPacket {
  /** The received bytes without field 14. */
  readonly unsigned: Uint8Array;
  /** The received bytes with an empty field 14 where the last signature was. */
  readonly emptied: Uint8Array;
  /** Empty when there is none. */
  readonly signature: Uint8Array;
}

/** Cuts every field 14 out of a packet. Throws WireError when the bytes are no packet. */
export function cutSignature(bytes: Uint8Array): CutPacket {
  const reader = new Reader(bytes);
  const parts: Uint8Array[] = [];
  let keptFrom = 0;
  let placeOfLast = 0;
  let signature = bytes.subarray(0, 0);
  while (reader.at < reader.end) {
    const start = reader.at;
    const tag = reader.tag();
    if (tag === SIGNATURE_TAG) {
      parts.push(bytes.subarray(keptFrom, start));
      placeOfLast = parts.length;
      const length = reader.length();
      signature = bytes.subarray(reader.at, reader.at + length);
      reader.at += length;
      keptFrom = reader.at;
    } else reader.skip(tag, 1);
  }
  parts.push(bytes.subarray(keptFrom));
  return {
    unsigned: Buffer.concat(parts),
    emptied: Buffer.concat(parts.toSpliced(placeOfLast, 0, EMPTY_SIGNATURE)),
    signature,
  };
}

/** Puts a signature behind the very bytes that were signed: protobuf takes fields in any order. */
export function appendSignature(unsigned: Uint8Array, signature: Uint8Array): Uint8Array {
  return Buffer.concat([unsigned, encode(BusPacket, { signature })]);
}

/**
 * The two halves of a packet around field 14, every field in ascending order, as Node SDKs up to 2.0.16 write it. They sign
 * head + `72 00` + tail.
 */
export function aroundSignature(packet: Init<BusPacket>): { readonly head: Uint8Array; readonly tail: Uint8Array } {
  const { payload, authToken, signature: _, ...envelope } = packet;
  const parts = [
    { no: 0, bytes: encode(BusPacket, envelope) },
    { no: TOKEN_NUMBER, bytes: encode(BusPacket, { authToken }) },
    { no: payload === undefined ? 0 : payloadNumber(payload.kind), bytes: encode(BusPacket, { payload }) },
  ].sort((a, b) => a.no - b.no);
  const join = (half: typeof parts): Uint8Array => Buffer.concat(half.map((part) => part.bytes));
  return {
    head: join(parts.filter((part) => part.no < SIGNATURE_NUMBER)),
    tail: join(parts.filter((part) => part.no > SIGNATURE_NUMBER)),
  };
}

function payloadNumber(kind: string): number {
  return BusPacket.oneofs[0]?.members.get(kind)?.no ?? 0;
}
