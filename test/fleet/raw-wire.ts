// The few bytes of protobuf that a worker without any library of ours needs.
// Owns:          writing and reading fields (https://protobuf.dev/programming-guides/encoding/).
// Must not know: what the fields mean; @cordum/protocol, on purpose: this is what a stranger reads out of the documented wire format.

/** Fields by number, each as often as it came: whole numbers, or bytes. */
export type Fields = ReadonlyMap<number, readonly (number | Buffer)[]>;

const VARINT = 0;
const FIXED_64 = 1;
const BYTES = 2;
const FIXED_32 = 5;

export function whole(field: number, value: number): Buffer {
  return Buffer.concat([varint(field * 8 + VARINT), varint(value)]);
}

export function bytes(field: number, value: Buffer): Buffer {
  return Buffer.concat([varint(field * 8 + BYTES), varint(value.length), value]);
}

export function text(field: number, value: string): Buffer {
  return bytes(field, Buffer.from(value, "utf8"));
}

export function message(field: number, ...parts: readonly Buffer[]): Buffer {
  return bytes(field, Buffer.concat(parts));
}

/** One entry of a map<string,string>. */
export function entry(field: number, key: string, value: string): Buffer {
  return message(field, text(1, key), text(2, value));
}

/** Throws when the bytes are no message. */
export function read(from: Uint8Array): Fields {
  const source = Buffer.from(from);
  const fields = new Map<number, (number | Buffer)[]>();
  let at = 0;
  const next = (): number => {
    let value = 0;
    for (let weight = 1; ; weight *= 128) {
      const byte = source.readUInt8(at++);
      value += (byte & 127) * weight;
      if (byte < 128) return value;
    }
  };
  const take = (length: number): Buffer => {
    if (at + length > source.length) throw new Error("a field is longer than its message");
    at += length;
    return source.subarray(at - length, at);
  };
  while (at < source.length) {
    const tag = next();
    const wire = tag % 8;
    const value = wire === VARINT ? next() : take(lengthOf(wire, next));
    const field = Math.floor(tag / 8);
    fields.set(field, [...(fields.get(field) ?? []), value]);
  }
  return fields;
}

function lengthOf(wire: number, next: () => number): number {
  if (wire === BYTES) return next();
  if (wire === FIXED_64) return 8;
  if (wire === FIXED_32) return 4;
  throw new Error(`wire type ${wire}`);
}

/** The last value of a field, as proto3 has it; "" when there is none. */
export function textOf(fields: Fields, field: number): string {
  const value = fields.get(field)?.at(-1);
  return Buffer.isBuffer(value) ? value.toString("utf8") : "";
}

export function wholeOf(fields: Fields, field: number): number {
  const value = fields.get(field)?.at(-1);
  return typeof value === "number" ? value : 0;
}

/** A message that came in several pieces is their merge, which is their concatenation. */
export function messageOf(fields: Fields, field: number): Fields {
  const pieces = (fields.get(field) ?? []).filter((piece) => Buffer.isBuffer(piece));
  return read(Buffer.concat(pieces));
}

export function mapOf(fields: Fields, field: number): ReadonlyMap<string, string> {
  const entries = (fields.get(field) ?? []).filter((piece) => Buffer.isBuffer(piece)).map(read);
  return new Map(entries.map((each) => [textOf(each, 1), textOf(each, 2)]));
}

function varint(value: number): Buffer {
  const out: number[] = [];
  let left = value;
  for (; left >= 128; left = Math.floor(left / 128)) out.push((left % 128) + 128);
  return Buffer.from([...out, left]);
}
