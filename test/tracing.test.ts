// A job can be followed by OpenTelemetry from the code that submits it to the code that does it.
// The SDK of OpenTelemetry is registered before anything of ours is loaded, as `node --import` does it for a process.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, serve, worker } from "@cordum/sdk";
import { context, type Span, SpanStatusCode, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Nodes, startNodes } from "./fleet/nodes.ts";

const POLICY = `
version: v1
rules:
  - { id: no, match: { topics: ["job.no"] }, decision: deny, reason: never }
  - { id: yes, match: { topics: ["job.*"] }, decision: allow }
`;
const exporter = new InMemorySpanExporter();
const opened = new AsyncDisposableStack();
const QUIET = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
let nodes: Nodes;
let client: Client;

beforeAll(async () => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }));
  const folder = await mkdtemp(join(tmpdir(), "cordum-tracing-"));
  opened.defer(() => rm(folder, { recursive: true, force: true }));
  const policy = join(folder, "policy.yaml");
  await writeFile(policy, POLICY);
  const env = { CORDUM_STATE: "memory", CORDUM_BUS: "in-process", SAFETY_POLICY_PATH: policy };
  nodes = opened.use(await startNodes([["gateway", "scheduler"]], env));
  const connection = nodes.running[0]?.connection();
  if (connection === undefined) throw new Error("no node");
  const serving = await serve(
    [
      worker("job.trace.good", () => {
        trace.getTracer("test").startSpan("inside the handler").end();
        return "done";
      }),
      worker("job.trace.bad", () => {
        throw new Error("with a detail that spans do not tell");
      }),
    ],
    { connection, log: QUIET },
  );
  opened.defer(() => serving.drain());
  client = new Client({ url: nodes.urls[0] ?? "", apiKey: "key-ada-0000000000" });
});
afterEach(() => exporter.reset());
afterAll(async () => {
  await opened.disposeAsync();
  trace.disable();
  context.disable();
});

/** Runs a job within a span of the caller's, and gives the spans of its trace when those of `ends` are among them. */
async function follow(
  topic: string,
  ends: readonly string[],
): Promise<{ readonly root: Span; readonly spans: readonly ReadableSpan[]; readonly jobId: string }> {
  const root = trace.getTracer("test").startSpan("the caller");
  const { job_id } = await context.with(trace.setSpan(context.active(), root), () =>
    client.submit({ topic, prompt: "p" }),
  );
  await client.wait(job_id, { timeoutMs: 15_000 });
  root.end();
  const ofTrace = () =>
    exporter.getFinishedSpans().filter((span) => span.spanContext().traceId === root.spanContext().traceId);
  await expect.poll(() => ofTrace().map(({ name }) => name)).toEqual(expect.arrayContaining([...ends]));
  return { root, spans: ofTrace(), jobId: job_id };
}

function named(spans: readonly ReadableSpan[], name: string): ReadableSpan {
  const found = spans.filter((span) => span.name === name);
  expect(found, `one span "${name}" among ${spans.map((span) => span.name).join(", ")}`).toHaveLength(1);
  const [span] = found;
  if (span === undefined) throw new Error("unreachable");
  return span;
}

describe("a job's trace", () => {
  it("goes from the caller through request, dispatch and worker to the handler", async () => {
    const { root, spans, jobId } = await follow("job.trace.good", ["process job.trace.good", "job job.trace.good"]);
    const request = named(spans, "POST /api/v1/jobs");
    const dispatch = named(spans, "dispatch job.trace.good");
    const run = named(spans, "process job.trace.good");
    const inside = named(spans, "inside the handler");
    const parents = [request, dispatch, run, inside].map((span) => span.parentSpanContext?.spanId);
    expect(parents).toEqual([root, request, dispatch, run].map((span) => span.spanContext().spanId));
    const life = named(spans, "job job.trace.good");
    expect(life.parentSpanContext?.spanId).toBe(request.spanContext().spanId);
    expect(life.attributes).toMatchObject({
      "cordum.job.id": jobId,
      "cordum.job.state": "SUCCEEDED",
      "cordum.policy.rule": "yes",
    });
    expect(dispatch.attributes).toMatchObject({ "cordum.job.id": jobId, "cordum.attempt": 1 });
    expect(request.attributes).toMatchObject({ "http.response.status_code": 200, "http.route": "/api/v1/jobs" });
  });

  it("says what failed, and nothing of inputs and messages", async () => {
    const bad = await follow("job.trace.bad", ["process job.trace.bad", "job job.trace.bad"]);
    expect(named(bad.spans, "process job.trace.bad").status.code).toBe(SpanStatusCode.ERROR);
    expect(named(bad.spans, "job job.trace.bad").status.code).toBe(SpanStatusCode.ERROR);
    expect(
      JSON.stringify(bad.spans.map(({ attributes, status, events }) => ({ attributes, status, events }))),
    ).not.toContain("detail");
    const denied = await follow("job.no", ["job job.no"]);
    expect(named(denied.spans, "job job.no")).toMatchObject({
      status: { code: SpanStatusCode.ERROR, message: "safety_denied" },
      attributes: { "cordum.policy.rule": "no", "cordum.job.state": "DENIED" },
    });
    expect(denied.spans.some(({ name }) => name.startsWith("dispatch"))).toBe(false);
  });

  it("begins with the request when the caller has none, and takes no forged one for true", async () => {
    const answer = await fetch(`${nodes.urls[0]}/api/v1/jobs`, {
      method: "POST",
      headers: { "x-api-key": "key-ada-0000000000", traceparent: "00-zz-zz-01" },
      body: JSON.stringify({ topic: "job.trace.good", prompt: "p" }),
    });
    expect(answer.status).toBe(200);
    const roots = () => exporter.getFinishedSpans().filter((span) => span.name === "POST /api/v1/jobs");
    await expect.poll(() => roots().length).toBe(1);
    expect(roots()[0]?.parentSpanContext).toBeUndefined();
  });
});
