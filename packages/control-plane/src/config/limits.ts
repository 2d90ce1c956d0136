// Limits in configuration.
// Owns:          where they stand in the data, how they are spelled, what is wrong with one.
// Must not know: who keeps to them.
// As with the original: `limits` comes before the older `rate_limits`, a number may be written as text, and 0 is no limit.

import type { JsonObject } from "../ports/json.ts";

export interface JobLimitsOfConfig {
  /** Open jobs that a tenant may have; undefined: as many as it likes. */
  readonly openJobsMax: number | undefined;
}

const KNOWN = {
  limits: ["max_concurrent_jobs", "max_concurrent_runs"],
  rate_limits: ["concurrent_jobs", "concurrent_workflows", "queue_size"],
} as const;
const LIMIT_MAX = 1_000_000_000;

export function jobLimitsOf(data: JsonObject): JobLimitsOfConfig {
  const atOnce =
    limitIn(data, "limits", "max_concurrent_jobs") || (limitIn(data, "rate_limits", "concurrent_jobs") ?? 0);
  const inLine = limitIn(data, "rate_limits", "queue_size") ?? 0;
  return { openJobsMax: atOnce === 0 ? undefined : atOnce + inLine };
}

/** What is wrong with the limits; undefined: nothing. */
export function limitsFault(data: JsonObject): string | undefined {
  for (const [section, names] of Object.entries(KNOWN)) {
    const found = own(data, section);
    if (found === undefined || found === null) continue;
    if (typeof found !== "object" || Array.isArray(found)) return `${section} must be an object`;
    for (const name of names) {
      const value = own(found, name);
      if (value !== undefined && value !== null && parseLimit(value) === undefined)
        return `${section}.${name} must be an integer from 0 to ${LIMIT_MAX}`;
    }
  }
  return undefined;
}

function limitIn(data: JsonObject, section: string, name: string): number | undefined {
  const found = own(data, section);
  return typeof found === "object" && found !== null ? parseLimit(own(found, name)) : undefined;
}

function parseLimit(value: unknown): number | undefined {
  const number = typeof value === "string" && /^\s*\d{1,10}\s*$/.test(value) ? Number(value) : value;
  const isLimit = typeof number === "number" && Number.isInteger(number) && number >= 0 && number <= LIMIT_MAX;
  return isLimit ? number : undefined;
}

function own(object: object, name: string): unknown {
  return Object.hasOwn(object, name) ? Reflect.get(object, name) : undefined;
}
