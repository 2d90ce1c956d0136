// Tracing: how a job can be followed through requests, packets and workers.
// Owns:          the interface. Trace contexts are W3C traceparents (trace-context.ts in protocol), "" for none.
// Must not know: OpenTelemetry, who reads the spans.
// T1. Trace context says where a request came from and decides nothing. T2. Nothing is recorded, and nothing paid, unless an SDK of
//     OpenTelemetry is there.

import type { EpochMs } from "./time.ts";

export type SpanKind = "server" | "producer" | "internal";
export type SpanFacts = { readonly [name: string]: string | number | boolean };

export interface SpanStart {
  readonly name: string;
  readonly kind: SpanKind;
  /** Trace context of what caused it; "" for nothing. */
  readonly parent: string;
  readonly facts: SpanFacts;
  /** Now, when absent. */
  readonly startAt?: EpochMs;
}

export interface Span {
  /** For whatever follows from this. "" when nobody records it. */
  readonly traceparent: string;
  /** `failure`: why it went wrong; "" when it did not. */
  end(facts: SpanFacts, failure: string, endAt?: EpochMs): void;
}

export interface Tracing {
  readonly isOn: boolean;
  start(span: SpanStart): Span;
}

/** Nobody records it. */
export const NO_SPAN: Span = { traceparent: "", end: () => undefined };

/** Records nothing. */
export const NO_TRACING: Tracing = { isOn: false, start: () => NO_SPAN };
