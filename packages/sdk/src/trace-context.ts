// Trace context in OpenTelemetry's terms.
// Owns:          the step between a traceparent and OpenTelemetry's context.
// Must not know: who records spans; without an SDK of OpenTelemetry in the process there are none, and nothing is sent.

import { formatTraceparent, parseTraceparent } from "@cordum/protocol";
import { type Context, isSpanContextValid, ROOT_CONTEXT, TraceFlags, trace } from "@opentelemetry/api";

/** Of the span in which the caller is; undefined when there is none. */
export function activeTraceparent(): string | undefined {
  const active = trace.getActiveSpan()?.spanContext();
  if (active === undefined || !isSpanContextValid(active)) return undefined;
  const { traceId, spanId, traceFlags } = active;
  return formatTraceparent({ traceId, spanId, isSampled: (traceFlags & TraceFlags.SAMPLED) !== 0 });
}

/** The context below which spans follow from what `traceparent` names; the root for anything else. */
export function contextOf(traceparent: string): Context {
  const read = parseTraceparent(traceparent);
  if (read === undefined) return ROOT_CONTEXT;
  const { traceId, spanId, isSampled } = read;
  const traceFlags = isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE;
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true });
}
