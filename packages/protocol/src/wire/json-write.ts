// From a message to protobuf JSON.
// Owns:          the JSON mapping: names, enums, 64-bit integers, bytes, floats, timestamps, Struct.
// Must not know: any single message, but the google ones that have a JSON form of their own.
// J1. 64-bit integers are text, enums names (numbers when unknown), bytes base64, NaN and infinities text. Unset fields are left out.
// J2. Never throws on a decoded message: a timestamp outside RFC 3339 and a Value without a kind become null, as no text exists.
// J3. Objects made from maps have no prototype.

import { ListValue, Struct, Timestamp, Value } from "../gen/google.ts";
import { type Field, KIND, type MessageType, memberValue, SHAPE } from "./schema.ts";
import { timestampText } from "./timestamp.ts";

export type WireJson = null | boolean | number | string | readonly WireJson[] | { readonly [key: string]: WireJson };

export interface JsonForm {
  /** `lowerCamel`: what streams and REST send; `proto`: the names of the .proto files. */
  readonly names: "lowerCamel" | "proto";
  /** Writes unset fields too: defaults, [] and {}, null for messages; members of oneofs stay out. Default false. */
  readonly unset?: boolean;
}

type Loose = Readonly<Record<string, unknown>>;

/** Protobuf JSON of a decoded message. Throws nothing. */
export function toProtoJson<T>(type: MessageType<T>, message: T, form: JsonForm = { names: "lowerCamel" }): WireJson {
  return messageJson(type, message as Loose, form);
}

function messageJson(type: MessageType<unknown>, message: Loose, form: JsonForm): WireJson {
  const special = SPECIAL.get(type);
  if (special !== undefined) return special(message, form);
  const json: Record<string, WireJson> = {};
  for (const field of type.fields) {
    const value = field.oneof === undefined ? message[field.name] : memberValue(message[field.oneof], field.name);
    if (field.oneof === undefined ? isSet(field, value) || form.unset === true : value !== undefined) {
      json[form.names === "proto" ? field.protoName : field.name] = fieldJson(field, value, form);
    }
  }
  return json;
}

function isSet(field: Field, value: unknown): boolean {
  if (value === undefined) return false;
  if (field.shape === SHAPE.list) return (value as readonly unknown[]).length > 0;
  if (field.shape === SHAPE.map) return Object.keys(value as object).length > 0;
  if (field.kind === KIND.bytes) return (value as Uint8Array).length > 0;
  if (field.kind === KIND.float || field.kind === KIND.double) return !Object.is(value, 0);
  return value !== 0 && value !== 0n && value !== "" && value !== false;
}

function fieldJson(field: Field, value: unknown, form: JsonForm): WireJson {
  if (value === undefined) return null;
  if (field.shape === SHAPE.list) return (value as readonly unknown[]).map((entry) => valueJson(field, entry, form));
  if (field.shape === SHAPE.map) return mapJson(field, value as Loose, form);
  return valueJson(field, value, form);
}

function mapJson(field: Field, entries: Loose, form: JsonForm): WireJson {
  const json = Object.create(null) as Record<string, WireJson>;
  for (const key of Object.keys(entries)) json[key] = valueJson(field, entries[key], form);
  return json;
}

function valueJson(field: Field, value: unknown, form: JsonForm): WireJson {
  switch (field.kind) {
    case KIND.int64:
    case KIND.uint64:
      return String(value);
    case KIND.enumeration:
      return field.enumType?.nameOf.get(value as number) ?? (value as number);
    case KIND.bytes:
      return Buffer.from(value as Uint8Array).toString("base64");
    case KIND.float:
      return numberJson(shortestFloat(value as number));
    case KIND.double:
      return numberJson(value as number);
    case KIND.message:
      return messageJson(field.messageType(), value as Loose, form);
    default:
      return value as string | number | boolean;
  }
}

function numberJson(value: number): WireJson {
  return Number.isFinite(value) ? value : String(value);
}

/** The shortest decimal that reads back as the same 32-bit float: 33.3, not 33.29999923706055. */
function shortestFloat(value: number): number {
  if (!Number.isFinite(value)) return value;
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return Number(value.toPrecision(9));
}

type Special = (message: Loose, form: JsonForm) => WireJson;
const SPECIAL: ReadonlyMap<MessageType<unknown>, Special> = new Map<MessageType<unknown>, Special>([
  [Timestamp, (message) => timestampText(message as unknown as Timestamp) ?? null],
  [Struct, (message) => structJson(message as unknown as Struct)],
  [ListValue, (message) => listJson(message as unknown as ListValue)],
  [Value, (message) => anyJson(message as unknown as Value)],
]);

function structJson(struct: Struct): WireJson {
  const json = Object.create(null) as Record<string, WireJson>;
  for (const key of Object.keys(struct.fields)) json[key] = anyJson(struct.fields[key]);
  return json;
}

function listJson(list: ListValue): WireJson {
  return list.values.map(anyJson);
}

function anyJson(value: Value | undefined): WireJson {
  switch (value?.kind?.kind) {
    case "structValue":
      return structJson(value.kind.value);
    case "listValue":
      return listJson(value.kind.value);
    case "numberValue":
      return numberJson(value.kind.value);
    case "stringValue":
    case "boolValue":
      return value.kind.value;
    default:
      return null;
  }
}
