// Tracing by OpenTelemetry.
// Owns:          our spans in OpenTelemetry's terms.
// Must not know: which SDK and exporter are there: whoever starts the process chooses them (docs/operations.md, Traces).

import { formatTraceparent, parseTraceparent } from "@cordum/protocol";
import {
  type Context,
  SpanKind as OtelKind,
  type Span as OtelSpan,
  ROOT_CONTEXT,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import { NO_TRACING, type Span, type SpanKind, type Tracing } from "../../ports/tracing.ts";

const KINDS = {
  server: OtelKind.SERVER,
  producer: OtelKind.PRODUCER,
  internal: OtelKind.INTERNAL,
} as const satisfies Record<SpanKind, OtelKind>;

/** Off when no SDK of OpenTelemetry has been registered in this process by now. */
export function otelTracing(version: string): Tracing {
  const tracer = trace.getTracer("cordum", version);
  return isRegistered(tracer) ? { isOn: true, start: (span) => begin(tracer, span) } : NO_TRACING;
}

/** The API's own tracers make spans without an id. */
function isRegistered(tracer: Tracer): boolean {
  const probe = tracer.startSpan("probe", { root: true });
  return trace.isSpanContextValid(probe.spanContext());
}

function begin(tracer: Tracer, { name, kind, parent, facts, startAt }: Parameters<Tracing["start"]>[0]): Span {
  const options = { kind: KINDS[kind], attributes: facts, ...(startAt === undefined ? {} : { startTime: startAt }) };
  const span = tracer.startSpan(name, options, contextOf(parent));
  return {
    traceparent: traceparentOf(span),
    end(more, failure, endAt) {
      span.setAttributes(more);
      if (failure !== "") span.setStatus({ code: SpanStatusCode.ERROR, message: failure });
      span.end(endAt);
    },
  };
}

function contextOf(parent: string): Context {
  const read = parseTraceparent(parent);
  if (read === undefined) return ROOT_CONTEXT;
  const { traceId, spanId, isSampled } = read;
  const traceFlags = isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE;
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true });
}

function traceparentOf(span: OtelSpan): string {
  const { traceId, spanId, traceFlags } = span.spanContext();
  return formatTraceparent({ traceId, spanId, isSampled: (traceFlags & TraceFlags.SAMPLED) !== 0 });
}
