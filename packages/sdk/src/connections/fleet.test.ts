import { JobStatus } from "@cordum/protocol";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Fleet, notedLog, startFleet } from "../testing/fleet.ts";
import { heldWorker, obedient } from "../testing/held-worker.ts";
import { worker } from "../worker/definition.ts";
import { serve } from "../worker/serve.ts";
import { connect } from "./connect.ts";

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet();
});
afterAll(() => fleet[Symbol.asyncDispose]());

let serial = 0;
/** Names of this test's own: all tests share one NATS. */
function names() {
  serial++;
  return {
    topic: `job.test.t${serial}`,
    workerId: `w${serial}`,
    log: notedLog(),
    id: (n: number) => `j${serial}-${n}`,
  };
}

const of = (jobId: string) => (payload: { readonly jobId: string }) => payload.jobId === jobId;

describe("a worker over NATS and Redis", () => {
  it("takes a job from its context to its stored result", async () => {
    const { topic, workerId, log, id } = names();
    const { control, url } = fleet;
    const echo = worker({ topic, pool: "blue", resultTtlMs: 60_000, run: (input) => ({ got: input }) });
    await using _serving = await echo.start(url, { workerId, log });
    expect((await control.heard("handshake", 1, ({ componentId }) => componentId === workerId))[0]).toMatchObject({
      readyTopics: [topic],
    });
    expect((await control.heard("heartbeat", 1, (beat) => beat.workerId === workerId))[0]).toMatchObject({
      pool: "blue",
    });
    await control.dispatch(
      { jobId: id(1), topic, dispatch: { dispatchId: "d1", attempt: 2 } },
      { context: { to: "ada" } },
    );
    const [result] = await control.heard("jobResult", 1, of(id(1)));
    expect(result).toMatchObject({
      status: JobStatus.SUCCEEDED,
      workerId,
      resultPtr: `redis://res:${id(1)}`,
      dispatch: { dispatchId: "d1" },
    });
    expect(control.all("jobProgress").filter(of(id(1)))).toHaveLength(0);
    expect(await control.stored(id(1))).toEqual({ got: { to: "ada" } });
    const leftMs = await control.redis.pttl(`res:${id(1)}`);
    expect(leftMs).toBeGreaterThan(50_000);
    expect(leftMs).toBeLessThanOrEqual(60_000);
  });

  it("tells an empty context from one that is gone", async () => {
    const { topic, workerId, log, id } = names();
    const { control, url } = fleet;
    await using _serving = await worker(topic, () => 1).start(url, { workerId, log });
    await control.dispatch({ jobId: id(1), topic, contextPtr: "redis://ctx:nowhere" });
    await control.redis.set("ctx:empty", "");
    await control.dispatch({ jobId: id(2), topic, contextPtr: "redis://ctx:empty" });
    expect(await control.heard("jobResult", 1, of(id(1)))).toMatchObject([{ errorCode: "CONTEXT_NOT_FOUND" }]);
    expect(await control.heard("jobResult", 1, of(id(2)))).toMatchObject([{ errorCode: "INVALID_INPUT" }]);
  });

  it("reads no more than it is allowed to, whatever lies in Redis", async () => {
    const { topic, workerId, log, id } = names();
    const { control, nats, redis } = fleet;
    const connection = await connect({ nats: nats.url, redis: redis.url }, { payloadBytesMax: 64, log });
    const big = worker(topic, () => "x".repeat(100));
    await using _serving = await big.start(connection, { workerId, log });
    await control.dispatch({ jobId: id(1), topic }, { context: "y".repeat(100) });
    await control.dispatch({ jobId: id(2), topic });
    expect(await control.heard("jobResult", 1, of(id(1)))).toMatchObject([
      { errorCode: "CONTEXT_TOO_LARGE", status: JobStatus.FAILED },
    ]);
    expect(await control.heard("jobResult", 1, of(id(2)))).toMatchObject([
      { errorCode: "RESULT_TOO_LARGE", status: JobStatus.FAILED },
    ]);
    expect(await control.stored(id(2))).toBeUndefined();
    await _serving.drain();
    await connection.close();
  });

  it("honours the cancel broadcast, and the cancel for it alone", async () => {
    const { topic, workerId, log, id } = names();
    const { control, url } = fleet;
    const deaf = worker({
      topic,
      concurrency: 2,
      run: (_input, context) => obedient.invoke({ raw: 0, candidates: [0] }, context),
    });
    await using _serving = await deaf.start(url, { workerId, log });
    for (const n of [1, 2]) await control.dispatch({ jobId: id(n), topic });
    await control.heard("jobProgress", 2, ({ jobId }) => jobId === id(1) || jobId === id(2));
    await control.cancel(id(1));
    expect(await control.heard("jobResult", 1, of(id(1)))).toMatchObject([{ status: JobStatus.CANCELLED }]);
    await control.cancel(id(2), { on: `worker.${workerId}.cancel` });
    expect(await control.heard("jobResult", 1, of(id(2)))).toMatchObject([{ status: JobStatus.CANCELLED }]);
  });

  it("answers a doubled delivery from memory", async () => {
    const { topic, workerId, log, id } = names();
    const { control, url } = fleet;
    let runs = 0;
    await using _serving = await worker(topic, () => ++runs).start(url, { workerId, log });
    const dispatch = { dispatchId: "d1", attempt: 1 };
    await control.dispatch({ jobId: id(1), topic, dispatch });
    const [first] = await control.heard("jobResult", 1, of(id(1)));
    await control.dispatch({ jobId: id(1), topic, dispatch });
    await control.dispatch({ jobId: id(1), topic, dispatch }, { on: `worker.${workerId}.jobs` });
    const results = await control.heard("jobResult", 3, of(id(1)));
    expect(results).toEqual([first, first, first]);
    expect(runs).toBe(1);
  });

  it("runs a job once that comes directly and by its topic", async () => {
    const { topic, workerId, log, id } = names();
    const { control, url } = fleet;
    const held = heldWorker(10, topic);
    await using _serving = await held.definition.start(url, { workerId, log });
    for (let n = 0; n < 5; n++) {
      await control.dispatch({ jobId: id(n), topic }, { on: `worker.${workerId}.jobs` });
      await control.dispatch({ jobId: id(n), topic });
    }
    await held.begun(5);
    for (let n = 0; n < 5; n++) held.end(id(n));
    await Promise.all([0, 1, 2, 3, 4].map((n) => control.heard("jobResult", 1, of(id(n)))));
    expect([...held.started].sort()).toEqual([0, 1, 2, 3, 4].map(id));
  });

  it("shares a topic within a group, and a worker's own subject with nobody", async () => {
    const { topic, workerId, log, id } = names();
    const { control, url } = fleet;
    const ran: string[] = [];
    const start = (own: string) =>
      worker({ topic, concurrency: 50, run: (_input, { jobId }) => void ran.push(`${own} ${jobId}`) }).start(url, {
        workerId: own,
        log,
      });
    await using _a = await start(`${workerId}a`);
    await using _b = await start(`${workerId}b`);
    for (let n = 0; n < 40; n++) await control.dispatch({ jobId: id(n), topic });
    for (let n = 40; n < 50; n++) await control.dispatch({ jobId: id(n), topic }, { on: `worker.${workerId}b.jobs` });
    await control.heard("jobResult", 50, ({ jobId }) => jobId.startsWith(id(0).slice(0, -1)));
    expect(ran.map((line) => line.split(" ")[1]).sort()).toEqual(Array.from({ length: 50 }, (_, n) => id(n)).sort());
    const [byA, byB] = ["a", "b"].map((own) => ran.filter((line) => line.startsWith(`${workerId}${own} `)).length);
    expect(byA).toBeGreaterThan(0);
    expect(byB).toBeGreaterThan(10);
    for (let n = 40; n < 50; n++) expect(ran).toContain(`${workerId}b ${id(n)}`);
  });

  it("drains: takes no more, ends what it has, says so, and closes what it opened", async () => {
    const { topic, workerId, log, id } = names();
    const { control, url } = fleet;
    const held = heldWorker(1, topic);
    const serving = await serve([held.definition], { url, workerId, log });
    await control.dispatch({ jobId: id(1), topic });
    await held.begun(1);
    const drained = serving.drain();
    await control.heard("heartbeat", 1, (beat) => beat.workerId === workerId && beat.labels.draining === "true");
    await control.dispatch({ jobId: id(2), topic });
    held.end(id(1));
    await drained;
    await control.heard("jobResult", 1, of(id(1)));
    expect(held.started).toEqual([id(1)]);
    expect(await clientsNamed(workerId)).toBe(0);
  });

  it("leaves a connection open that it was given, under the name it was given", async () => {
    const { topic, workerId, log } = names();
    const connection = await connect(fleet.url, { name: workerId, log });
    const serving = await worker(topic, () => 1).start(connection, { workerId, log });
    await serving.drain();
    expect(await clientsNamed(workerId)).toBe(1);
    await connection.close();
    await connection.close();
    expect(await clientsNamed(workerId)).toBe(0);
    await expect(connection.publish("sys.job.result", new Uint8Array(1))).rejects.toThrow("closed");
    await expect(connection.loadPayload("ctx:1")).rejects.toThrow("closed");
  });

  it("leaves nothing open when the start fails", async () => {
    const { topic, workerId, log } = names();
    const wrong = { nats: "nats://127.0.0.1:1", redis: fleet.redis.url };
    await expect(serve([worker(topic, () => 1)], { url: wrong, workerId, log })).rejects.toThrow(
      "NATS cannot be reached at 127.0.0.1:1",
    );
    expect(await clientsNamed(workerId)).toBe(0);
  });
});

/** Redis names its clients as NATS does; it lists them without a monitoring port. */
async function clientsNamed(name: string): Promise<number> {
  const list = String(await fleet.control.redis.client("LIST"));
  return list.split("\n").filter((line) => line.includes(` name=${name} `)).length;
}
