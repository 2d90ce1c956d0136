// Moments in bodies.
// Owns:          reading RFC 3339 and Unix times.
// Must not know: what a moment is for.

import type { EpochMs } from "../ports/time.ts";
import { guessMs } from "./cursor.ts";

const RFC_3339 = /^(\d{4})-(\d{2})-(\d{2})T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/i;

/** From an RFC 3339 text, or a Unix time in seconds, ms, µs or ns. Undefined: it is none. */
export function parseMoment(value: string | number): EpochMs | undefined {
  if (typeof value === "number") return guessMs(value, "lower");
  const parts = RFC_3339.exec(value);
  if (parts === null || !isDay(Number(parts[1]), Number(parts[2]), Number(parts[3]))) return undefined;
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : at;
}

/** The 30th of February is read by Date as the 2nd of March. */
function isDay(year: number, month: number, day: number): boolean {
  const date = new Date(Date.UTC(year, month - 1, day));
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
}
