// The span of a request.
// Owns:          reading W3C trace context from a request, and the span of its answer.
// Must not know: what a route does; who records spans.

import { parseTraceparent } from "@cordum/protocol";
import type { FastifyRequest } from "fastify";
import type { Span, Tracing } from "../ports/tracing.ts";
import type { App } from "./app.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** What follows from this request has this trace context; "" without one. */
    traceparent: string;
  }
}

export function traceRequests(app: App, tracing: Tracing): void {
  app.decorateRequest("traceparent", "");
  const spans = new WeakMap<FastifyRequest, Span>();
  app.addHook("onRequest", (request, _, done) => {
    const { traceparent } = request.headers;
    request.traceparent = typeof traceparent === "string" && parseTraceparent(traceparent) ? traceparent : "";
    const { config, url } = request.routeOptions;
    if (tracing.isOn && config.permission !== "probe") {
      const { method } = request;
      const facts = { "http.request.method": method, "http.route": url ?? "" };
      const span = tracing.start({
        name: `${method} ${url ?? ""}`,
        kind: "server",
        parent: request.traceparent,
        facts,
      });
      spans.set(request, span);
      request.traceparent = span.traceparent;
    }
    done();
  });
  app.addHook("onResponse", (request, reply, done) => {
    const { statusCode } = reply;
    const facts = { "http.response.status_code": statusCode, "cordum.request.id": request.id };
    spans.get(request)?.end(facts, statusCode >= 500 ? String(statusCode) : "");
    done();
  });
}
