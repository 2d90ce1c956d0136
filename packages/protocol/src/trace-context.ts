// W3C trace context of a job.
// Owns:          where it travels and its form.
// Must not know: who records spans.
// It is in the request's env as TRACEPARENT, the name that OpenTelemetry gives it where there are no headers, so that it gets over every bus and
// to workers in every language. Sources: W3C Trace Context §3.2; OpenTelemetry, "Environment Variables as Context Propagation Carriers".

export const TRACEPARENT_ENV = "TRACEPARENT";

export interface TraceContext {
  /** 32 hex digits, not all zero. */
  readonly traceId: string;
  /** 16 hex digits, not all zero. */
  readonly spanId: string;
  readonly isSampled: boolean;
}

const FORM = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})$/;

/** Undefined when the text is none of version 00. */
export function parseTraceparent(text: string): TraceContext | undefined {
  const [, traceId, spanId, flags] = FORM.exec(text) ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export function formatTraceparent({ traceId, spanId, isSampled }: TraceContext): string {
  return `00-${traceId}-${spanId}-${isSampled ? "01" : "00"}`;
}
