// Limits in configuration.
// Owns:          where they stand in the data, how they are spelled, what is wrong with one, which of two limits holds.
// Must not know: who keeps to them.
// L1. What the installation limits is a ceiling: a tenant's documents can lower it, and neither raise it nor take it away. The effective data
//     says what holds, so that nobody reads a number there that counts for nothing.
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
  const { jobs, inLine } = numbersIn(data);
  return { openJobsMax: jobs === 0 ? undefined : jobs + inLine };
}

/** The merged data, with no limit above those of the system's document (L1). */
export function withCeiling(data: JsonObject, system: JsonObject): JsonObject {
  const [ceiling, wished] = [numbersIn(system), numbersIn(data)];
  const jobs = smaller(wished.jobs, ceiling.jobs);
  const runs = smaller(wished.runs, ceiling.runs);
  const inLine = ceiling.jobs === 0 ? wished.inLine : Math.min(wished.inLine, ceiling.jobs + ceiling.inLine - jobs);
  const limits = {
    ...(jobs === wished.jobs ? {} : { max_concurrent_jobs: jobs }),
    ...(runs === wished.runs ? {} : { max_concurrent_runs: runs }),
  };
  const line = inLine === wished.inLine ? {} : { queue_size: inLine };
  return withMembers(withMembers(data, "limits", limits), "rate_limits", line);
}

/** 0: no limit. */
function numbersIn(data: JsonObject): { readonly jobs: number; readonly runs: number; readonly inLine: number } {
  const of = (section: string, name: string): number => limitIn(data, section, name) ?? 0;
  return {
    jobs: of("limits", "max_concurrent_jobs") || of("rate_limits", "concurrent_jobs"),
    runs: of("limits", "max_concurrent_runs") || of("rate_limits", "concurrent_workflows"),
    inLine: of("rate_limits", "queue_size"),
  };
}

function smaller(wished: number, ceiling: number): number {
  if (ceiling === 0) return wished;
  return wished === 0 ? ceiling : Math.min(wished, ceiling);
}

function withMembers(data: JsonObject, section: string, members: JsonObject): JsonObject {
  if (Object.keys(members).length === 0) return data;
  const found = own(data, section);
  const before = typeof found === "object" && found !== null && !Array.isArray(found) ? found : {};
  return { ...data, [section]: { ...before, ...members } };
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
