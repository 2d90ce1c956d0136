// Message types as tables of field rows.
// Owns:          the form of a table; the shared empty list and map that unset fields point to.
// Must not know: any single message (generated, see gen/), bytes, JSON.
// S1. A decoded message has every field: scalars their default, lists and maps the shared empty ones, messages and oneofs undefined.
// S2. Maps have no prototype, so `__proto__` and `constructor` are keys like any other.
// S3. Unknown enum values stay numbers. S4. 64-bit integers are numbers while they are safe integers and bigints beyond.

/** A 64-bit integer: always a `number` up to ±(2^53 - 1), always a `bigint` beyond. */
export type Int64 = number | bigint;

export const KIND = {
  string: 0,
  bytes: 1,
  bool: 2,
  int32: 3,
  int64: 4,
  uint64: 5,
  float: 6,
  double: 7,
  enumeration: 8,
  message: 9,
} as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

export const SHAPE = { one: 0, list: 1, map: 2 } as const;
export type Shape = (typeof SHAPE)[keyof typeof SHAPE];

export interface EnumType {
  /** What stands before each name in protobuf JSON, such as `JOB_STATUS_`. */
  readonly prefix: string;
  readonly nameOf: ReadonlyMap<number, string>;
  readonly numberOf: ReadonlyMap<string, number>;
}

export interface Field {
  readonly no: number;
  readonly protoName: string;
  /** lowerCamelCase: the property, and the name in protobuf JSON. */
  readonly name: string;
  readonly kind: Kind;
  readonly shape: Shape;
  readonly enumType: EnumType | undefined;
  /** Property that holds the tagged member, for a member of a oneof. */
  readonly oneof: string | undefined;
  /** The table of a message field; a function, because types may refer to each other in a circle. */
  readonly messageType: () => MessageType<unknown>;
  /** Wire type and first tag of the field as an encoder writes it. */
  readonly wire: number;
  readonly tag: number;
}

export interface Oneof {
  readonly name: string;
  readonly members: ReadonlyMap<string, Field>;
}

export interface MessageType<T> {
  readonly name: string;
  /** A fresh message with every field unset. */
  readonly make: () => T;
  /** At each field number its row. */
  readonly byNumber: readonly (Field | undefined)[];
  /** Fields outside any oneof, ascending. */
  readonly plain: readonly Field[];
  readonly oneofs: readonly Oneof[];
  /** All fields, ascending. */
  readonly fields: readonly Field[];
}

/** What an encoder takes for `T`: the same, with everything optional. */
export type Init<T> = T extends string | number | bigint | boolean | Uint8Array | undefined
  ? T
  : T extends readonly (infer Entry)[]
    ? readonly Init<Entry>[]
    : T extends { readonly kind: string; readonly value: unknown }
      ? { readonly kind: T["kind"]; readonly value: Init<T["value"]> }
      : string extends keyof T
        ? { readonly [key: string]: Init<T[keyof T]> }
        : { readonly [Name in keyof T]?: Init<T[Name]> | undefined };

export const EMPTY_BYTES: Uint8Array = new Uint8Array(0);
export const EMPTY_LIST: readonly never[] = Object.freeze([]);
export const EMPTY_MAP: Readonly<Record<string, never>> = Object.freeze(Object.create(null));

export function messageType<T>(name: string, make: () => T, rows: readonly Field[]): MessageType<T> {
  const fields = rows.toSorted((a, b) => a.no - b.no);
  const byNumber: (Field | undefined)[] = new Array((fields.at(-1)?.no ?? 0) + 1).fill(undefined);
  for (const field of fields) byNumber[field.no] = field;
  const oneofs = [...Map.groupBy(fields, (field) => field.oneof)].flatMap(([oneof, members]) =>
    oneof === undefined ? [] : [{ name: oneof, members: new Map(members.map((member) => [member.name, member])) }],
  );
  return { name, make, byNumber, plain: fields.filter((field) => field.oneof === undefined), oneofs, fields };
}

export function enumType(prefix: string, values: Readonly<Record<string, number>>): EnumType {
  const entries = Object.entries(values).map(([name, no]) => [prefix + name, no] as const);
  return { prefix, numberOf: new Map(entries), nameOf: new Map(entries.map(([name, no]) => [no, name])) };
}

/** The value of a oneof's member, or undefined when another member is set, or none. */
export function memberValue(oneof: unknown, name: string): unknown {
  const member = oneof as { readonly kind: string; readonly value: unknown } | undefined;
  return member?.kind === name ? member.value : undefined;
}

/** Full name of an enum value, such as `JOB_STATUS_SUCCEEDED`; the number as text when this release does not know it. */
export function enumName(type: EnumType, value: number): string {
  return type.nameOf.get(value) ?? String(value);
}

/** The value as a number, or undefined when it is beyond ±(2^53 - 1). */
export function safeInteger(value: Int64): number | undefined {
  return typeof value === "number" ? value : undefined;
}

type Of = keyof typeof KIND | EnumType | (() => MessageType<unknown>);

export const one = (no: number, protoName: string, of: Of, oneof?: string): Field =>
  row({ no, protoName, of, shape: SHAPE.one, oneof });
export const list = (no: number, protoName: string, of: Of): Field =>
  row({ no, protoName, of, shape: SHAPE.list, oneof: undefined });
export const map = (no: number, protoName: string, of: Of): Field =>
  row({ no, protoName, of, shape: SHAPE.map, oneof: undefined });

interface Row {
  readonly no: number;
  readonly protoName: string;
  readonly of: Of;
  readonly shape: Shape;
  readonly oneof: string | undefined;
}

function row({ no, protoName, of, shape, oneof }: Row): Field {
  const kind = typeof of === "string" ? KIND[of] : typeof of === "function" ? KIND.message : KIND.enumeration;
  const packed = shape === SHAPE.list && isPackable(kind);
  const wire = shape === SHAPE.map || packed ? 2 : wireOf(kind);
  return {
    no,
    protoName,
    name: camelCase(protoName),
    kind,
    shape,
    enumType: typeof of === "object" ? of : undefined,
    oneof,
    messageType: typeof of === "function" ? of : noMessage,
    wire,
    tag: no * 8 + wire,
  };
}

function noMessage(): never {
  throw new TypeError("not a message field");
}

export function isPackable(kind: Kind): boolean {
  return kind !== KIND.string && kind !== KIND.bytes && kind !== KIND.message;
}

export function wireOf(kind: Kind): number {
  switch (kind) {
    case KIND.string:
    case KIND.bytes:
    case KIND.message:
      return 2;
    case KIND.float:
      return 5;
    case KIND.double:
      return 1;
    default:
      return 0;
  }
}

/** Property name of a proto field, as protobuf JSON derives it. */
export function camelCase(protoName: string): string {
  return protoName.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
