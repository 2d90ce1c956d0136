// From protobuf JSON to a message.
// Owns:          the JSON mapping read backwards: both spellings of names, enum names or numbers, 64-bit integers as text or number.
// Must not know: any single message, but the google ones that have a JSON form of their own.
// J4. Input is hostile: wrong types, unknown names, depth and integers that do not fit are refused with the path of the field.
// J5. null is unset. Of a field written in both spellings, and of two members of a oneof, nothing is guessed: refused.

import { ListValue, Struct, Timestamp, Value } from "../gen/google.ts";
import { DEPTH_MAX } from "./reader.ts";
import { EMPTY_BYTES, type Field, type Int64, KIND, type MessageType, SHAPE } from "./schema.ts";
import { parseTimestamp } from "./timestamp.ts";
import { WireError } from "./wire-error.ts";

type Mutable = Record<string, unknown>;

export interface JsonReading {
  /** Names that no field has: refused (default), or left out. */
  readonly unknownNames?: "refuse" | "ignore";
}
interface Place extends JsonReading {
  readonly path: string;
  readonly depth: number;
}

/** The message that `json` describes. Throws WireError `bad_json` with the path, `too_deep` below 100 levels; nothing else. */
export function fromProtoJson<T>(type: MessageType<T>, json: unknown, reading: JsonReading = {}): T {
  return readMessage(type, json, { ...reading, path: type.name, depth: 1 }) as T;
}

function readMessage(type: MessageType<unknown>, json: unknown, place: Place): unknown {
  if (place.depth > DEPTH_MAX) throw new WireError("too_deep", `more than ${DEPTH_MAX} levels`);
  const special = SPECIAL.get(type);
  if (special !== undefined) return special(json, place);
  const message = type.make() as Mutable;
  const seen = new Set<Field>();
  const names = namesOf(type);
  for (const [name, value] of Object.entries(objectOf(json, place))) {
    const field = names.get(name);
    if (field !== undefined) readField(field, value, { message, seen, place: inside(place, field.protoName) });
    else if (place.unknownNames !== "ignore") throw refused(inside(place, name.slice(0, 64)), "no such field");
  }
  return message;
}

interface Target {
  readonly message: Mutable;
  readonly seen: Set<Field>;
  readonly place: Place;
}

function readField(field: Field, json: unknown, { message, seen, place }: Target): void {
  if (json === null && !(field.kind === KIND.message && field.messageType() === Value)) return;
  if (seen.has(field)) throw refused(place, "given twice");
  seen.add(field);
  if (field.shape === SHAPE.list) {
    if (!Array.isArray(json)) throw refused(place, "expected a list");
    message[field.name] = json.map((entry: unknown) => readValue(field, entry, place));
  } else if (field.shape === SHAPE.map) message[field.name] = readMap(field, json, place);
  else if (field.oneof === undefined) message[field.name] = readValue(field, json, place);
  else if (message[field.oneof] !== undefined) throw refused(place, "a second member of a choice");
  else message[field.oneof] = { kind: field.name, value: readValue(field, json, place) };
}

function readMap(field: Field, json: unknown, place: Place): unknown {
  const map = Object.create(null) as Mutable;
  for (const [key, value] of Object.entries(objectOf(json, place))) map[key] = readValue(field, value, place);
  return map;
}

function readValue(field: Field, json: unknown, place: Place): unknown {
  switch (field.kind) {
    case KIND.string:
      if (typeof json !== "string") throw refused(place, "expected text");
      return json;
    case KIND.bool:
      if (typeof json !== "boolean") throw refused(place, "expected true or false");
      return json;
    case KIND.bytes:
      return readBytes(json, place);
    case KIND.int32:
      return readInt32(json, place);
    case KIND.int64:
      return readInt64(json, -(2n ** 63n), 2n ** 63n - 1n, place);
    case KIND.uint64:
      return readInt64(json, 0n, 2n ** 64n - 1n, place);
    case KIND.float:
      return readFloat(json, place);
    case KIND.double:
      return readDouble(json, place);
    case KIND.enumeration:
      return typeof json === "string" ? enumNumber(field, json, place) : readInt32(json, place);
    default:
      return readMessage(field.messageType(), json, { ...place, depth: place.depth + 1 });
  }
}

function enumNumber(field: Field, name: string, place: Place): number {
  const no = field.enumType?.numberOf.get(name);
  if (no === undefined) throw refused(place, "no such enum value");
  return no;
}

function readBytes(json: unknown, place: Place): Uint8Array {
  if (typeof json !== "string" || !BASE64.test(json)) throw refused(place, "expected base64");
  return json === "" ? EMPTY_BYTES : new Uint8Array(Buffer.from(json, "base64")); // Node reads both alphabets
}

const BASE64 = /^[A-Za-z0-9+/_-]*={0,2}$/;

function readInt32(json: unknown, place: Place): number {
  const value = readInt64(json, -(2n ** 31n), 2n ** 31n - 1n, place);
  return Number(value);
}

function readInt64(json: unknown, min: bigint, max: bigint, place: Place): Int64 {
  const isText = typeof json === "string" && /^-?\d{1,20}$/.test(json);
  if (!isText && !Number.isSafeInteger(json)) throw refused(place, "expected an integer");
  const value = BigInt(json as string | number);
  if (value < min || value > max) throw refused(place, "integer out of range");
  const small = Number(value);
  return Number.isSafeInteger(small) ? small : value;
}

function readDouble(json: unknown, place: Place): number {
  if (json === "NaN" || json === "Infinity" || json === "-Infinity") return Number(json);
  const value = typeof json === "string" && NUMBER.test(json) ? Number(json) : json;
  if (typeof value !== "number" || !Number.isFinite(value)) throw refused(place, "expected a number");
  return value;
}

const NUMBER = /^-?\d{1,400}(\.\d{1,400})?([eE][+-]?\d{1,4})?$/;

function readFloat(json: unknown, place: Place): number {
  const value = readDouble(json, place);
  const float = Math.fround(value);
  if (Number.isFinite(value) && !Number.isFinite(float)) throw refused(place, "number out of range");
  return float;
}

type Special = (json: unknown, place: Place) => unknown;
const SPECIAL: ReadonlyMap<MessageType<unknown>, Special> = new Map<MessageType<unknown>, Special>([
  [Timestamp, readTimestamp],
  [Struct, readStruct],
  [ListValue, readListValue],
  [Value, readAny],
]);

function readTimestamp(json: unknown, place: Place): Timestamp {
  const timestamp = typeof json === "string" ? parseTimestamp(json) : undefined;
  if (timestamp === undefined) throw refused(place, "expected an RFC 3339 time");
  return timestamp;
}

function readStruct(json: unknown, place: Place): Struct {
  const fields = Object.create(null) as Record<string, Value>;
  for (const [key, value] of Object.entries(objectOf(json, place))) fields[key] = readAny(value, place);
  return { fields, unknownFields: undefined };
}

function readListValue(json: unknown, place: Place): ListValue {
  if (!Array.isArray(json)) throw refused(place, "expected a list");
  return { values: json.map((entry: unknown) => readAny(entry, place)), unknownFields: undefined };
}

function readAny(json: unknown, outer: Place): Value {
  const place = { ...outer, depth: outer.depth + 1 };
  if (place.depth > DEPTH_MAX) throw new WireError("too_deep", `more than ${DEPTH_MAX} levels`);
  return { kind: anyKind(json, place), unknownFields: undefined };
}

function anyKind(json: unknown, place: Place): NonNullable<Value["kind"]> {
  if (json === null) return { kind: "nullValue", value: 0 };
  if (typeof json === "string") return { kind: "stringValue", value: json };
  if (typeof json === "number") return { kind: "numberValue", value: json };
  if (typeof json === "boolean") return { kind: "boolValue", value: json };
  if (Array.isArray(json)) return { kind: "listValue", value: readListValue(json, place) };
  return { kind: "structValue", value: readStruct(json, place) };
}

function objectOf(json: unknown, place: Place): { readonly [key: string]: unknown } {
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw refused(place, "expected an object");
  return json as { readonly [key: string]: unknown };
}

const knownNames = new WeakMap<MessageType<unknown>, ReadonlyMap<string, Field>>();
function namesOf(type: MessageType<unknown>): ReadonlyMap<string, Field> {
  const known = knownNames.get(type);
  if (known !== undefined) return known;
  const names = new Map(
    type.fields.flatMap((field) => [[field.protoName, field] as const, [field.name, field] as const]),
  );
  knownNames.set(type, names);
  return names;
}

function inside(place: Place, name: string): Place {
  return { ...place, path: `${place.path}.${name}` };
}

function refused(place: Place, why: string): WireError {
  return new WireError("bad_json", `${place.path}: ${why}`);
}
