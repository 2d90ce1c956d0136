// Workers that connect with a key, over real sockets: who may, what reaches them, what they cost.

import {
  type BusPacketPayload,
  decodePacket,
  encodePacket,
  type Init,
  readGatewayFrame,
  SESSION_CLOSE,
  SUBJECTS,
  WORKER_FRAMES_VERSION,
  type WorkerFrame,
  writeWorkerFrame,
} from "@cordum/protocol";
import { Client, connect, type Serving, type WorkerConnection, worker } from "@cordum/sdk";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { notedLog } from "../../../../sdk/src/testing/fleet.ts";
import { type CuttingProxy, cuttingProxy } from "../../testing/cutting-proxy.ts";
import { DEFAULT_HELD_SETTINGS } from "../held-connections.ts";
import { openScene, type Scene } from "../testing/gateway-scene.ts";

let stack = new AsyncDisposableStack();
afterEach(async () => {
  const done = stack;
  stack = new AsyncDisposableStack();
  await done.disposeAsync();
});

interface Stage {
  readonly scene: Scene;
  readonly url: string;
  readonly ada: Client;
}

async function open(over: Parameters<typeof openScene>[0] = {}): Promise<Stage> {
  const scene = stack.use(await openScene(over));
  const url = await scene.gateway.listen({ host: "127.0.0.1", port: 0 });
  return { scene, url, ada: new Client({ url, apiKey: "submitter-key" }) };
}

async function connected(url: string, name = "w1", apiKey = "worker-key", more: object = {}) {
  const log = notedLog();
  const connection = await connect({ gateway: url, apiKey }, { name, log, ...more });
  stack.defer(() => connection.close());
  return { connection, log };
}

async function serving(
  definition: ReturnType<typeof worker>,
  connection: WorkerConnection,
  name = "w1",
): Promise<Serving> {
  const started = await definition.start(connection, { workerId: name, log: notedLog() });
  stack.defer(() => started.drain());
  return started;
}

describe("a worker with a key", () => {
  it("does jobs of its tenant, with progress, and stops when it is told to", async () => {
    const { url, ada, scene } = await open();
    const { connection } = await connected(url);
    const done = worker("job.echo", (input) => ({ got: input }));
    await serving(done, connection);
    const { job_id } = await ada.submit({ topic: "job.echo", prompt: "p", context: { n: 1 } });
    expect(await ada.wait(job_id, { timeoutMs: 10_000 })).toMatchObject({
      state: "SUCCEEDED",
      result: { got: { n: 1 } },
    });
    const other = await connected(url, "w2");
    const held = worker("job.held", (_, { signal, progress }) => {
      progress(40, "half way");
      return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    });
    const slow = await serving(held, other.connection, "w2");
    const long = await ada.submit({ topic: "job.held", prompt: "p" });
    await expect.poll(async () => (await ada.get(long.job_id)).state).toBe("RUNNING");
    const cancel = await scene.post("operator-key", `/api/v1/jobs/${long.job_id}/cancel`, {});
    expect(cancel.statusCode).toBe(200);
    await expect.poll(() => slow.activeJobs).toBe(0);
    const workers = await scene.call("admin-key", "GET", "/api/v1/workers");
    expect(workers.json<{ worker_id: string }[]>().map(({ worker_id }) => worker_id)).toEqual(["acme.w1", "acme.w2"]);
    const seen = await scene.call("other-admin-key", "GET", "/api/v1/workers");
    expect(seen.json()).toEqual([]);
  });

  it("gets no job of another tenant, nor do its own reach others", async () => {
    const { url, ada, scene } = await open();
    const ran: string[] = [];
    const echo = (who: string) =>
      worker("job.echo", (_, { jobId, tenant }) => void ran.push(`${who} ${tenant} ${jobId}`));
    await serving(echo("ours"), (await connected(url)).connection);
    await serving(echo("theirs"), (await connected(url, "w1", "other-admin-key")).connection);
    const eve = new Client({ url, apiKey: "other-admin-key" });
    const own = await Promise.all([1, 2, 3].map(() => ada.submit({ topic: "job.echo", prompt: "p" })));
    const foreign = await Promise.all([1, 2, 3].map(() => eve.submit({ topic: "job.echo", prompt: "p" })));
    for (const { job_id } of own) await ada.wait(job_id, { timeoutMs: 10_000 });
    for (const { job_id } of foreign) await eve.wait(job_id, { timeoutMs: 10_000 });
    const expected = [
      ...own.map(({ job_id }) => `ours acme ${job_id}`),
      ...foreign.map(({ job_id }) => `theirs other ${job_id}`),
    ];
    expect(ran.toSorted()).toEqual(expected.toSorted());
    expect(scene.core.parts.registry.alive(scene.clock.now())).toHaveLength(2);
  });

  it("finds what is configured in the job's env, as it stands when the job is handed over", async () => {
    const { url, ada, scene } = await open({ operatorTenant: "acme" });
    const set = async (scope: string, scopeId: string, data: object, key = "admin-key"): Promise<void> => {
      const body = { scope, scope_id: scopeId, data };
      expect((await scene.post(key, "/api/v1/config", body)).statusCode).toBe(204);
    };
    const reading = worker("job.echo", (_, { env }) => env.CORDUM_EFFECTIVE_CONFIG ?? "nothing");
    await serving(reading, (await connected(url)).connection);
    const seen = async (more: object = {}) => {
      const { job_id } = await ada.submit({ topic: "job.echo", prompt: "p", ...more });
      return (await ada.wait(job_id, { timeoutMs: 10_000 })).result;
    };
    expect(await seen()).toBe("nothing");
    await set("system", "default", { model: "small", pools: { p: {} } });
    await set("org", "acme", { b: "<b>", a: 1 });
    await set("org", "other", { a: "theirs" }, "other-admin-key");
    await set("team", "red", { a: 2 });
    expect(await seen()).toBe('{"a":1,"b":"\\u003cb\\u003e","model":"small"}');
    expect(await seen({ team_id: "red" })).toBe('{"a":2,"b":"\\u003cb\\u003e","model":"small"}');
    await set("org", "acme", {});
    expect(await seen()).toBe('{"model":"small"}');
  });

  it.each([
    ["viewer-key", "403"],
    ["submitter-key", "403"],
    ["approver-key", "403"],
    ["operator-key", "403"],
    ["nobody", "401"],
  ])("is refused with %s, and told why", async (key, status) => {
    const { url } = await open();
    await expect(connected(url, "w1", key)).rejects.toThrow(
      `the gateway cannot be used at ${new URL(url).host}: ${status}`,
    );
    await expect(connected(url, "w1", key)).rejects.not.toThrow(key);
  });

  it("is limited in what it stores, and says so to whoever waits", async () => {
    const { url, ada } = await open();
    const { connection } = await connected(url);
    const big = worker({ topic: "job.echo", run: () => "x".repeat(5_000_000) });
    const started = await big.start(connection, { workerId: "w1", log: notedLog(), resultBytesMax: 8_000_000 });
    stack.defer(() => started.drain());
    const { job_id } = await ada.submit({ topic: "job.echo", prompt: "p" });
    expect(await ada.wait(job_id, { timeoutMs: 10_000 })).toMatchObject({
      state: "FAILED",
      error_code: "RESULT_TOO_LARGE",
    });
  });

  it("that started under one id cannot serve under another", async () => {
    const { url } = await open();
    const { connection } = await connected(url, "w1");
    await expect(worker("job.echo", () => 1).start(connection, { workerId: "w2", log: notedLog() })).rejects.toThrow(
      "a worker listens on its own subjects",
    );
  });
});

describe("a connection that breaks", () => {
  async function behindProxy(
    url: string,
    more: object = {},
  ): Promise<{ proxy: CuttingProxy } & Awaited<ReturnType<typeof connected>>> {
    const proxy = stack.use(await cuttingProxy(Number(new URL(url).port)));
    return { proxy, ...(await connected(`http://127.0.0.1:${proxy.port}`, "w1", "worker-key", more)) };
  }

  it("costs no job and doubles none: what was handed over and not answered is handed over again, and runs once", async () => {
    const { url, ada } = await open();
    const { proxy, connection, log } = await behindProxy(url);
    let runs = 0;
    await serving(
      worker("job.echo", () => ++runs),
      connection,
    );
    // Lost with the connection: that the job was taken, its claim, its result.
    const cut = proxy.cutNextRequest();
    const { job_id } = await ada.submit({ topic: "job.echo", prompt: "p" });
    await cut;
    expect(await ada.wait(job_id, { timeoutMs: 15_000 })).toMatchObject({ state: "SUCCEEDED", attempts: 1, result: 1 });
    expect(runs).toBe(1);
    expect(log.events).toContain("gateway.reconnected");
  });

  it("is noticed by silence alone, and work goes on where it stood", async () => {
    const { url, ada } = await open();
    const { proxy, connection, log } = await behindProxy(url, { ioTimeoutMs: 1_000, connectTimeoutMs: 2_000 });
    const gate = Promise.withResolvers<string>();
    await serving(
      worker("job.echo", () => gate.promise),
      connection,
    );
    const { job_id } = await ada.submit({ topic: "job.echo", prompt: "p" });
    await expect.poll(async () => (await ada.get(job_id)).state).toBe("RUNNING");
    proxy.pause();
    gate.resolve("late");
    await expect.poll(() => log.events).toContain("gateway.disconnected");
    proxy.resume();
    expect(await ada.wait(job_id, { timeoutMs: 15_000 })).toMatchObject({ state: "SUCCEEDED", result: "late" });
  });

  it("is announced by a gateway that ends, which still takes results", async () => {
    const { url, ada, scene } = await open();
    const { connection, log } = await connected(url);
    const gate = Promise.withResolvers<string>();
    await serving(
      worker("job.echo", () => gate.promise),
      connection,
    );
    const { job_id } = await ada.submit({ topic: "job.echo", prompt: "p" });
    await expect.poll(async () => (await ada.get(job_id)).state).toBe("RUNNING");
    gate.resolve("done");
    await ada.wait(job_id, { timeoutMs: 10_000 });
    const landed = scene.gateway.stopAccepting(scene.clock.deadline(never, 10_000));
    await expect.poll(() => log.events).toContain("gateway.goodbye");
    await landed;
    expect(await scene.core.parts.bus.deliver("worker.acme.w1.jobs", new Uint8Array(1), never)).toBe("nobody");
  });
});

const never = new AbortController().signal;

interface Raw {
  readonly socket: WebSocket;
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  say(frame: WorkerFrame): void;
}

function raw(url: string, key = "worker-key"): Promise<Raw> {
  const socket = new WebSocket(`${url.replace("http", "ws")}/api/v1/workers/connect`, {
    headers: { "x-api-key": key },
  });
  stack.defer(() => socket.terminate());
  const closed = new Promise<{ code: number; reason: string }>((resolve) =>
    socket.on("close", (code, reason) => resolve({ code, reason: String(reason) })),
  );
  const say = (frame: WorkerFrame): void => socket.send(writeWorkerFrame(frame));
  return new Promise((resolve, reject) => {
    socket.on("open", () => resolve({ socket, closed, say }));
    socket.on("error", reject);
  });
}

const hello: WorkerFrame = { kind: "hello", workerId: "raw", version: WORKER_FRAMES_VERSION, window: 10 };

describe("hostile peers", () => {
  it("end with a code and a reason, whatever they send, and nobody else does", async () => {
    const { url, scene, ada } = await open();
    const { connection } = await connected(url);
    await serving(
      worker("job.echo", () => "still here"),
      connection,
    );
    const text = await raw(url);
    text.socket.send("hello");
    expect(await text.closed).toEqual({ code: SESSION_CLOSE.BAD_FRAME, reason: "frames are binary" });
    const large = await raw(url);
    large.say(hello);
    large.socket.send(new Uint8Array(5_000_000));
    expect((await large.closed).code).toBe(SESSION_CLOSE.TOO_LARGE);
    const early = await raw(url);
    early.say({ kind: "load", id: 1, key: "ctx:x" });
    expect(await early.closed).toEqual({ code: SESSION_CLOSE.BAD_HELLO, reason: "the first frame is a hello" });
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 200 }), async (bytes) => {
        const peer = await raw(url);
        peer.say(hello);
        peer.socket.send(bytes);
        // An unknown kind: whatever came before, the session is over.
        peer.socket.send(Uint8Array.from([99, 0, 0, 0, 0, 0, 0]));
        const { code, reason } = await peer.closed;
        expect([SESSION_CLOSE.BAD_FRAME, SESSION_CLOSE.BAD_HELLO, SESSION_CLOSE.REPLACED]).toContain(code);
        expect(reason).not.toBe("");
      }),
      { numRuns: 50 },
    );
    const { job_id } = await ada.submit({ topic: "job.echo", prompt: "p" });
    expect(await ada.wait(job_id, { timeoutMs: 10_000 })).toMatchObject({ result: "still here" });
    expect(await scene.meter.text()).toContain("cordum_gateway_worker_sessions");
  });

  it("that ask and read nothing cost bounded memory, and are answered once they read", async () => {
    const { url, scene, ada } = await open();
    const { payloads } = scene.core.parts;
    const get = payloads.get.bind(payloads);
    let loads = 0;
    payloads.get = (key, signal) => {
      loads++;
      return get(key, signal);
    };
    const peer = await raw(url);
    const counts = new Map<string, number>();
    const contexts: string[] = [];
    peer.socket.on("message", (data) => {
      const read = data instanceof Buffer ? readGatewayFrame(data) : undefined;
      if (read?.kind !== "frame") throw new Error("a gateway sends frames");
      const { frame } = read;
      counts.set(frame.kind, (counts.get(frame.kind) ?? 0) + 1);
      const payload = frame.kind === "deliver" ? decodePacket(frame.packet).payload : undefined;
      if (payload?.kind === "jobRequest") contexts.push(payload.value.contextPtr);
    });
    peer.say(hello);
    peer.say({ kind: "subscribe", id: 1, subject: "job.echo" });
    const said = (subject: string, id: number, payload: Init<BusPacketPayload>): WorkerFrame => {
      return { kind: "publish", id, subject, packet: encodePacket({ protocolVersion: 1, payload }) };
    };
    const announced = { componentId: "raw", role: 3, readyTopics: ["job.echo"] };
    peer.say(said(SUBJECTS.handshake, 2, { kind: "handshake", value: announced }));
    peer.say(said(SUBJECTS.heartbeat, 3, { kind: "heartbeat", value: { workerId: "raw", maxParallelJobs: 1 } }));
    await expect.poll(() => counts.get("done")).toBe(3);
    const { job_id } = await ada.submit({ topic: "job.echo", prompt: "p", context: "x".repeat(1_000_000) });
    await expect.poll(() => contexts).toHaveLength(1);
    const key = contexts[0]?.replace("redis://", "") ?? "";
    loads = 0;
    peer.socket.pause();
    for (let id = 100; id < 300; id++) peer.say({ kind: "load", id, key });
    await expect.poll(() => loads).toBeGreaterThan(1);
    for (let turn = 0; turn < 20; turn++) await ada.get(job_id).then(() => loads--); // reading a job loads its context, too
    expect(loads).toBeLessThan(40); // what the network holds, and two
    peer.socket.resume();
    await expect.poll(() => counts.get("done")).toBe(203);
  });

  it("lose their session by an operator's order, and come back with a key that counts alone", async () => {
    const { url, scene, ada } = await open();
    const made = await scene.post("admin-key", "/api/v1/keys", { name: "robot", roles: ["worker"] });
    const { id, secret } = made.json<{ readonly id: string; readonly secret: string }>();
    const peer = await raw(url, secret);
    peer.say(hello);
    const { connection, log } = await connected(url);
    await serving(
      worker("job.echo", () => "back"),
      connection,
    );
    const revoke = async (worker: string, key = "operator-key") =>
      (await scene.post(key, `/api/v1/workers/acme.${worker}/revoke-session`, { reason: "lost" })).json();
    expect(await revoke("w1")).toEqual({ worker_id: "acme.w1", tenant: "acme", revoked: true });
    await expect.poll(() => log.events).toContain("gateway.refused");
    const { job_id } = await ada.submit({ topic: "job.echo", prompt: "p" });
    expect(await ada.wait(job_id, { timeoutMs: 15_000 })).toMatchObject({ state: "SUCCEEDED", result: "back" });
    await scene.post("admin-key", `/api/v1/keys/${id}/revoke`, {});
    expect(await revoke("raw", "other-admin-key")).toMatchObject({ status: 404, code: "WORKER_NOT_FOUND" });
    expect(await revoke("raw")).toMatchObject({ revoked: true });
    expect(await peer.closed).toEqual({ code: SESSION_CLOSE.REVOKED, reason: "an operator has ended this session" });
    await expect(raw(url, secret)).rejects.toThrow("401");
  });

  it("lose their session with their key", async () => {
    const { url, scene } = await open({ held: { ...DEFAULT_HELD_SETTINGS, recheckMs: 50 } });
    const made = await scene.post("admin-key", "/api/v1/keys", { name: "robot", roles: ["worker"] });
    const { id, secret } = made.json<{ readonly id: string; readonly secret: string }>();
    const peer = await raw(url, secret);
    peer.say(hello);
    const revoked = await scene.post("admin-key", `/api/v1/keys/${id}/revoke`, {});
    expect(revoked.statusCode).toBe(200);
    expect(await peer.closed).toEqual({ code: SESSION_CLOSE.REVOKED, reason: "credential revoked" });
  });
});
