// The log.
// Owns:          the form of a line (JSON or text), levels, redaction, cause chains.
// Must not know: who logs what; the environment.
// L1. One line per event, whatever is in the fields. L2. Secrets are hidden (redaction.ts). L3. Logging never throws.
// L4. Strangers cause warnings: of one event there are so many lines in a span of time, the next line after that says how many there were not.
//     What was refused is counted by metrics, whether a line tells it or not.

import { pino } from "pino";
import type { Log, LogFields } from "../ports/telemetry.ts";
import type { EpochMs } from "../ports/time.ts";
import { HIDDEN, isSecretName, redactText } from "./redaction.ts";

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

export interface LogSettings {
  readonly format: "json" | "text";
  readonly level: LogLevel;
  /** Fields of every line: service, instance. */
  readonly about: LogFields;
}

/** Where lines go; pino.destination() and process.stdout are such. */
export interface LogSink {
  write(line: string): unknown;
}

/** See L4. */
export const WARNINGS = { max: 100, spanMs: 10_000 } as const;
const CAUSES_MAX = 8;
const ITEMS_MAX = 50;
const RANK = { debug: 20, info: 30, warn: 40, error: 50, silent: 100 } as const satisfies {
  readonly [level in LogLevel]: number;
};

export function createLog(settings: LogSettings, sink: LogSink, now: () => EpochMs): Log {
  const write = settings.format === "json" ? jsonLines(settings, sink, now) : textLines(settings, sink, now);
  const at = (level: Exclude<LogLevel, "silent">) => {
    if (RANK[level] < RANK[settings.level]) return () => undefined;
    return (event: string, fields?: LogFields) => write(level, event, fields === undefined ? {} : visible(fields));
  };
  const [warn, error, told] = [at("warn"), at("error"), new Told(now)];
  return {
    debug: at("debug"),
    info: at("info"),
    warn(event, fields) {
      const more = told.before(event);
      if (more !== undefined) warn(event, { ...fields, ...more });
    },
    error(event, thrown, fields) {
      const more = told.before(event);
      if (more !== undefined) error(event, { ...fields, ...describe(thrown), ...more });
    },
  };
}

interface Span {
  readonly endsAt: EpochMs;
  lines: number;
  untold: number;
}

/** Events are named in the code: there are not many. */
class Told {
  readonly #now: () => EpochMs;
  readonly #spans = new Map<string, Span>();

  constructor(now: () => EpochMs) {
    this.#now = now;
  }

  /** What a line of the event says of lines before it that there were not; undefined: there is no line. */
  before(event: string): LogFields | undefined {
    const now = this.#now();
    const known = this.#spans.get(event);
    if (known !== undefined && now < known.endsAt && now >= known.endsAt - WARNINGS.spanMs) {
      if (known.lines >= WARNINGS.max) {
        known.untold++;
        return undefined;
      }
      known.lines++;
      return {};
    }
    this.#spans.set(event, { endsAt: now + WARNINGS.spanMs, lines: 1, untold: 0 });
    const untoldBefore = known?.untold ?? 0;
    return untoldBefore === 0 ? {} : { untoldBefore };
  }
}

/** Says nothing. */
export function silentLog(): Log {
  const nothing = (): void => undefined;
  return { debug: nothing, info: nothing, warn: nothing, error: nothing };
}

type Write = (level: Exclude<LogLevel, "silent">, event: string, fields: LogFields) => void;

function jsonLines(settings: LogSettings, sink: LogSink, now: () => EpochMs): Write {
  const logger = pino(
    {
      level: settings.level,
      base: settings.about,
      messageKey: "event",
      timestamp: () => `,"time":"${new Date(now()).toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (line: string) => void sink.write(line) },
  );
  return (level, event, fields) => logger[level](fields, event);
}

function textLines(settings: LogSettings, sink: LogSink, now: () => EpochMs): Write {
  const about = fieldsText(settings.about);
  return (level, event, fields) => {
    const parts = [new Date(now()).toISOString(), level.toUpperCase().padEnd(5), event, fieldsText(fields), about];
    sink.write(`${parts.filter((part) => part !== "").join(" ")}\n`);
  };
}

function fieldsText(fields: LogFields): string {
  return Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${valueText(value)}`)
    .join(" ");
}

/** Plain where a reader cannot be misled, JSON elsewhere: a value with a line break stays on its line. */
function valueText(value: LogFields[string]): string {
  return typeof value === "string" && /^[\w.:/@+-]{1,200}$/.test(value) ? value : JSON.stringify(value);
}

function visible(fields: LogFields): LogFields {
  const shown: Record<string, LogFields[string]> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (typeof value === "string") shown[name] = isSecretName(name) && value !== "" ? HIDDEN : redactText(value);
    else if (typeof value === "object" && value !== null) shown[name] = value.slice(0, ITEMS_MAX).map(redactText);
    else shown[name] = value;
  }
  return shown;
}

/** What was thrown, and what caused it, as fields. */
function describe(thrown: unknown): LogFields {
  const causes: string[] = [];
  const seen = new Set<unknown>();
  for (
    let cause = causeOf(thrown);
    cause !== undefined && !seen.has(cause) && causes.length < CAUSES_MAX;
    cause = causeOf(cause)
  ) {
    seen.add(cause);
    causes.push(summary(cause));
  }
  return {
    error: summary(thrown),
    ...(thrown instanceof Error && thrown.stack !== undefined ? { stack: thrown.stack } : {}),
    ...(causes.length === 0 ? {} : { causes }),
  };
}

function causeOf(thrown: unknown): unknown {
  if (!(thrown instanceof Error)) return undefined;
  return thrown.cause ?? (thrown instanceof AggregateError ? thrown.errors[0] : undefined);
}

function summary(thrown: unknown): string {
  if (!(thrown instanceof Error)) return typeof thrown === "string" ? thrown : `thrown ${typeof thrown}`;
  const code = Reflect.get(thrown, "code");
  return `${thrown.name}${typeof code === "string" ? ` ${code}` : ""}: ${thrown.message}`;
}
