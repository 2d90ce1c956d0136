// Log and Meter: what the house says about itself.
// Owns:          the two interfaces. Event and metric names are an interface to operators: telemetry/metrics.ts lists the metrics.
// Must not know: pino, Prometheus.
// Events are `noun.verb` in the past tense with fields instead of prose; ids are fields of a log line and never labels of a metric.

export type LogFields = { readonly [field: string]: string | number | boolean | null | undefined | readonly string[] };

export interface Log {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  /** `error` is written with its cause chain; it never reaches a caller. */
  error(event: string, error: unknown, fields?: LogFields): void;
}

export type Labels = { readonly [label: string]: string };

export interface Meter {
  count(metric: string, labels?: Labels, by?: number): void;
  observe(metric: string, value: number, labels?: Labels): void;
  gauge(metric: string, value: number, labels?: Labels): void;
}
