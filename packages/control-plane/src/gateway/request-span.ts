// The span of a request.
// Owns:          reading W3C trace context from a request, and the span of its answer.
// Must not know: what a route does; who records spans.

import { parseTraceparent } from "@cordum/protocol";
import type { Span, Tracing } from "../ports/tracing.ts";
import type { App } from "./app.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** What follows from this request has this trace context; "" without one. */
    traceparent: string;
    /** Where somebody records them. */
    span: Span | undefined;
  }
}

export function traceRequests(app: App, tracing: Tracing): void {
  app.decorateRequest("traceparent", "");
  app.addHook("onRequest", (request, _, done) => {
    const { traceparent } = request.headers;
    if (typeof traceparent === "string" && parseTraceparent(traceparent)) request.traceparent = traceparent;
    done();
  });
  if (tracing.isOn) recordRequests(app, tracing);
}

function recordRequests(app: App, tracing: Tracing): void {
  app.decorateRequest("span", undefined);
  app.addHook("onRequest", (request, _, done) => {
    const { route, method, traceparent } = request;
    if (route?.permission !== "probe") {
      const url = route?.url ?? "";
      const facts = { "http.request.method": method, "http.route": url };
      const span = tracing.start({ name: `${method} ${url}`, kind: "server", parent: traceparent, facts });
      request.span = span;
      request.traceparent = span.traceparent;
    }
    done();
  });
  app.addHook("onResponse", (request, reply, done) => {
    const { statusCode } = reply;
    const facts = { "http.response.status_code": statusCode, "cordum.request.id": request.id };
    request.span?.end(facts, statusCode >= 500 ? String(statusCode) : "");
    done();
  });
}
