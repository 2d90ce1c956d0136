// Moments on the wire: seconds and nanoseconds since 1970, and their text.
// Owns:          conversion between google.protobuf.Timestamp, whole milliseconds and RFC 3339.
// Must not know: whose moment it is.
// Source: RFC 3339; the JSON mapping of google.protobuf.Timestamp (0, 3, 6 or 9 digits, years 0001 to 9999, always "Z").

import type { Timestamp } from "../gen/google.ts";

const SECONDS_MIN = -62_135_596_800;
const SECONDS_MAX = 253_402_300_799;
const NANOS_PER_SECOND = 1_000_000_000;

/** Whole milliseconds since 1970, cut down, or undefined for a moment outside the years 0001 to 9999. */
export function epochMsOf(timestamp: Timestamp): number | undefined {
  const seconds = validSeconds(timestamp);
  return seconds === undefined ? undefined : seconds * 1000 + Math.floor(timestamp.nanos / 1_000_000);
}

/** From milliseconds since 1970, fractions allowed. */
export function timestampOf(epochMs: number): Timestamp {
  const seconds = Math.floor(epochMs / 1000);
  return { seconds, nanos: Math.round((epochMs - seconds * 1000) * 1_000_000), unknownFields: undefined };
}

/** RFC 3339 text, or undefined for a moment that has none. */
export function timestampText(timestamp: Timestamp): string | undefined {
  const seconds = validSeconds(timestamp);
  if (seconds === undefined) return undefined;
  const date = new Date(seconds * 1000).toISOString();
  const whole = date.slice(0, date.indexOf("."));
  const nanos = String(timestamp.nanos).padStart(9, "0");
  const digits = nanos.endsWith("000000000") ? 0 : nanos.endsWith("000000") ? 3 : nanos.endsWith("000") ? 6 : 9;
  return `${whole}${digits === 0 ? "" : `.${nanos.slice(0, digits)}`}Z`;
}

/** The moment that an RFC 3339 text names, or undefined. */
export function parseTimestamp(text: string): Timestamp | undefined {
  const match = text.length > 40 ? null : RFC_3339.exec(text);
  if (match?.groups === undefined) return undefined;
  const { date = "", time = "", fraction = "", offset = "" } = match.groups;
  const epochMs = Date.parse(`${date}T${time}${offset}`);
  // Date accepts the 31st of any month and moves on; the text of the local moment must come back.
  const local = Date.parse(`${date}T${time}Z`);
  if (Number.isNaN(epochMs) || Number.isNaN(local) || !new Date(local).toISOString().startsWith(`${date}T${time}`))
    return undefined;
  const timestamp = { seconds: epochMs / 1000, nanos: Number(fraction.padEnd(9, "0")), unknownFields: undefined };
  return validSeconds(timestamp) === undefined ? undefined : timestamp;
}

const RFC_3339 =
  /^(?<date>\d{4}-\d\d-\d\d)[Tt](?<time>\d\d:\d\d:\d\d)(?:\.(?<fraction>\d{1,9}))?(?<offset>[Zz]|[+-]\d\d:\d\d)$/;

function validSeconds({ seconds, nanos }: Timestamp): number | undefined {
  if (typeof seconds === "bigint" || seconds < SECONDS_MIN || seconds > SECONDS_MAX) return undefined;
  return nanos >= 0 && nanos < NANOS_PER_SECOND ? seconds : undefined;
}
