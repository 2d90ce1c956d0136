// The canonical JSON that hashes of configuration are taken over, and that workers get.
// Owns:          the bytes: clients compare hashes with those that servers of the original gave.
// Must not know: what is configured.
// Keys sorted by UTF-8 bytes, no blanks, numbers as 64-bit floats in their shortest form, `<`, `>`, `&`, U+2028 and U+2029 escaped.

import type { Json } from "../ports/json.ts";

/** `value` is a tree of plain values, not deeper than a stack. */
export function canonicalJson(value: Json): string {
  if (typeof value === "string") return textOf(value);
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : JSON.stringify(value);
  if (value === null || typeof value === "boolean") return String(value);
  if (isList(value)) return `[${value.map(canonicalJson).join(",")}]`;
  const members = Object.entries(value)
    .toSorted(([a], [b]) => compareBytes(a, b))
    .map(([key, member]) => `${textOf(key)}:${canonicalJson(member)}`);
  return `{${members.join(",")}}`;
}

function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}

const ESCAPED = /[<>&\u2028\u2029]/g;

function textOf(text: string): string {
  return JSON.stringify(text).replace(ESCAPED, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** UTF-16 puts U+E000 to U+FFFF behind the planes that surrogates stand for; UTF-8 does not. */
function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
