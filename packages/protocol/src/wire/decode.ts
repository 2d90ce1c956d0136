// From bytes to a message, by table.
// Owns:          how repeated fields, oneofs, maps and unknown fields are read.
// Must not know: any single message.
// D1. Of a scalar that appears twice the last one counts; a message is merged; another member of a oneof replaces the first.
// D2. A field with another wire type than its own is an unknown field, except lists of numbers: packed or not, both are read.
// D3. Unknown fields are kept as they came, in their order. Unknown members of map entries are dropped (as Go and C++ do).

import { Reader } from "./reader.ts";
import {
  EMPTY_BYTES,
  EMPTY_LIST,
  EMPTY_MAP,
  type Field,
  isPackable,
  KIND,
  type MessageType,
  memberValue,
  SHAPE,
  wireOf,
} from "./schema.ts";
import { WireError } from "./wire-error.ts";

/** Bounds of what is accepted from a stranger. */
export interface DecodeLimits {
  readonly bytesMax: number;
  /** Of each string, in bytes of UTF-8. */
  readonly stringBytesMax: number;
  /** Of each list and map. */
  readonly entriesMax: number;
  readonly depthMax: number;
}

type Mutable = Record<string, unknown>;

/** Decodes a whole message. Throws WireError; without limits only depth is bounded (100), for bytes that we wrote ourselves. */
export function decode<T>(type: MessageType<T>, bytes: Uint8Array, limits?: DecodeLimits): T {
  if (limits !== undefined && bytes.length > limits.bytesMax)
    throw new WireError("packet_too_large", `${bytes.length} bytes`);
  const reader = new Reader(bytes, limits?.stringBytesMax, limits?.depthMax);
  const message = type.make();
  readFields(type, message as Mutable, reader, 1);
  if (reader.unknown !== undefined) joinUnknown(reader.unknown);
  if (limits !== undefined && reader.entries > limits.entriesMax)
    checkEntries(type, message as Mutable, limits.entriesMax);
  return message;
}

function readFields(type: MessageType<unknown>, message: Mutable, reader: Reader, depth: number): void {
  if (depth > reader.depthMax) throw new WireError("too_deep", `more than ${reader.depthMax} levels`);
  const { byNumber } = type;
  while (reader.at < reader.end) {
    const start = reader.at;
    const tag = reader.tag();
    const no = tag >>> 3;
    const field = no < byNumber.length ? byNumber[no] : undefined;
    if (field !== undefined && tag === field.tag) readField(field, message, reader, depth);
    else if (field !== undefined && isUnpacked(field, tag))
      push(message, field.name, readOne(field, reader, depth), reader);
    else {
      reader.skip(tag, depth);
      reader.keepUnknown(message, start);
    }
  }
}

function isUnpacked(field: Field, tag: number): boolean {
  return field.shape === SHAPE.list && isPackable(field.kind) && (tag & 7) === wireOf(field.kind);
}

function readField(field: Field, message: Mutable, reader: Reader, depth: number): void {
  if (field.shape === SHAPE.map) readEntry(field, message, reader, depth);
  else if (field.shape === SHAPE.list) readList(field, message, reader, depth);
  else if (field.oneof !== undefined) readMember(field, field.oneof, message, reader, depth);
  else if (field.kind === KIND.message) message[field.name] = readMessage(field, message[field.name], reader, depth);
  else message[field.name] = readOne(field, reader, depth);
}

function readOne(field: Field, reader: Reader, depth: number): unknown {
  switch (field.kind) {
    case KIND.string:
      return reader.string();
    case KIND.bytes:
      return reader.blob();
    case KIND.bool:
      return reader.bool();
    case KIND.int32:
    case KIND.enumeration:
      return reader.int32();
    case KIND.int64:
      return reader.int64();
    case KIND.uint64:
      return reader.uint64();
    case KIND.float:
      return reader.float();
    case KIND.double:
      return reader.double();
    default:
      return readMessage(field, undefined, reader, depth);
  }
}

function readMessage(field: Field, earlier: unknown, reader: Reader, depth: number): unknown {
  const type = field.messageType();
  const message = earlier ?? type.make();
  const outerEnd = reader.end;
  reader.end = reader.length() + reader.at;
  readFields(type, message as Mutable, reader, depth + 1);
  reader.end = outerEnd;
  return message;
}

function readMember(field: Field, oneof: string, message: Mutable, reader: Reader, depth: number): void {
  const earlier = memberValue(message[oneof], field.name);
  const value =
    field.kind === KIND.message ? readMessage(field, earlier, reader, depth) : readOne(field, reader, depth);
  message[oneof] = { kind: field.name, value };
}

function readList(field: Field, message: Mutable, reader: Reader, depth: number): void {
  if (!isPackable(field.kind)) {
    push(message, field.name, readOne(field, reader, depth), reader);
    return;
  }
  const outerEnd = reader.end;
  reader.end = reader.length() + reader.at;
  while (reader.at < reader.end) push(message, field.name, readOne(field, reader, depth), reader);
  reader.end = outerEnd;
}

function push(message: Mutable, name: string, value: unknown, reader: Reader): void {
  reader.entries++;
  const list = message[name] as unknown[];
  if (Object.is(list, EMPTY_LIST)) message[name] = [value];
  else list.push(value);
}

function readEntry(field: Field, message: Mutable, reader: Reader, depth: number): void {
  reader.entries++;
  const outerEnd = reader.end;
  reader.end = reader.length() + reader.at;
  let key = "";
  let value: unknown;
  const valueTag = 16 + wireOf(field.kind);
  while (reader.at < reader.end) {
    const tag = reader.tag();
    if (tag === 10) key = reader.string();
    else if (tag !== valueTag) reader.skip(tag, depth);
    else value = field.kind === KIND.message ? readMessage(field, value, reader, depth) : readOne(field, reader, depth);
  }
  reader.end = outerEnd;
  let map = message[field.name] as Mutable;
  if (Object.is(map, EMPTY_MAP)) {
    map = Object.create(null) as Mutable;
    message[field.name] = map;
  }
  map[key] = value ?? emptyValue(field);
}

function emptyValue(field: Field): unknown {
  switch (field.kind) {
    case KIND.string:
      return "";
    case KIND.bool:
      return false;
    case KIND.bytes:
      return EMPTY_BYTES;
    case KIND.message:
      return field.messageType().make();
    default:
      return 0;
  }
}

// All at the end: joining after each piece would cost time with the square of their number.
function joinUnknown(pieces: ReadonlyMap<object, readonly Uint8Array[]>): void {
  for (const [message, parts] of pieces) (message as Mutable).unknownFields = new Uint8Array(Buffer.concat(parts));
}

function checkEntries(type: MessageType<unknown>, message: Mutable, entriesMax: number): void {
  for (const field of type.fields) {
    const value = field.oneof === undefined ? message[field.name] : memberValue(message[field.oneof], field.name);
    if (value === undefined) continue;
    const entries = field.shape === SHAPE.one ? [value] : Object.values(value as object);
    if (entries.length > entriesMax) throw new WireError("too_many_entries", `${entries.length} in ${field.protoName}`);
    if (field.kind === KIND.message)
      for (const entry of entries) checkEntries(field.messageType(), entry as Mutable, entriesMax);
  }
}
