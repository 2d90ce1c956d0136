// The servers go away in the middle of jobs, and come back.

import { JobStatus } from "@cordum/protocol";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type CuttingProxy, cuttingProxy } from "../../../control-plane/src/testing/cutting-proxy.ts";
import { systemRuntime } from "../runtime.ts";
import { TOPIC } from "../testing/control-side.ts";
import { type Fleet, type NotedLog, notedLog, startFleet } from "../testing/fleet.ts";
import { heldWorker } from "../testing/held-worker.ts";
import { worker } from "../worker/definition.ts";
import { connect } from "./connect.ts";

let fleet: Fleet;
let toNats: CuttingProxy;
let toRedis: CuttingProxy;
let log: NotedLog;
let url = "";
beforeAll(async () => {
  fleet = await startFleet();
  toNats = await cuttingProxy(fleet.nats.port);
  toRedis = await cuttingProxy(fleet.redis.port);
  url = `nats://127.0.0.1:${toNats.port},redis://127.0.0.1:${toRedis.port}`;
});
beforeEach(() => {
  log = notedLog();
});
afterAll(async () => {
  await toNats.close();
  await toRedis.close();
  await fleet[Symbol.asyncDispose]();
});

describe("NATS goes away", () => {
  it("keeps results while the server is down, and sends each once when it is back", async () => {
    const { control, nats } = fleet;
    const held = heldWorker(20);
    await using _serving = await held.definition.start(url, { workerId: "n1", log });
    const ids = Array.from({ length: 20 }, (_, n) => `n1-${n}`);
    for (const jobId of ids) await control.dispatch({ jobId });
    await held.begun(20);

    // The worker comes back after the control plane's side: plain NATS keeps nothing for who is not there.
    toNats.refuse();
    await nats.kill();
    await log.noted("nats.disconnected");
    for (const jobId of ids.slice(0, 15)) held.end(jobId);
    const isBack = control.reconnected();
    await nats.restart();
    await isBack;
    toNats.accept();

    const kept = await control.heard("jobResult", 15);
    expect(kept.map(({ jobId }) => jobId).sort()).toEqual(ids.slice(0, 15).sort());
    for (const jobId of ids.slice(15)) held.end(jobId);
    await control.heard("jobResult", 20);
    // Whatever would come twice has come when a later packet is there.
    await control.dispatch({ jobId: "n1-last" });
    await held.begun(21);
    held.end("n1-last");
    await control.heard("jobResult", 1, ({ jobId }) => jobId === "n1-last");
    expect(
      control
        .all("jobResult")
        .map(({ jobId }) => jobId)
        .filter((jobId) => jobId !== "n1-last")
        .sort(),
    ).toEqual([...ids].sort());
    expect(control.all("jobResult").every(({ status }) => status === JobStatus.SUCCEEDED)).toBe(true);
  });

  it("says at once that it is back, and listens again", async () => {
    const { control } = fleet;
    await using _serving = await worker(TOPIC, () => 1).start(url, {
      workerId: "n2",
      log,
      heartbeatIntervalMs: 600_000,
    });
    const own = (kind: "heartbeat" | "handshake") =>
      control.packets(kind).filter(({ senderId }) => senderId === "n2").length;
    await control.heard("heartbeat", 1, ({ workerId }) => workerId === "n2");
    expect([own("handshake"), own("heartbeat")]).toEqual([1, 1]);
    toNats.refuse();
    await log.noted("nats.disconnected");
    toNats.accept();
    await control.heard("heartbeat", 2, ({ workerId }) => workerId === "n2");
    expect([own("handshake"), own("heartbeat")]).toEqual([2, 2]);
    await control.dispatch({ jobId: "n2-1" });
    await control.dispatch({ jobId: "n2-2" }, { on: "worker.n2.jobs" });
    await control.heard("jobResult", 2, ({ jobId }) => jobId.startsWith("n2-"));
  });

  it("sends what the server did not confirm once more", async () => {
    const { control, redis } = fleet;
    const connection = await connect({ nats: `nats://127.0.0.1:${toNats.port}`, redis: redis.url }, { log });
    const heard = Promise.withResolvers<void>();
    const subscription = control.nats.subscribe("test.kept", { callback: () => heard.resolve() });
    await control.nats.flush();
    const isCut = toNats.cutNextRequest();
    const sent = connection.publish("test.kept", Buffer.from("once"));
    const again = connection.publish("test.kept", Buffer.from("other"));
    await isCut;
    await Promise.all([sent, again, heard.promise]);
    await control.nats.flush();
    expect(subscription.getReceived()).toBe(2);
    await connection.close();
  });

  it("refuses heartbeats meanwhile, and ends in time although the server is away", async () => {
    const hasty = {
      ...systemRuntime,
      sleep: (ms: number, signal: AbortSignal) => systemRuntime.sleep(ms / 50, signal),
    };
    const connection = await connect(url, { log, runtime: hasty });
    const subscription = await connection.subscribe("test.end", undefined, () => undefined);
    toNats.refuse();
    await log.noted("nats.disconnected");
    await expect(connection.publish("sys.heartbeat", new Uint8Array(1))).rejects.toThrow("no connection");
    await subscription.close();
    const lost = connection.publish("sys.job.result", new Uint8Array(1));
    const isLost = expect(lost).rejects.toThrow("closed");
    await connection.close();
    await isLost;
    expect(log.events).toContain("nats.packets_lost");
    toNats.accept();
  });

  it("gives a server up that says nothing, and sends again what it had not confirmed", async () => {
    const { control } = fleet;
    const connection = await connect(url, { ioTimeoutMs: 1_000, log });
    const held = heldWorker();
    const serving = await held.definition.start(connection, { workerId: "n5", log });
    await control.dispatch({ jobId: "n5-1" });
    await held.begun(1);
    toNats.pause();
    held.end("n5-1");
    await log.noted("nats.silent");
    toNats.resume();
    await control.heard("jobResult", 1, ({ jobId }) => jobId === "n5-1");
    await serving.drain();
    await connection.close();
  });
});

describe("Redis goes away", () => {
  it("waits for it within the deadline: no job notices two seconds", async () => {
    const { control } = fleet;
    const held = heldWorker(10);
    await using _serving = await held.definition.start(url, { workerId: "r1", log });
    const ids = Array.from({ length: 10 }, (_, n) => `r1-${n}`);
    for (const jobId of ids.slice(0, 5)) await control.dispatch({ jobId }, { context: { n: 1 } });
    await held.begun(5);
    toRedis.refuse();
    await log.noted("redis.connection_lost");
    // Five want to store their result, five to load their context.
    for (const jobId of ids.slice(0, 5)) held.end(jobId);
    for (const jobId of ids.slice(5)) await control.dispatch({ jobId }, { context: { n: 2 } });
    const twoSeconds = Promise.withResolvers<void>();
    AbortSignal.timeout(2_000).addEventListener("abort", () => twoSeconds.resolve());
    await twoSeconds.promise;
    expect(control.all("jobResult").filter(({ jobId }) => jobId.startsWith("r1-"))).toEqual([]);
    toRedis.accept();
    await log.noted("redis.reconnected");
    await held.begun(10);
    for (const jobId of ids.slice(5)) held.end(jobId);
    const results = await control.heard("jobResult", 10, ({ jobId }) => jobId.startsWith("r1-"));
    expect(results.map(({ status }) => status)).toEqual(Array(10).fill(JobStatus.SUCCEEDED));
    expect(await control.stored("r1-7")).toBe("r1-7");
  });

  it("gives the job back as retryable when it stays away, and stores nothing later", async () => {
    const { control } = fleet;
    const connection = await connect(url, { ioTimeoutMs: 1_000, log });
    const held = heldWorker(2);
    const serving = await held.definition.start(connection, { workerId: "r2", log });
    await control.dispatch({ jobId: "r2-1" });
    await held.begun(1);
    toRedis.refuse();
    await log.noted("redis.connection_lost");
    held.end("r2-1");
    await control.dispatch({ jobId: "r2-2" }, { context: 1 });
    const results = await control.heard("jobResult", 2, ({ jobId }) => jobId.startsWith("r2-"));
    expect(results.map(({ jobId, errorCode, status }) => [jobId, errorCode, status]).sort()).toEqual([
      ["r2-1", "RESULT_NOT_STORED", JobStatus.FAILED_RETRYABLE],
      ["r2-2", "CONTEXT_UNAVAILABLE", JobStatus.FAILED_RETRYABLE],
    ]);
    toRedis.accept();
    await log.noted("redis.reconnected");
    await connection.storePayload("ctx:r2-after", Buffer.from("1"), 1_000);
    expect(await control.stored("r2-1")).toBeUndefined();
    await serving.drain();
    await connection.close();
  });

  it("notices a server that takes commands and says nothing", async () => {
    const connection = await connect(url, { ioTimeoutMs: 1_000, log });
    toRedis.pause();
    const loading = connection.loadPayload("ctx:silent");
    await log.noted("redis.connection_lost");
    toRedis.resume();
    await expect(loading).resolves.toBeUndefined();
    await connection.close();
  });
});
