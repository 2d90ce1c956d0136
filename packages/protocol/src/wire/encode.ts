// From a message to bytes, by table.
// Owns:          the order of fields and map entries.
// Must not know: any single message.
// E1. Go's deterministic order: known fields ascending, members of oneofs after all others, map entries by key (bytewise), unknown
//     fields last. Defaults are left out; map entries always have key and value.
// E2. There is one order, so equal messages are equal bytes: what is signed, hashed and sent is the same.

import { type Field, type Init, isPackable, KIND, type MessageType, SHAPE, wireOf } from "./schema.ts";
import { WireError } from "./wire-error.ts";
import { Writer } from "./writer.ts";

type Loose = Readonly<Record<string, unknown>>;

const shared = new Writer();

/** Canonical bytes of a message. Throws WireError `bad_value` for a value that its field cannot hold. */
export function encode<T>(type: MessageType<T>, message: Init<T>): Uint8Array {
  shared.reset();
  writeFields(type, message as Loose, shared);
  return shared.take();
}

/** Writes a message, without tag and length, in front of what `writer` holds. */
export function encodeInto<T>(type: MessageType<T>, message: Init<T>, writer: Writer): void {
  writeFields(type, message as Loose, writer);
}

function writeFields(type: MessageType<unknown>, message: Loose, writer: Writer): void {
  if (message.unknownFields !== undefined) writer.raw(message.unknownFields as Uint8Array);
  for (let at = type.oneofs.length - 1; at >= 0; at--) {
    const oneof = type.oneofs[at];
    if (oneof === undefined) continue;
    const member = message[oneof.name] as { readonly kind: string; readonly value: unknown } | undefined;
    if (member === undefined) continue;
    const field = oneof.members.get(member.kind);
    if (field === undefined) throw new WireError("bad_value", `${type.name} has no ${oneof.name} ${member.kind}`);
    writeOne(field, member.value, writer);
    writer.varint32(field.tag);
  }
  for (let at = type.plain.length - 1; at >= 0; at--) {
    const field = type.plain[at];
    if (field !== undefined) writeField(field, message[field.name], writer);
  }
}

function writeField(field: Field, value: unknown, writer: Writer): void {
  if (value === undefined) return;
  if (field.shape === SHAPE.map) writeMap(field, value as Loose, writer);
  else if (field.shape === SHAPE.list) writeList(field, value as readonly unknown[], writer);
  else if (!isDefault(field, value)) {
    writeOne(field, value, writer);
    writer.varint32(field.tag);
  }
}

function isDefault(field: Field, value: unknown): boolean {
  switch (field.kind) {
    case KIND.string:
      return value === "";
    case KIND.bool:
      return value === false;
    case KIND.bytes:
      return value instanceof Uint8Array && value.length === 0;
    case KIND.message:
      return false;
    case KIND.float:
    case KIND.double:
      return Object.is(value, 0); // -0 is a value
    default:
      return value === 0 || value === 0n;
  }
}

function writeOne(field: Field, value: unknown, writer: Writer): void {
  const { kind } = field;
  if (kind === KIND.string) writer.string(value);
  else if (kind === KIND.message) writeMessage(field, value, writer);
  else if (kind === KIND.int32 || kind === KIND.enumeration) writer.int32(value);
  else if (kind === KIND.int64) writer.int64(value);
  else if (kind === KIND.bool) writer.bool(value);
  else if (kind === KIND.bytes) writer.blob(value);
  else if (kind === KIND.float) writer.float(value);
  else if (kind === KIND.double) writer.double(value);
  else writer.uint64(value);
}

function writeMessage(field: Field, value: unknown, writer: Writer): void {
  if (typeof value !== "object" || value === null)
    throw new WireError("bad_value", `${field.protoName} is not a message`);
  const before = writer.written;
  writeFields(field.messageType(), value as Loose, writer);
  writer.varint32(writer.written - before);
}

function writeList(field: Field, values: readonly unknown[], writer: Writer): void {
  if (!Array.isArray(values)) throw new WireError("bad_value", `${field.protoName} is not a list`);
  if (values.length === 0) return;
  const before = writer.written;
  const packed = isPackable(field.kind);
  for (let at = values.length - 1; at >= 0; at--) {
    writeOne(field, values[at], writer);
    if (!packed) writer.varint32(field.tag);
  }
  if (!packed) return;
  writer.varint32(writer.written - before);
  writer.varint32(field.tag);
}

function writeMap(field: Field, entries: Loose, writer: Writer): void {
  if (typeof entries !== "object" || entries === null)
    throw new WireError("bad_value", `${field.protoName} is not a map`);
  const keys = sortedKeys(entries);
  const valueTag = 16 + wireOf(field.kind);
  for (let at = keys.length - 1; at >= 0; at--) {
    const key = keys[at] ?? "";
    const before = writer.written;
    writeOne(field, entries[key], writer);
    writer.varint32(valueTag);
    writer.string(key);
    writer.varint32(10);
    writer.varint32(writer.written - before);
    writer.varint32(field.tag);
  }
}

function sortedKeys(entries: Loose): readonly string[] {
  const keys = Object.keys(entries);
  if (keys.length < 2) return keys;
  if (keys.some(hasSurrogate)) return keys.sort(byBytes);
  return keys.length > SMALL ? keys.sort() : insertionSort(keys);
}

// Most maps are small, and the runtime's sort costs several times as much as a few comparisons.
const SMALL = 16;

function insertionSort(keys: string[]): readonly string[] {
  for (let at = 1; at < keys.length; at++) {
    const key = keys[at] ?? "";
    let to = at;
    for (; to > 0 && (keys[to - 1] ?? "") > key; to--) keys[to] = keys[to - 1] ?? "";
    keys[to] = key;
  }
  return keys;
}

/** Only then do UTF-16 units sort otherwise than UTF-8 bytes. */
function hasSurrogate(key: string): boolean {
  for (let at = 0; at < key.length; at++) if ((key.charCodeAt(at) & 0xf800) === 0xd800) return true;
  return false;
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
