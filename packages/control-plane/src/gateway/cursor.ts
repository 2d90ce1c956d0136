// Cursors: where a list goes on.
// Owns:          two spellings of a place in a list, the exact one and the integer of older clients, and what foreign integers mean.
// Must not know: what is listed, which index leads (it carries the name).
// C1. The exact cursor names the last member seen: nothing is skipped or doubled, whatever is inserted meanwhile.
// C2. The integer is a time in µs of a list in milliseconds. The three digits below the millisecond, which no time of ours has, say which
//     index leads and how many members of that millisecond were shown already: 1 + lead × span + shown, with span = 998 ÷ leads.
//     0 and 999 are left for times that a client made up: everything at or before that millisecond.
// C3. Of a millisecond with more members than the digits can count, an integer skips the rest; the exact cursor does not.

import { Fault } from "../ports/fault.ts";
import type { EpochMs } from "../ports/time.ts";

/** A place behind a member. */
export interface Place {
  /** The index that leads the list. */
  readonly lead: string;
  readonly score: EpochMs;
  readonly member: string;
  /** How many members with this score were shown up to here. */
  readonly shown: number;
}

export type Start =
  | { readonly kind: "top" }
  | ({ readonly kind: "behind" } & Place)
  /** The first `shown` members of `at` are skipped. Without a lead: a time that the client made up. */
  | { readonly kind: "at_or_before"; readonly at: EpochMs; readonly lead: string | undefined; readonly shown: number };

export const CURSOR_CHARS_MAX = 1_024;
const NAME_CHARS_MAX = 512;
const COUNT_MAX = 1_000_000;
const DIGITS = 998;

/** From the text of a `cursor` parameter; "" and 0 mean the top. Fault CURSOR_INVALID. `leads`: names of indexes, in a fixed order. */
export function parseCursor(text: string, leads: readonly string[]): Start {
  if (text === "") return { kind: "top" };
  if (text.length > CURSOR_CHARS_MAX) throw invalid();
  if (/^-?\d{1,19}$/.test(text)) return fromInteger(Number(text), leads);
  return fromExact(text, leads);
}

export function exactCursor(place: Place): string {
  return Buffer.from(JSON.stringify([place.lead, place.score, place.member, place.shown])).toString("base64url");
}

export function integerCursor(place: Place, leads: readonly string[]): number {
  const span = spanOf(leads);
  const lead = Math.max(0, leads.indexOf(place.lead));
  const isCountable = place.shown < span;
  const at = isCountable ? place.score : place.score - 1;
  return at * 1000 + 1 + lead * span + (isCountable ? place.shown : 0);
}

/** The millisecond that a client's number means; "upper" takes the last one of a second, "lower" the first. Undefined: none (≤ 0). */
export function guessMs(value: number, side: "upper" | "lower"): EpochMs | undefined {
  if (!Number.isFinite(value) || value <= 0) return undefined;
  if (value < 1e12) return side === "upper" ? value * 1000 + 999 : value * 1000;
  if (value < 1e15) return value;
  const per = value < 1e18 ? 1e3 : 1e6;
  return side === "upper" ? Math.floor(value / per) : Math.ceil(value / per);
}

function fromInteger(value: number, leads: readonly string[]): Start {
  const at = guessMs(value, "upper");
  if (at === undefined) return { kind: "top" };
  const isMicros = value >= 1e15 && value < 1e18;
  const digits = value % 1000;
  if (!isMicros || digits === 0 || digits === 999) return { kind: "at_or_before", at, lead: undefined, shown: 0 };
  const span = spanOf(leads);
  const lead = leads[Math.floor((digits - 1) / span)];
  return { kind: "at_or_before", at, lead, shown: lead === undefined ? 0 : (digits - 1) % span };
}

function fromExact(text: string, leads: readonly string[]): Start {
  const parts = parseJson(Buffer.from(text, "base64url").toString("utf8"));
  if (!Array.isArray(parts) || parts.length !== 4) throw invalid();
  const [lead, score, member, shown]: readonly unknown[] = parts;
  if (typeof lead !== "string" || !leads.includes(lead)) throw invalid();
  if (typeof score !== "number" || !Number.isSafeInteger(score)) throw invalid();
  if (typeof member !== "string" || member.length > NAME_CHARS_MAX || !/^[\x20-\x7e]*$/.test(member)) throw invalid();
  if (typeof shown !== "number" || !Number.isInteger(shown) || shown < 0 || shown > COUNT_MAX) throw invalid();
  return { kind: "behind", lead, score, member, shown };
}

function spanOf(leads: readonly string[]): number {
  return Math.floor(DIGITS / Math.max(1, leads.length));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Fault("CURSOR_INVALID", INVALID_SAYS, { cause: error, fields: FIELDS });
  }
}

const INVALID_SAYS = "the cursor is not one that this list has given out";
const FIELDS = [{ field: "cursor", reason: INVALID_SAYS }];

function invalid(): Fault {
  return new Fault("CURSOR_INVALID", INVALID_SAYS, { fields: FIELDS });
}
