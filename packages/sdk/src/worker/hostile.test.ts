import { JobStatus } from "@cordum/protocol";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { settle } from "../testing/manual-runtime.ts";
import { packet, putContext, startTown, TOPIC } from "../testing/worker-town.ts";
import { worker } from "./definition.ts";

const Mail = z.object({ to: z.string(), count: z.coerce.number().default(1) });
const mail = worker({
  topic: TOPIC,
  input: Mail,
  output: z.object({ id: z.string().trim() }),
  run: (input) => ({ id: ` ${input.to}-${input.count} ` }),
});
const echo = worker(TOPIC, (input) => input);

/** A blob as a submit over REST writes it. */
const submitted = (context: unknown) => ({
  prompt: "send it",
  adapter_id: "",
  priority: "",
  topic: TOPIC,
  created_at: "2026-01-01T00:00:00Z",
  tenant_id: "acme",
  context,
});

describe("worker: input", () => {
  it("takes the context of a submitted blob, and all of any other blob", async () => {
    const town = await startTown([echo]);
    town.send({ jobId: "rest" }, { context: submitted({ to: "ada" }) });
    town.send(
      { jobId: "bare" },
      { context: { prompt: "no context", topic: TOPIC, created_at: "2026-01-01T00:00:00Z" } },
    );
    town.send({ jobId: "step" }, { context: { context: "of a step", question: "why" } });
    town.send({ jobId: "list" }, { context: [1, 2] });
    await town.bus.first("jobResult", ({ jobId }) => jobId === "list");
    expect(town.stored("rest")).toEqual({ to: "ada" });
    expect(town.stored("bare")).toMatchObject({ prompt: "no context" });
    expect(town.stored("step")).toEqual({ context: "of a step", question: "why" });
    expect(town.stored("list")).toEqual([1, 2]);
  });

  it("validates, transforms and hands over what fits first; the output goes through its schema too", async () => {
    const town = await startTown([mail]);
    town.send({ jobId: "rest" }, { context: submitted({ to: "ada", count: "3" }) });
    town.send({ jobId: "step" }, { context: { to: "bob" } });
    town.send({ jobId: "flat" }, { context: { ...submitted({ unrelated: true }), to: "cy" } });
    await town.bus.first("jobResult", ({ jobId }) => jobId === "flat");
    expect([town.stored("rest"), town.stored("step"), town.stored("flat")]).toEqual([
      { id: "ada-3" },
      { id: "bob-1" },
      { id: "cy-1" },
    ]);
  });

  it("fails a job whose input does not fit with code 203 and the path of the mistake", async () => {
    const town = await startTown([mail]);
    town.send({ jobId: "j1" }, { context: submitted({ to: 7 }) });
    const result = await town.bus.first("jobResult");
    expect(result).toMatchObject({ status: JobStatus.FAILED, errorCode: "INVALID_INPUT", errorCodeEnum: 203 });
    expect(result.errorMessage).toMatch(/^input does not fit: to: /);
  });

  it("fails a job whose output does not fit, and storing nothing of it", async () => {
    const town = await startTown([
      worker({ topic: TOPIC, output: z.object({ id: z.string().min(3) }), run: () => ({ id: "x" }) }),
    ]);
    town.send({ jobId: "j1" });
    expect(await town.bus.first("jobResult")).toMatchObject({
      status: JobStatus.FAILED,
      errorCode: "INVALID_OUTPUT",
      errorCodeEnum: 1001,
    });
    expect(town.stored("j1")).toBeUndefined();
  });

  it("fails a job whose schema throws", async () => {
    const input = z.string().transform((): string => {
      throw new Error("schema bug");
    });
    const town = await startTown([worker({ topic: TOPIC, input, run: () => 1 })]);
    town.send({ jobId: "j1" }, { context: '"text"' });
    expect(await town.bus.first("jobResult")).toMatchObject({
      errorCode: "INVALID_INPUT",
      errorMessage: expect.stringContaining("schema bug"),
    });
  });

  it("gives a job without context an undefined input, which a schema may refuse", async () => {
    const town = await startTown([worker({ topic: TOPIC, run: (input) => ({ isAbsent: input === undefined }) })]);
    town.send({ jobId: "j1" });
    await town.bus.first("jobResult");
    expect(town.stored("j1")).toEqual({ isAbsent: true });
    const strict = await startTown([mail]);
    strict.send({ jobId: "j1" });
    expect(await strict.bus.first("jobResult")).toMatchObject({ errorCode: "INVALID_INPUT" });
  });

  it("reads a pointer in its old slash form", async () => {
    const town = await startTown([echo]);
    putContext(town.bus, "j1", { a: 1 });
    town.send({ jobId: "j1", contextPtr: "redis://ctx/j1" });
    await town.bus.first("jobResult");
    expect(town.stored("j1")).toEqual({ a: 1 });
  });
});

describe("worker: hostile contexts", () => {
  const answers = async (job: { readonly contextPtr?: string }, context?: unknown) => {
    const town = await startTown([echo], { inputBytesMax: 1_000 });
    town.send({ jobId: "j1", ...job }, context === undefined ? {} : { context });
    return town.bus.first("jobResult");
  };

  it.each(['{"__proto__":{"isAdmin":true}}', '{"a":[{"b":{"\\u005f_proto__":1}}]}', '{"context":{"__proto__":null}}'])(
    "refuses %s",
    async (text) => {
      expect(await answers({}, text)).toMatchObject({
        status: JobStatus.FAILED,
        errorCode: "INVALID_INPUT",
        errorMessage: "the context holds a member __proto__",
      });
      expect(Object.hasOwn(Object.prototype, "isAdmin")).toBe(false);
    },
  );

  it("does not take a text for a member", async () => {
    expect(await answers({}, { about: "__proto__ and \u0001" })).toMatchObject({ status: JobStatus.SUCCEEDED });
  });

  it.each(["", "{", "undefined", `${"[".repeat(500)}`, '{"secret":"hunter2"'])(
    "refuses the context %j without quoting it",
    async (text) => {
      const result = await answers({}, text);
      expect(result).toMatchObject({
        status: JobStatus.FAILED,
        errorCode: "INVALID_INPUT",
        errorMessage: "the context is not JSON",
      });
    },
  );

  it("survives depth", async () => {
    const town = await startTown([echo]);
    town.send({ jobId: "j1" }, { context: `${"[".repeat(200_000)}${"]".repeat(200_000)}` });
    expect(await town.bus.first("jobResult")).toMatchObject({ jobId: "j1" });
    town.send({ jobId: "j2" }, { context: { fine: true } });
    expect(await town.bus.first("jobResult", ({ jobId }) => jobId === "j2")).toMatchObject({
      status: JobStatus.SUCCEEDED,
    });
  });

  it("refuses invalid UTF-8", async () => {
    const town = await startTown([echo]);
    town.bus.payloads.set("ctx:j1", { bytes: Uint8Array.of(0x22, 0xff, 0x22), ttlMs: 1 });
    town.send({ jobId: "j1", contextPtr: "redis://ctx:j1" });
    expect(await town.bus.first("jobResult")).toMatchObject({ errorCode: "INVALID_INPUT" });
  });

  it("says what is wrong with a context that is gone, too large or behind a foreign pointer", async () => {
    expect(await answers({ contextPtr: "redis://ctx:gone" })).toMatchObject({
      status: JobStatus.FAILED,
      errorCode: "CONTEXT_NOT_FOUND",
      errorCodeEnum: 204,
    });
    expect(await answers({}, "x".repeat(1_001))).toMatchObject({
      status: JobStatus.FAILED,
      errorCode: "CONTEXT_TOO_LARGE",
      errorCodeEnum: 201,
    });
    for (const contextPtr of ["file:///etc/passwd", "https://evil/", "redis://", "REDIS://ctx:j1"]) {
      expect(await answers({ contextPtr })).toMatchObject({
        status: JobStatus.FAILED,
        errorCode: "INVALID_POINTER",
        errorCodeEnum: 203,
      });
    }
  });

  it.each([
    "{",
    "[]",
    '{"budgets":7}',
    '{"budgets":{"maxRuntimeMs":"many"}}',
    '{"toolchain":{"allowedTools":[1]}}',
    '{"budgets":{"maxRetries":-1}}',
  ])("does not run a job under constraints that it cannot read: %s", async (text) => {
    let calls = 0;
    const town = await startTown([worker(TOPIC, () => void calls++)]);
    town.send({ jobId: "j1", env: { CORDUM_POLICY_CONSTRAINTS: text } });
    expect(await town.bus.first("jobResult")).toMatchObject({ status: JobStatus.FAILED, errorCode: "INVALID_INPUT" });
    expect(calls).toBe(0);
  });
});

describe("worker: hostile packets", () => {
  const request = { jobId: "j1", topic: TOPIC };
  it.each([
    ["no bytes", new Uint8Array(0)],
    ["noise", Uint8Array.from({ length: 300 }, (_zero, n) => (n * 37) % 256)],
    ["a cut packet", packet({ kind: "jobRequest", value: request }).subarray(0, 12)],
    ["a huge packet", new Uint8Array(300_000)],
    ["another payload", packet({ kind: "jobCancel", value: { jobId: "j1" } })],
    ["no job id", packet({ kind: "jobRequest", value: { topic: TOPIC } })],
    ["a job id with a line break", packet({ kind: "jobRequest", value: { ...request, jobId: "j1\nj2" } })],
    ["a job id without end", packet({ kind: "jobRequest", value: { ...request, jobId: "j".repeat(600) } })],
    ["another protocol", packet({ kind: "jobRequest", value: request }, 2)],
  ])("refuses %s and goes on", async (_name, bytes) => {
    const town = await startTown([echo]);
    for (const subject of [TOPIC, "worker.w1.jobs", "sys.job.cancel"]) town.bus.deliver(subject, bytes);
    await settle();
    const refusals = town.logged.filter(({ event }) => event === "packet.refused");
    expect(refusals.length).toBeGreaterThanOrEqual(2);
    expect(town.bus.all("jobResult")).toEqual([]);
    town.send({ jobId: "after" });
    expect(await town.bus.first("jobResult")).toMatchObject({ jobId: "after", status: JobStatus.SUCCEEDED });
  });

  it("does not run a job of another topic, whichever way it comes", async () => {
    const calls: string[] = [];
    const town = await startTown([
      worker(TOPIC, () => void calls.push("echo")),
      worker("job.test.pay", () => void calls.push("pay")),
    ]);
    town.send({ jobId: "a", topic: "job.test.unknown" }, { on: "worker.w1.jobs" });
    town.send({ jobId: "b", topic: "job.test.pay" }, { on: TOPIC });
    town.send({ jobId: "c", topic: "" }, { on: TOPIC });
    await settle();
    expect(calls).toEqual([]);
    expect(
      town.bus
        .all("jobResult")
        .map(({ jobId, status, errorCode, errorCodeEnum }) => ({ jobId, status, errorCode, errorCodeEnum })),
    ).toEqual(
      ["a", "b", "c"].map((jobId) => ({
        jobId,
        status: JobStatus.FAILED,
        errorCode: "TOPIC_NOT_SERVED",
        errorCodeEnum: 204,
      })),
    );
  });

  it("treats __proto__ and constructor as names like any other", async () => {
    const town = await startTown([
      worker(TOPIC, (_input, { env, labels }) => ({ env: { ...env }.constructor, label: labels.toString })),
    ]);
    town.send({ jobId: "__proto__", env: JSON.parse('{"__proto__":"x","constructor":"y"}') });
    expect(await town.bus.first("jobResult")).toMatchObject({ jobId: "__proto__", status: JobStatus.SUCCEEDED });
    expect(town.stored("__proto__")).toEqual({ env: "y" });
  });

  it("takes a packet without version, trace and time, as old senders write it", async () => {
    const town = await startTown([echo]);
    town.bus.deliver(TOPIC, packet({ kind: "jobRequest", value: request }, 0));
    expect(await town.bus.first("jobResult")).toMatchObject({ status: JobStatus.SUCCEEDED });
  });
});

describe("worker: definitions", () => {
  it.each(["", "mail", "job.", "job.a b", "job.*", "job.>", "job..a", `job.${"a".repeat(300)}`])(
    "refuses the topic %j",
    (topic) => {
      expect(() => worker(topic, () => 1)).toThrow(TypeError);
    },
  );

  it("refuses options that cannot be right", async () => {
    expect(() => worker({ topic: TOPIC, concurrency: 0, run: () => 1 })).toThrow("concurrency");
    expect(() => worker({ topic: TOPIC, concurrency: 1.5, run: () => 1 })).toThrow("concurrency");
    for (const workerId of ["", "a.b", "a*", "a b", "x".repeat(65)])
      await expect(startTown([echo], { workerId })).rejects.toThrow("workerId");
    await expect(startTown([echo], { heartbeatIntervalMs: 0 })).rejects.toThrow("heartbeatIntervalMs");
    await expect(startTown([])).rejects.toThrow("nothing to serve");
    await expect(startTown([echo, worker(TOPIC, () => 1)])).rejects.toThrow("same topic");
    const blue = worker({ topic: "job.a", pool: "blue", run: () => 1 });
    const red = worker({ topic: "job.b", pool: "red", run: () => 1 });
    await expect(startTown([blue, red])).rejects.toThrow("disagree about pool: blue, red");
    expect((await startTown([blue, red], { pool: "green" })).bus.all("heartbeat")[0]?.pool).toBe("green");
  });
});
