// Every packet vector: bytes to JSON, JSON to bytes, canonical bytes, refusals.

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import * as agent from "./gen/agent.ts";
import { PACKET_LIMITS, parsePacket } from "./packet.ts";
import { decode } from "./wire/decode.ts";
import { encode } from "./wire/encode.ts";
import { fromProtoJson } from "./wire/json-read.ts";
import { toProtoJson } from "./wire/json-write.ts";
import type { MessageType } from "./wire/schema.ts";

interface PacketVector {
  readonly name: string;
  readonly type: string;
  readonly hex: string;
  readonly json: Record<string, unknown> | null;
  readonly valid: boolean | null;
  readonly producer: string;
  readonly canonical_hex?: string;
}

const file = JSON.parse(readFileSync(new URL("../../../test/vectors/packets.json", import.meta.url), "utf8")) as {
  readonly vectors: readonly PacketVector[];
};
const types = agent as unknown as Record<string, MessageType<unknown>>;
const proto = { names: "proto" } as const;
const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"));
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

function typeOf(vector: PacketVector): MessageType<unknown> {
  const type = types[vector.type];
  if (type === undefined) throw new Error(`no message ${vector.type}`);
  return type;
}

const valid = file.vectors.filter((vector) => vector.valid === true);
const refused = file.vectors.filter((vector) => vector.valid === false);

describe("packet vectors", () => {
  it("has the whole set", () => {
    expect(valid.length + refused.length).toBe(file.vectors.filter((vector) => vector.valid !== null).length);
    expect(valid.length).toBeGreaterThan(200);
    expect(refused.length).toBe(23);
  });

  it.each(valid.map((vector) => [vector.name, vector] as const))("reads %s", (_, vector) => {
    const type = typeOf(vector);
    const message = decode(type, bytesOf(vector.hex), { ...PACKET_LIMITS, bytesMax: 1 << 24, stringBytesMax: 1 << 24 });
    expect(toProtoJson(type, message, proto)).toEqual(vector.json);
  });

  it.each(valid.map((vector) => [vector.name, vector] as const))("writes %s canonically", (_, vector) => {
    const type = typeOf(vector);
    const written = hexOf(encode(type, decode(type, bytesOf(vector.hex)) as object));
    if (vector.canonical_hex !== undefined) expect(written).toBe(vector.canonical_hex);
    else if (vector.producer === "go") expect(written).toBe(vector.hex);
    expect(decode(type, bytesOf(written))).toEqual(decode(type, bytesOf(vector.hex)));
  });

  it.each(valid.map((vector) => [vector.name, vector] as const))(
    "reads %s from JSON in both spellings",
    (_, vector) => {
      const type = typeOf(vector);
      const message = decode(type, encode(type, { ...(decode(type, bytesOf(vector.hex)) as object) }));
      const fromProto = fromProtoJson(type, vector.json);
      expect(toProtoJson(type, fromProto, proto)).toEqual(vector.json);
      expect(toProtoJson(type, fromProtoJson(type, toProtoJson(type, message)), proto)).toEqual(vector.json);
      if (vector.producer === "go") expect(hexOf(encode(type, fromProto as object))).toBe(vector.hex);
    },
  );

  it.each(refused.map((vector) => [vector.name, vector] as const))("refuses %s", (_, vector) => {
    expect(parsePacket(bytesOf(vector.hex))).toMatchObject({ kind: "malformed" });
  });

  it("does not throw where decoders may differ", () => {
    for (const vector of file.vectors.filter((each) => each.valid === null)) {
      expect(["packet", "malformed"]).toContain(parsePacket(bytesOf(vector.hex)).kind);
    }
  });
});
