// What simulated processes say.
// Owns:          log lines as part of the trace; the rule that programmer errors fail the run wherever they are caught.
// Must not know: what an event means.

import { Fault, messageOf } from "../ports/fault.ts";
import type { Log, LogFields, Meter } from "../ports/telemetry.ts";
import type { Life } from "./process.ts";

interface Line {
  readonly who: string;
  readonly what: string;
  readonly key: string;
  readonly fate: string;
}

export function simLog(life: Life, write: (line: Line) => void, fail: (says: string) => void): Log {
  const line = (level: string, event: string, fields: LogFields | undefined): void =>
    write({
      who: life.label,
      what: `log ${event}`,
      key: fields === undefined ? "" : JSON.stringify(fields),
      fate: level,
    });
  return {
    debug: (event, fields) => line("debug", event, fields),
    info: (event, fields) => line("info", event, fields),
    warn: (event, fields) => line("warn", event, fields),
    error: (event, error, fields) => {
      line("error", `${event} ${messageOf(error)}`, fields);
      if (!isOperational(error))
        fail(`${life.label} logged ${event}: ${error instanceof Error ? error.stack : String(error)}`);
    },
  };
}

/** A Fault, or what an AbortSignal is aborted with. Everything else is a programmer error. */
function isOperational(error: unknown): boolean {
  if (error instanceof Fault) return true;
  return error instanceof Error && (error.name === "TimeoutError" || error.name === "AbortError");
}

export const silentMeter: Meter = { count: () => undefined, observe: () => undefined, gauge: () => undefined };
