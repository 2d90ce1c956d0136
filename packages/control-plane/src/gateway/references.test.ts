// References to secrets, everywhere: a job of acme names one in every text that a caller or a worker can write; then every route is read, every
// stream followed, every line of the log and of the audit looked at. Routes are found, not listed.
import { directSubject, encodePacket, JobStatus, resultKey, SUBJECTS } from "@cordum/protocol";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { systemClock } from "../adapters/system/clock.ts";
import { readAudit } from "../audit/read-audit.ts";
import { NO_TRACING } from "../ports/tracing.ts";
import { createLog } from "../telemetry/log.ts";
import { openScene, type Scene } from "./testing/gateway-scene.ts";
import { queryOf, type RouteRow, routesOf } from "./testing/route-table.ts";

const never = new AbortController().signal;
/** What must be seen nowhere, however it is written. */
const MARKER = "marker-7f3a";
const REFERENCE = `secret://vault/${MARKER}#password`;
const HIDDEN_REFERENCE = `{"dsn":"secret:\\/\\/vault\\/${MARKER}"}`;

const lines: string[] = [];
const answers: { readonly of: string; readonly text: string }[] = [];
let scene: Scene;
let url: string;
let failedJob: string;

async function post(key: string, path: string, body: object) {
  const answer = await scene.post(key, path, body);
  answers.push({ of: `POST ${path}`, text: `${JSON.stringify(answer.headers)} ${answer.body}` });
  return answer;
}

const job = (over: object) => ({
  prompt: `connect with ${REFERENCE} please`,
  context: { dsn: REFERENCE, nested: [{ [REFERENCE]: HIDDEN_REFERENCE }] },
  labels: { dsn: REFERENCE, [REFERENCE]: "x" },
  risk_tags: [REFERENCE],
  requires: [REFERENCE],
  tags: [REFERENCE],
  ...Object.fromEntries(
    "adapter_id memory_id context_mode team_id project_id actor_id pack_id capability"
      .split(" ")
      .map((name) => [name, REFERENCE]),
  ),
  ...over,
});

async function say(
  subject: string,
  payload: NonNullable<Parameters<typeof encodePacket>[0]["payload"]>,
): Promise<void> {
  const packet = encodePacket({ traceId: "t", senderId: "w1", protocolVersion: 1, payload });
  await scene.core.parts.bus.publish(subject, packet, never);
}

/** A worker that fails with the reference in all that it says. */
async function work(): Promise<void> {
  const { bus, payloads } = scene.core.parts;
  await bus.subscribe({ subject: directSubject("w1"), keep: false, inFlightMax: 8 }, async () => ({ kind: "ack" }));
  await say(SUBJECTS.heartbeat, {
    kind: "heartbeat",
    value: {
      workerId: "w1",
      pool: "default",
      maxParallelJobs: 9,
      labels: { dsn: REFERENCE },
      capabilities: [REFERENCE],
    },
  });
  await say(SUBJECTS.handshake, {
    kind: "handshake",
    value: { componentId: "w1", role: 3, readyTopics: ["job.echo"] },
  });
  const jobId: string = (
    await post("submitter-key", "/api/v1/jobs", job({ topic: "job.echo", requires: [], labels: {} }))
  ).json().job_id;
  await payloads.put(resultKey(jobId), Buffer.from(JSON.stringify({ used: REFERENCE })), 60_000, never);
  await say(SUBJECTS.jobProgress, {
    kind: "jobProgress",
    value: { jobId, percent: 10, message: `with ${REFERENCE}`, stepId: REFERENCE },
  });
  await say(SUBJECTS.jobResult, {
    kind: "jobResult",
    value: {
      jobId,
      workerId: "w1",
      status: JobStatus.FAILED,
      resultPtr: `redis://${resultKey(jobId)}`,
      errorCode: REFERENCE,
      errorMessage: `cannot reach ${REFERENCE}: refused`,
      artifactPtrs: [REFERENCE],
    },
  });
  failedJob = jobId;
}
const found: { readonly [place: string]: string[] } = {
  "jobs/{id}": [],
  "traces/{id}": [],
  "approvals/{job_id}": [],
  "dlq/{job_id}": [],
  "artifacts/{artifact_ptr}": [],
  "keys/{id}": [],
  "workers/{id}": ["w1"],
};

const frames: string[] = [];
const events: string[] = [];
const open: (() => void)[] = [];

/** Follows all that there is to follow, as an operator of all tenants and as one of acme. */
async function listen(): Promise<void> {
  for (const key of ["admin-key", "root-key"]) {
    const token = Buffer.from(key).toString("base64url");
    const client = new WebSocket(`${url.replace("http", "ws")}/api/v1/stream?subject=true`, ["cordum-api-key", token]);
    client.on("message", (data) => void frames.push(String(data)));
    await new Promise((resolve, reject) => client.on("open", resolve).on("error", reject));
    open.push(() => client.terminate());
  }
  await follow("/api/v1/jobs/stream");
}

async function follow(path: string): Promise<void> {
  const stop = new AbortController();
  open.push(() => stop.abort());
  const answer = await fetch(`${url}${path}`, { headers: { "x-api-key": "viewer-key" }, signal: stop.signal });
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  const read = async (): Promise<void> => {
    for (let part = await reader?.read(); part?.done === false; part = await reader?.read()) events.push(part.value);
  };
  void read().catch(() => undefined);
}

async function furnish(): Promise<void> {
  const submit = async (over: object) => (await post("submitter-key", "/api/v1/jobs", job(over))).json().job_id;
  const [waits, asked, denied] = [
    await submit({ idempotency_key: REFERENCE }),
    await submit({ topic: "job.ask" }),
    await submit({ topic: "job.no.x" }),
  ];
  const rejected = await submit({ topic: "job.ask" });
  await post("approver-key", `/api/v1/approvals/${asked}/approve`, { reason: `uses ${REFERENCE}`, note: REFERENCE });
  await post("approver-key", `/api/v1/approvals/${rejected}/reject`, { reason: `uses ${REFERENCE}`, note: REFERENCE });
  const stillAsked = await submit({ topic: "job.ask" });
  await work();
  await post("submitter-key", "/api/v1/jobs/batch", {
    jobs: [job({}), { prompt: "", labels: { [REFERENCE]: "x".repeat(5_000) } }],
  });
  await post("submitter-key", "/api/v1/jobs", { prompt: "x", labels: { [REFERENCE]: "x".repeat(5_000) } });
  await post("submitter-key", "/api/v1/jobs", { prompt: "x", topic: REFERENCE, tenant_id: REFERENCE });
  await post("admin-key", "/api/v1/locks/acquire", { resource: REFERENCE, owner: REFERENCE });
  await post("other-admin-key", "/api/v1/locks/renew", { resource: REFERENCE, owner: REFERENCE });
  const upload = { content: "x", labels: { dsn: REFERENCE }, content_type: "text/plain" };
  const artifact = (await post("admin-key", "/api/v1/artifacts", upload)).json().artifact_ptr;
  const key = (
    await post("admin-key", "/api/v1/keys", { name: REFERENCE, roles: ["viewer"], principal_id: REFERENCE })
  ).json().id;
  await post("admin-key", "/api/v1/config", { scope: "org", scope_id: "acme", data: { dsn: REFERENCE } });
  await post("admin-key", "/api/v1/dlq/retry", {
    filter: { reason_code: REFERENCE },
    dry_run: true,
    reason: REFERENCE,
  });
  await post("admin-key", "/api/v1/dlq/retry", { all: true, dry_run: true, cursor: REFERENCE });
  await post("admin-key", `/api/v1/keys/${key}/revoke`, { reason: REFERENCE });
  await post("admin-key", `/api/v1/jobs/${denied}/remediate`, { remediation_id: REFERENCE });
  found["jobs/{id}"]?.push(waits, asked, denied, rejected, stillAsked, failedJob);
  found["traces/{id}"]?.push(waits, failedJob);
  found["approvals/{job_id}"]?.push(stillAsked);
  found["dlq/{job_id}"]?.push(failedJob, denied, rejected);
  found["artifacts/{artifact_ptr}"]?.push(artifact);
  found["keys/{id}"]?.push(key);
}

let routes: readonly RouteRow[];
beforeAll(async () => {
  const clock = systemClock();
  const sink = { write: (line: string) => lines.push(line) };
  const log = createLog({ format: "json", level: "debug", about: {} }, sink, () => clock.now());
  scene = await openScene({}, clock, undefined, NO_TRACING, undefined, log);
  url = await scene.gateway.listen({ host: "127.0.0.1", port: 0 });
  routes = (await routesOf(scene)).filter(({ permission }) => permission !== "public");
  await listen();
  await furnish();
});
afterAll(async () => {
  for (const close of open) close();
  await scene[Symbol.asyncDispose]();
});

const isStream = ({ operation }: RouteRow) =>
  Object.values(operation.responses).some(({ content }) => content !== undefined && "text/event-stream" in content);
const placesOf = ({ path }: RouteRow) =>
  [...path.matchAll(/([^/]+)\/(\{\w+\})/g)].map(([, before, parameter]) => `${before}/${parameter}`);

/** Each way to ask a route for something of acme's, and each query parameter with the reference in it. */
function urlsOf(route: RouteRow): readonly string[] {
  const [place] = placesOf(route);
  const paths =
    place === undefined
      ? [route.path]
      : (found[place] ?? []).map((id) => route.path.replace(/\{\w+\}/, encodeURIComponent(id)));
  const keys = found["jobs/{id}"]?.flatMap((id) => [`ctx:${id}`, resultKey(id)]) ?? [];
  return paths.flatMap((path) => [
    path,
    ...queryOf(route).map((name) => `${path}?${name}=${encodeURIComponent(REFERENCE)}`),
    ...(queryOf(route).includes("ptr") ? keys.map((key) => `${path}?ptr=redis://${key}`) : []),
    `${path}?held=true&state=ended`,
  ]);
}

/** The text, and whatever bytes it holds in base64. */
function allOf(text: string): string {
  const packed = text.match(/"[A-Za-z0-9+/]{16,}={0,2}"/g) ?? [];
  return [text, ...packed.map((each) => Buffer.from(each, "base64").toString("latin1"))].join("\n");
}

describe("a reference to a secret", () => {
  it("is in no answer of any route that reads", async () => {
    const seen = new Map<string, number>();
    const isExcepted = ({ operation }: RouteRow) => operation["x-shows-references"] === true;
    // Documents that are read to be written back.
    expect(routes.filter(isExcepted).map(({ path }) => path)).toEqual([
      "/api/v1/config",
      "/api/v1/schemas/{schema_id}",
    ]);
    for (const route of routes.filter((each) => each.method === "GET" && !isStream(each) && !isExcepted(each))) {
      for (const place of placesOf(route)) expect([route.path, found[place]?.length ?? 0]).not.toEqual([route.path, 0]);
      for (const path of urlsOf(route)) {
        const answer = await scene.call("admin-key", "GET", path, { headers: { accept: "application/json" } });
        expect([path, answer.statusCode < 500]).toEqual([path, true]);
        expect([path, allOf(answer.body).includes(MARKER)]).toEqual([path, false]);
        if (answer.body.includes("<redacted>")) seen.set(route.path, (seen.get(route.path) ?? 0) + 1);
      }
    }
    // Otherwise nothing was looked at.
    for (const path of [
      "/api/v1/jobs",
      "/api/v1/jobs/{id}",
      "/api/v1/dlq",
      "/api/v1/approvals",
      "/api/v1/locks",
      "/api/v1/keys",
      "/api/v1/workers",
    ])
      expect([path, seen.has(path)]).toEqual([path, true]);
  });

  it("is in no answer to what writes, and in no problem", () => {
    expect(answers.length).toBeGreaterThan(15);
    for (const { of, text } of answers) expect([of, text.includes(MARKER)]).toEqual([of, false]);
    expect(answers.some(({ text }) => text.includes("<redacted>"))).toBe(true);
  });

  it("leaves the job tagged, and its bytes as they were for the worker", async () => {
    const shown = (await scene.call("viewer-key", "GET", `/api/v1/jobs/${failedJob}`)).json();
    expect(shown).toMatchObject({
      labels: { secrets_present: "true" },
      error_message: "cannot reach <redacted> refused",
    });
    expect(shown.risk_tags).toContain("secrets");
    expect(shown.context).toMatchObject({ prompt: "connect with <redacted> please", context: { dsn: "<redacted>" } });
    const bytes = await scene.core.parts.payloads.get(shown.context_ptr.replace("redis://", ""), never);
    expect(Buffer.from(bytes ?? "").toString()).toContain(REFERENCE);
  });

  it("is in no frame and no event", async () => {
    for (const jobId of found["jobs/{id}"] ?? []) await follow(`/api/v1/jobs/${jobId}/stream`);
    const isSeen = () =>
      frames.some((frame) => frame.includes("cannot reach")) && events.some((event) => event.includes("cannot reach"));
    while (!isSeen()) await new Promise((resolve) => setImmediate(resolve));
    expect([...frames, ...events].filter((text) => text.includes(MARKER))).toEqual([]);
    expect(frames.some((frame) => frame.includes("<redacted>"))).toBe(true);
  });

  it("is in no line of the log and no entry of the audit", async () => {
    expect(lines.filter((line) => line.includes(MARKER))).toEqual([]);
    const entries = await readAudit(scene.core.parts.state, { tenant: "acme", limit: 1_000 }, never);
    expect(entries.map((entry) => JSON.stringify(entry)).filter((text) => text.includes(MARKER))).toEqual([]);
    expect(entries.some(({ reason }) => reason === "uses <redacted>")).toBe(true);
  });
});
