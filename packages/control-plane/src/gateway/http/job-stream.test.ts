import { connect } from "node:net";
import { directSubject, encodePacket, JobStatus, SUBJECTS } from "@cordum/protocol";
import { afterEach, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { DEFAULT_HELD_SETTINGS } from "../held-connections.ts";
import { openScene, type Scene } from "../testing/gateway-scene.ts";

const never = new AbortController().signal;
const open = new Set<() => void>();
let scene: Scene;
let url: string;
afterEach(async () => {
  for (const close of open) close();
  open.clear();
  await scene[Symbol.asyncDispose]();
});

async function serve(over: Parameters<typeof openScene>[0] = {}): Promise<void> {
  scene = await openScene(over);
  url = await scene.gateway.listen({ host: "127.0.0.1", port: 0 });
}

async function submit(key: string, body: object): Promise<string> {
  const answer = await scene.post(key, "/api/v1/jobs", { prompt: "x", ...body });
  return answer.json().job_id;
}
const cancel = (key: string, jobId: string) => scene.call(key, "POST", `/api/v1/jobs/${jobId}/cancel`);
type Payload = NonNullable<Parameters<typeof encodePacket>[0]["payload"]>;
const say = (subject: string, payload: Payload, senderId = "w1") =>
  scene.core.parts.bus.publish(subject, encodePacket({ traceId: "t", senderId, protocolVersion: 1, payload }), never);

/** A worker that takes jobs and says what the test makes it say. */
async function work(): Promise<void> {
  const { bus } = scene.core.parts;
  await bus.subscribe({ subject: directSubject("w1"), keep: false, inFlightMax: 8 }, async () => ({ kind: "ack" }));
  const value = { workerId: "w1", pool: "default", maxParallelJobs: 10 };
  await say(SUBJECTS.heartbeat, { kind: "heartbeat", value });
  await say(SUBJECTS.handshake, {
    kind: "handshake",
    value: { componentId: "w1", role: 3, readyTopics: ["job.echo"] },
  });
}

interface Event {
  readonly id: string;
  readonly event: string;
  readonly data: { readonly job: Record<string, unknown>; readonly [member: string]: unknown };
}
interface Events {
  readonly status: number;
  readonly seen: readonly Event[];
  readonly comments: readonly string[];
  readonly lastId: string;
  /** Reads until an event fits; throws when the stream ends before. */
  until(fits: (event: Event) => boolean): Promise<Event>;
  /** Reads until the server ends the stream. */
  rest(): Promise<readonly Event[]>;
  close(): void;
}

async function follow(path: string, key = "viewer-key", headers: Record<string, string> = {}): Promise<Events> {
  const stop = new AbortController();
  open.add(() => stop.abort());
  const answer = await fetch(`${url}${path}`, {
    headers: { "x-api-key": key, accept: "text/event-stream", ...headers },
    signal: stop.signal,
  });
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  const seen: Event[] = [];
  const comments: string[] = [];
  const state = { text: "", lastId: "" };
  const read = async (): Promise<boolean> => {
    const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
    if (done) return false;
    state.text += value;
    for (let end = state.text.indexOf("\n\n"); end !== -1; end = state.text.indexOf("\n\n")) {
      const lines = state.text.slice(0, end).split("\n");
      state.text = state.text.slice(end + 2);
      const partOf = (name: string) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2) ?? "";
      comments.push(...lines.filter((line) => line.startsWith(":")).map((line) => line.slice(2)));
      state.lastId = partOf("id") || state.lastId;
      if (partOf("data") !== "")
        seen.push({ id: partOf("id"), event: partOf("event"), data: JSON.parse(partOf("data")) });
    }
    return true;
  };
  let looked = 0;
  return {
    status: answer.status,
    seen,
    comments,
    get lastId() {
      return state.lastId;
    },
    async until(fits) {
      for (;;) {
        for (; looked < seen.length; looked++) {
          const event = seen[looked];
          if (event !== undefined && fits(event)) return event;
        }
        if (!(await read())) throw new Error(`the stream ended after ${JSON.stringify(seen)}`);
      }
    },
    async rest() {
      while (await read());
      return seen;
    },
    close: () => stop.abort(),
  };
}
const is =
  (jobId: string, state: string) =>
  ({ data }: Event): boolean =>
    data.job.id === jobId && data.job.state === state;

describe("events of one job", () => {
  it("begin with the job as it is, and end with its end", async () => {
    await serve();
    await work();
    const jobId = await submit("submitter-key", { topic: "job.echo" });
    const events = await follow(`/api/v1/jobs/${jobId}/stream`);
    await events.until(is(jobId, "DISPATCHED"));
    await say(SUBJECTS.jobProgress, { kind: "jobProgress", value: { jobId, percent: 40 } });
    await events.until(is(jobId, "RUNNING"));
    const value = {
      jobId,
      status: JobStatus.SUCCEEDED,
      workerId: "w1",
      resultPtr: `redis://res:${jobId}`,
      executionMs: 5,
    };
    await say(SUBJECTS.jobResult, { kind: "jobResult", value });
    const last = (await events.rest()).at(-1);
    expect(last).toMatchObject({
      event: "job.status_changed",
      data: {
        senderId: "cordum-scheduler",
        protocolVersion: 1,
        jobResult: { jobId, status: "JOB_STATUS_SUCCEEDED", resultPtr: `redis://res:${jobId}`, executionMs: "5" },
        job: { id: jobId, state: "SUCCEEDED", tenant: "acme", topic: "job.echo", worker_id: "w1" },
      },
    });
    const steps = last?.data.job.steps;
    const states = Array.isArray(steps) ? steps.map(({ state }: { state: string }) => state) : [];
    expect(states.slice(-3)).toEqual(["DISPATCHED", "RUNNING", "SUCCEEDED"]);
    // Who comes back after the end is told that there is nothing more, or what it has not seen.
    const again = (id: string) => follow(`/api/v1/jobs/${jobId}/stream`, "viewer-key", { "last-event-id": id });
    expect((await again(last?.id ?? "")).status).toBe(204);
    expect((await (await again(events.seen[0]?.id ?? "")).rest()).map(({ data }) => data.job.state)).toEqual([
      "SUCCEEDED",
    ]);
  });

  it("are for its tenant alone, and for whoever asks for events", async () => {
    await serve();
    const jobId = await submit("submitter-key", { topic: "job.ask" });
    expect((await follow(`/api/v1/jobs/${jobId}/stream`, "other-admin-key")).status).toBe(404);
    expect((await follow("/api/v1/jobs/nobody/stream")).status).toBe(404);
    expect((await follow(`/api/v1/jobs/${jobId}/stream`, "worker-key")).status).toBe(403);
    for (const path of [`/api/v1/jobs/${jobId}/stream`, "/api/v1/jobs/stream"])
      expect((await follow(path, "viewer-key", { accept: "application/json" })).status).toBe(400);
    expect((await follow("/api/v1/stream", "admin-key", { accept: "*/*" })).status).toBe(400);
    for (const accept of ["*/*", "application/json, text/event-stream"])
      expect((await follow("/api/v1/jobs/stream", "viewer-key", { accept })).status).toBe(200);
    const foreign = { "x-tenant-id": "acme" };
    expect((await follow(`/api/v1/jobs/${jobId}/stream`, "root-key", foreign)).status).toBe(200);
    expect((await follow(`/api/v1/jobs/${jobId}/stream?tenant_id=other`, "root-key")).status).toBe(404);
    expect((await follow(`/api/v1/jobs/${jobId}/stream?tenant=other`, "viewer-key")).status).toBe(403);
  });
});

describe("events of all jobs", () => {
  it("tell what changes from now on, of one tenant", async () => {
    await serve();
    const acme = await follow("/api/v1/jobs/stream");
    const other = await follow("/api/v1/stream", "other-admin-key");
    const own = await submit("submitter-key", { topic: "job.ask", labels: { marker: "acme" } });
    const foreign = await submit("other-admin-key", { topic: "job.ask" });
    await acme.until(is(own, "APPROVAL_REQUIRED"));
    await other.until(is(foreign, "APPROVAL_REQUIRED"));
    await cancel("admin-key", own);
    await cancel("other-admin-key", foreign);
    await acme.until(is(own, "CANCELLED"));
    await other.until(is(foreign, "CANCELLED"));
    expect(new Set(acme.seen.map(({ data }) => data.job.tenant))).toEqual(new Set(["acme"]));
    expect(new Set(other.seen.map(({ data }) => data.job.tenant))).toEqual(new Set(["other"]));
    expect(acme.comments).toEqual([]);
  });

  it("go on after a break with the latest state of everything that changed since", async () => {
    await serve();
    const before = await follow("/api/v1/jobs/stream");
    const jobs = await Promise.all(Array.from({ length: 20 }, () => submit("submitter-key", { topic: "job.ask" })));
    await before.until(is(jobs[19] ?? "", "APPROVAL_REQUIRED"));
    before.close();
    for (const jobId of jobs.slice(0, 10)) await cancel("admin-key", jobId);
    const late = await submit("submitter-key", { topic: "job.no.x" });
    const after = await follow("/api/v1/jobs/stream", "viewer-key", { "last-event-id": before.lastId });
    await after.until(is(late, "DENIED"));
    const states = new Map([...before.seen, ...after.seen].map(({ data }) => [data.job.id, data.job.state]));
    for (const [at, jobId] of jobs.entries())
      expect([at, states.get(jobId)]).toEqual([at, at < 10 ? "CANCELLED" : "APPROVAL_REQUIRED"]);
  });

  it("refuse an id that no stream has given out", async () => {
    await serve();
    for (const id of ["x", "-1-x", "1e9-x", "99999999999999999999-x"])
      expect((await follow("/api/v1/jobs/stream", "viewer-key", { "last-event-id": id })).status).toBe(400);
    const future = await follow("/api/v1/jobs/stream", "viewer-key", { "last-event-id": "999999999999999-x" });
    const jobId = await submit("submitter-key", { topic: "job.ask" });
    await future.until(is(jobId, "APPROVAL_REQUIRED"));
  });

  it("reach a reader that has read nothing for a while as latest states", async () => {
    await serve({ streams: { waitingMax: 4 } });
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    open.add(() => socket.destroy());
    socket.pause();
    const head = "Host: x\r\nX-Api-Key: viewer-key\r\nAccept: text/event-stream\r\n";
    socket.write(`GET /api/v1/jobs/stream HTTP/1.1\r\n${head}\r\n`);
    const other = await follow("/api/v1/jobs/stream");
    const jobs: string[] = [];
    for (let n = 0; n < 300; n++) jobs.push(await submit("submitter-key", { topic: "job.ask" }));
    for (const jobId of jobs) await cancel("admin-key", jobId);
    await other.until(is(jobs[299] ?? "", "CANCELLED"));
    let text = "";
    socket.setEncoding("utf8").on("data", (chunk) => {
      text += chunk;
    });
    socket.resume();
    const states = (): ReadonlyMap<string, string> =>
      new Map(
        [...text.matchAll(/"job":\{"id":"([^"]+)","state":"([A-Z_]+)"/g)].map(([, id = "", state = ""]) => [id, state]),
      );
    while (jobs.some((jobId) => states().get(jobId) !== "CANCELLED"))
      await new Promise((resolve) => socket.once("data", resolve));
  });

  it("outlive the time that an answer may take", async () => {
    await serve({ requestReadMs: 1_000, handlerMs: 1_000 });
    const events = await follow("/api/v1/jobs/stream");
    await scene.clock.sleep(3_000, never);
    const jobId = await submit("submitter-key", { topic: "job.ask" });
    await events.until(is(jobId, "APPROVAL_REQUIRED"));
  });

  it("are limited by key", async () => {
    const limits = { ...DEFAULT_HELD_SETTINGS.limits, stream: { ofKeyMax: 2, max: 3 } };
    await serve({ held: { ...DEFAULT_HELD_SETTINGS, limits } });
    const first = await follow("/api/v1/jobs/stream");
    await follow("/api/v1/jobs/stream");
    expect((await follow("/api/v1/jobs/stream")).status).toBe(429);
    await follow("/api/v1/jobs/stream", "admin-key");
    expect((await follow("/api/v1/jobs/stream", "root-key")).status).toBe(429);
    first.close();
    await first.rest().catch(() => undefined);
    await expect.poll(async () => (await follow("/api/v1/jobs/stream")).status).toBe(200);
  });

  it("end when the process drains, and when the key is revoked", async () => {
    await serve({ held: { ...DEFAULT_HELD_SETTINGS, recheckMs: 20 } });
    const made = await scene.post("admin-key", "/api/v1/keys", { name: "brief", roles: ["viewer"] });
    const { id, secret } = made.json();
    const brief = await follow("/api/v1/jobs/stream", secret);
    const lasting = await follow("/api/v1/jobs/stream");
    expect((await scene.call("admin-key", "POST", `/api/v1/keys/${id}/revoke`)).statusCode).toBeLessThan(300);
    await brief.rest();
    expect(brief.comments).toEqual(["the key has ended"]);
    const drained = scene.gateway.stopAccepting(never);
    await lasting.rest();
    expect(lasting.comments).toEqual(["this process is about to end; connect again"]);
    expect(await drained).toBe(true);
    expect((await follow("/api/v1/jobs/stream")).status).toBe(503);
  });
});

interface Frames {
  readonly client: WebSocket;
  readonly seen: readonly Record<string, Record<string, unknown>>[];
  until(fits: (frame: Record<string, Record<string, unknown>>) => boolean): Promise<void>;
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
}

async function tap(key = "admin-key", path = "/api/v1/stream"): Promise<Frames> {
  const token = Buffer.from(key).toString("base64url");
  const client = new WebSocket(`${url.replace("http", "ws")}${path}`, ["cordum-api-key", token]);
  open.add(() => client.terminate());
  const seen: Record<string, Record<string, unknown>>[] = [];
  let heard = (): void => undefined;
  client.on("message", (data) => {
    seen.push(JSON.parse(String(data)));
    heard();
  });
  const closed = new Promise<{ code: number; reason: string }>((resolve) =>
    client.on("close", (code, reason) => resolve({ code, reason: String(reason) })),
  );
  await new Promise((resolve, reject) => client.on("open", resolve).on("error", reject));
  return {
    client,
    seen,
    closed,
    async until(fits) {
      while (!seen.some(fits))
        await new Promise<void>((resolve) => {
          heard = resolve;
        });
    },
  };
}

describe("packets", () => {
  it("are protobuf JSON, of the jobs of a tenant, with nothing of others", async () => {
    await serve();
    await work();
    const acme = await tap();
    const other = await tap("other-admin-key");
    const jobId = await submit("submitter-key", { topic: "job.echo", labels: { marker: "acme" } });
    await acme.until((frame) => frame.jobRequest?.jobId === jobId);
    await say(SUBJECTS.jobProgress, { kind: "jobProgress", value: { jobId, percent: 40, message: "half" } });
    await acme.until((frame) => frame.jobProgress?.percent === 40);
    const value = {
      jobId,
      status: JobStatus.SUCCEEDED,
      workerId: "w1",
      resultPtr: `redis://res:${jobId}`,
      executionMs: 1250,
    };
    await say(SUBJECTS.jobResult, { kind: "jobResult", value });
    await acme.until((frame) => frame.jobResult !== undefined);
    expect(acme.seen.map((frame) => Object.keys(frame).at(-1))).toEqual(["jobRequest", "jobProgress", "jobResult"]);
    expect(acme.seen[0]).toMatchObject({
      senderId: "api-gateway-http",
      protocolVersion: 1,
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z$/),
      jobRequest: { jobId, topic: "job.echo", tenantId: "acme", labels: { marker: "acme" } },
    });
    expect(acme.seen[2]).toMatchObject({
      senderId: "w1",
      jobResult: { jobId, status: "JOB_STATUS_SUCCEEDED", workerId: "w1", executionMs: "1250" },
    });
    const foreign = await submit("other-admin-key", { topic: "job.no.x" });
    await other.until((frame) => frame.jobResult?.jobId === foreign);
    expect(JSON.stringify(other.seen)).not.toContain("acme");
    expect(other.seen.at(-1)).toMatchObject({ jobResult: { status: "JOB_STATUS_DENIED" } });
  });

  it("are not what somebody on the bus makes up about a tenant's jobs", async () => {
    await serve();
    await work();
    const acme = await tap();
    const jobId = await submit("submitter-key", { topic: "job.echo" });
    await acme.until((frame) => frame.jobRequest?.jobId === jobId);
    const lie = { jobId, resultPtr: "redis://res:lie", errorMessage: "lie", message: "lie" };
    await say(
      SUBJECTS.jobResult,
      { kind: "jobResult", value: { ...lie, status: JobStatus.FAILED, workerId: "w2" } },
      "w2",
    );
    await say(SUBJECTS.jobProgress, { kind: "jobProgress", value: { jobId, message: "lie" } }, "w2");
    await say(
      SUBJECTS.jobSubmit,
      { kind: "jobRequest", value: { jobId: "made-up", topic: "job.lie", tenantId: "acme" } },
      "w2",
    );
    await say(SUBJECTS.jobDeadLetter, { kind: "jobResult", value: { ...lie, status: JobStatus.FAILED } }, "w2");
    await say(SUBJECTS.heartbeat, { kind: "heartbeat", value: { workerId: "lie", pool: "lie" } }, "lie");
    await cancel("admin-key", jobId);
    await acme.until((frame) => frame.jobResult?.status === "JOB_STATUS_CANCELLED");
    expect(
      acme.seen
        .filter((frame) => frame.jobRequest?.jobId !== "made-up")
        .map((frame) => JSON.stringify(frame))
        .join(),
    ).not.toContain("lie");
  });

  it("show no secrets and no pointers of denied jobs to people of the tenant; all tenants' operators see the packets, without the secrets", async () => {
    await serve();
    const acme = await tap();
    const root = await tap("root-key");
    const secret = "secret://vault/db#password";
    const jobId = await submit("submitter-key", { topic: "job.no.x", labels: { where: secret } });
    await acme.until((frame) => frame.jobResult?.jobId === jobId);
    await root.until((frame) => frame.jobResult?.jobId === jobId);
    expect(JSON.stringify(acme.seen)).not.toContain("secret://");
    expect(JSON.stringify(root.seen)).not.toContain("secret://");
    expect(root.seen.find((frame) => frame.jobRequest?.jobId === jobId)?.jobRequest).toMatchObject({
      contextPtr: `redis://ctx:${jobId}`,
      labels: { where: "<redacted>" },
    });
    await say(SUBJECTS.heartbeat, { kind: "heartbeat", value: { workerId: "w9", pool: "default" } }, "w9");
    await root.until((frame) => frame.heartbeat?.workerId === "w9");
    const named = await tap("root-key", "/api/v1/stream?tenant_id=other");
    const foreign = await submit("other-admin-key", { topic: "job.ask" });
    await root.until((frame) => frame.jobRequest?.jobId === foreign);
    await named.until((frame) => frame.jobRequest?.jobId === foreign);
    await submit("submitter-key", { topic: "job.ask" });
    const last = await submit("other-admin-key", { topic: "job.ask" });
    await named.until((frame) => frame.jobRequest?.jobId === last);
    expect(named.seen).toHaveLength(2);
  });

  it("can be narrowed to kinds and to a job, and name their subject where asked", async () => {
    await serve();
    const ends = await tap("admin-key", "/api/v1/stream?kinds=jobResult&subject=true");
    const first = await submit("submitter-key", { topic: "job.ask" });
    const second = await submit("submitter-key", { topic: "job.ask" });
    const one = await tap("admin-key", `/api/v1/jobs/${second}/stream`);
    for (const jobId of [first, second]) await cancel("admin-key", jobId);
    await ends.until((frame) => frame.jobResult?.jobId === second);
    await one.until((frame) => frame.jobResult?.jobId === second);
    await ends.until((frame) => frame.jobResult?.jobId === first);
    expect(ends.seen.map(({ subject, jobResult }) => [subject, jobResult !== undefined])).toEqual([
      ["sys.job.result", true],
      ["sys.job.result", true],
    ]);
    expect(JSON.stringify(one.seen)).not.toContain(first);
    expect(one.client.readyState).toBe(WebSocket.OPEN);
  });

  it("that nobody reads are bounded: the listener is told and dropped", async () => {
    await serve({ streams: { waitingMax: 80 } });
    const deaf = await tap("root-key");
    deaf.client.pause();
    const blob = "x".repeat(60_000);
    const isEvicted = async () => (await scene.meter.text()).includes('evictions_total{reason="buffer_full"} 1');
    for (let n = 0; !(await isEvicted()) && n < 2_000; n++) {
      await say(SUBJECTS.heartbeat, { kind: "heartbeat", value: { workerId: "w9", labels: { blob } } });
      await scene.clock.sleep(1, never);
    }
    expect(await isEvicted()).toBe(true);
    deaf.client.resume();
    expect((await deaf.closed).code).toBe(1013);
    const other = await tap("root-key");
    await say(SUBJECTS.heartbeat, { kind: "heartbeat", value: { workerId: "w9" } });
    await other.until((frame) => frame.heartbeat?.workerId === "w9");
  });

  it("end with a reason when the process drains", async () => {
    await serve();
    const acme = await tap();
    await scene.gateway.stopAccepting(never);
    expect(await acme.closed).toEqual({ code: 1001, reason: "this process is about to end" });
  });
});
