// Parts of paths and queries, read from text.
// Owns:          limits and defaults that all lists share; which ids can exist at all.
// Must not know: routes.
// Q1. As with the original, a number that is missing, malformed or not positive is the default. Q2. A repeated parameter counts once:
//     its first value. Q3. No parameter is longer than 512 characters, the cursor excepted.

import { Fault, type FaultCode, invalidField } from "../ports/fault.ts";
import type { EpochMs } from "../ports/time.ts";
import { CURSOR_CHARS_MAX, guessMs, parseCursor, type Start } from "./cursor.ts";

const TEXT_CHARS_MAX = 512;
export const LIMIT_MAX = 500;
/** Printable ASCII without blanks: ids of ours and of workflow steps (`run:step@2`), and nothing that a log or a key could trip over. */
const ID_FORM = /^[\x21-\x7e]{1,256}$/;

/** "" when the parameter is absent. Fault INVALID_REQUEST when it is too long. */
export function queryText(query: unknown, name: string, charsMax = TEXT_CHARS_MAX): string {
  const text = firstText(query, name);
  if (text.length > charsMax) {
    const reason = `${name} is longer than ${charsMax} characters`;
    throw invalidField(name, reason);
  }
  return text;
}

/** 1 … 500. */
export function queryLimit(query: unknown, preset: number): number {
  const limit = integerOf(queryText(query, "limit"));
  return limit === undefined || limit <= 0 ? preset : Math.min(limit, LIMIT_MAX);
}

/** Where a list goes on. `leads`: names of its indexes, in a fixed order. Faults: INVALID_REQUEST, CURSOR_INVALID. */
export function queryCursor(query: unknown, leads: readonly string[]): Start {
  return parseCursor(queryText(query, "cursor", CURSOR_CHARS_MAX), leads);
}

/** A time in seconds, milliseconds, microseconds or nanoseconds. Undefined when it says nothing. */
export function queryTime(query: unknown, name: string, side: "upper" | "lower"): EpochMs | undefined {
  const value = integerOf(queryText(query, name));
  return value === undefined ? undefined : guessMs(value, side);
}

/** A part of the path, percent-decoded. An id that cannot exist is `notFound`, like one that does not. */
export function pathId(params: unknown, name: string, notFound: FaultCode, says: string): string {
  const text = firstText(params, name);
  if (!ID_FORM.test(text)) throw new Fault(notFound, says);
  return text;
}

function integerOf(text: string): number | undefined {
  return /^[+-]?\d{1,19}$/.test(text) ? Number(text) : undefined;
}

function firstText(from: unknown, name: string): string {
  if (typeof from !== "object" || from === null || !Object.hasOwn(from, name)) return "";
  const value: unknown = Reflect.get(from, name);
  const first: unknown = Array.isArray(value) ? value[0] : value;
  return typeof first === "string" ? first : "";
}
