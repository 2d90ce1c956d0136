// The span of a run.
// Owns:          the worker's span under the dispatch that the control plane traced, and the context in which a handler runs.
// Must not know: who records spans: without an SDK of OpenTelemetry in the process nothing is.

import { context, ProxyTracerProvider, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { contextOf } from "../trace-context.ts";
import { type JobOffer, TRACEPARENT_ENV } from "./wire.ts";

const TRACER = "cordum-sdk";

/** Runs the handler so that its own spans are under one of the job. Passes on what it returns and throws. */
export function inJobSpan<T>(offer: JobOffer, handle: () => Promise<T>): Promise<T> {
  if (isNobodyRecording()) return handle();
  const tracer = trace.getTracer(TRACER);
  const { topic, jobId, attempt } = offer;
  const attributes = {
    "cordum.job.id": jobId,
    "cordum.job.topic": topic,
    "cordum.attempt": attempt,
    "cordum.trace.id": offer.traceId,
  };
  const parent = contextOf(offer.env[TRACEPARENT_ENV] ?? "");
  const span = tracer.startSpan(`process ${topic}`, { kind: SpanKind.CONSUMER, attributes }, parent);
  if (!span.isRecording()) return handle();
  return context.with(trace.setSpan(parent, span), handle).then(
    (value) => {
      span.end();
      return value;
    },
    (thrown: unknown) => {
      span.setStatus({ code: SpanStatusCode.ERROR, message: thrown instanceof Error ? thrown.name : "thrown" });
      span.end();
      throw thrown;
    },
  );
}

/** Spares most workers the making of a span that nobody sees. */
function isNobodyRecording(): boolean {
  const provider = trace.getTracerProvider();
  return provider instanceof ProxyTracerProvider && provider.getDelegateTracer(TRACER) === undefined;
}
