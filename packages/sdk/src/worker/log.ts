// Log: what a worker says about itself.
// Owns:          the interface, and a log that writes one JSON object per line to standard error.
// Must not know: who reads it.
// L1. Events are `noun.verb` in the past tense with fields instead of prose. Inputs and results of jobs are never logged.

import { type Runtime, writeLine } from "../runtime.ts";

export type LogFields = { readonly [field: string]: string | number | boolean | null | undefined | readonly string[] };

export interface WorkerLog {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, error: unknown, fields?: LogFields): void;
}

const LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LEVELS)[number];

/** Lines of JSON on standard error, from `least` upwards. */
export function lineLog(
  runtime: Runtime,
  least: LogLevel = "info",
  write: (line: string) => void = writeLine,
): WorkerLog {
  const from = LEVELS.indexOf(least);
  const say = (level: LogLevel, event: string, fields: LogFields) => {
    if (LEVELS.indexOf(level) < from) return;
    write(JSON.stringify({ time: new Date(runtime.now()).toISOString(), level, event, ...fields }));
  };
  return {
    debug: (event, fields = {}) => say("debug", event, fields),
    info: (event, fields = {}) => say("info", event, fields),
    warn: (event, fields = {}) => say("warn", event, fields),
    error: (event, error, fields = {}) => say("error", event, { ...fields, error: describeError(error) }),
  };
}

/** The same log with `bound` in every line. */
export function withFields(log: WorkerLog, bound: LogFields): WorkerLog {
  return {
    debug: (event, fields) => log.debug(event, { ...fields, ...bound }),
    info: (event, fields) => log.info(event, { ...fields, ...bound }),
    warn: (event, fields) => log.warn(event, { ...fields, ...bound }),
    error: (event, error, fields) => log.error(event, error, { ...fields, ...bound }),
  };
}

const CAUSES_MAX = 5;

/** The messages of an error and its causes, without stacks. Never throws, whatever was thrown. */
export function describeError(error: unknown): string {
  const messages: string[] = [];
  for (
    let at: unknown = error;
    at !== undefined && messages.length < CAUSES_MAX;
    at = at instanceof Error ? at.cause : undefined
  ) {
    messages.push(messageOf(at));
  }
  return messages.join(": ");
}

/** The message of whatever was thrown. Never throws. */
export function messageOf(thrown: unknown): string {
  try {
    const message: unknown = thrown instanceof Error ? thrown.message || thrown.name : thrown;
    return typeof message === "string" ? message : String(message);
  } catch {
    return "something that has no text was thrown";
  }
}
