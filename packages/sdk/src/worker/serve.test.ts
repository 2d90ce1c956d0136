import { ComponentRole, epochMsOf, JobStatus } from "@cordum/protocol";
import { describe, expect, it } from "vitest";
import manifest from "../../package.json" with { type: "json" };
import { heldWorker } from "../testing/held-worker.ts";
import { NEW_YEAR_MS, settle } from "../testing/manual-runtime.ts";
import { MemoryConnection } from "../testing/memory-connection.ts";
import { gate, startTown, TOPIC, TRACE } from "../testing/worker-town.ts";
import { worker } from "./definition.ts";
import { JobError, RetryableError } from "./failure.ts";

const echo = worker(TOPIC, (input) => ({ got: input }));

describe("worker: start", () => {
  it("listens first, then shakes hands and sends its first heartbeat at once", async () => {
    const order: string[] = [];
    const town = await startTown(
      [echo, worker("job.test.other", () => undefined)],
      { pool: "blue", capabilities: ["gpu"], labels: { zone: "a" } },
      {
        prepare: (bus) => {
          bus.before = (operation, name) => void order.push(`${operation} ${name}`);
        },
      },
    );
    expect(order).toEqual([
      "subscribe sys.job.cancel",
      "subscribe worker.w1.cancel",
      "subscribe worker.w1.jobs",
      `subscribe ${TOPIC}`,
      "subscribe job.test.other",
      "publish sys.handshake",
      "publish sys.heartbeat",
    ]);
    const groups = [...town.bus.subscribers].map(({ subject, group }) => [subject, group]);
    expect(groups.slice(0, 3)).toEqual([
      ["sys.job.cancel", undefined],
      ["worker.w1.cancel", undefined],
      ["worker.w1.jobs", "worker.w1.jobs"],
    ]);
    expect(groups.slice(3).every(([subject, group]) => subject === group)).toBe(true);
    const [handshake] = town.bus.all("handshake");
    expect(handshake).toMatchObject({
      componentId: "w1",
      role: ComponentRole.WORKER,
      supportedVersions: [1],
      readyTopics: [TOPIC, "job.test.other"],
    });
    expect(handshake?.capabilities).toMatchObject({ progress: true, cancel: true, gpu: true });
    expect(handshake?.capabilities.signatures).toBeUndefined();
    expect(handshake?.sdkVersion).toBe(`cordum-sdk-ts/${manifest.version}`);
    expect(town.bus.all("heartbeat")[0]).toMatchObject({
      workerId: "w1",
      pool: "blue",
      capabilities: ["gpu"],
      activeJobs: 0,
      maxParallelJobs: 2,
    });
    expect(town.bus.all("heartbeat")[0]?.labels).toEqual({
      zone: "a",
      "cordum.instance": expect.stringMatching(/^\S+$/),
    });
  });

  it("sends every packet as itself, with version and time", async () => {
    const town = await startTown([echo]);
    town.send({ jobId: "j1" });
    await town.bus.first("jobResult");
    for (const { packet } of town.bus.sent) {
      expect(packet).toMatchObject({ senderId: "w1", protocolVersion: 1 });
      expect(packet.createdAt && epochMsOf(packet.createdAt)).toBe(NEW_YEAR_MS);
    }
  });

  it("beats on, shakes hands again, and tries a lost heartbeat once more", async () => {
    const town = await startTown([echo], { heartbeatIntervalMs: 5_000 });
    await town.clock.advance(30_000);
    expect(town.bus.all("heartbeat")).toHaveLength(7);
    expect(town.bus.all("handshake")).toHaveLength(2);
    let failures = 0;
    town.bus.before = (operation) => {
      if (operation === "publish" && failures++ === 0) throw new Error("connection lost");
    };
    await town.clock.advance(5_500);
    expect(town.bus.all("heartbeat")).toHaveLength(8);
  });

  it("leaves nothing behind when it cannot subscribe", async () => {
    const bus = new MemoryConnection();
    bus.before = (_operation, name) => {
      if (name === TOPIC) throw new Error("not allowed");
    };
    await expect(echo.start(bus, { workerId: "w1" })).rejects.toThrow("not allowed");
    expect(bus.subscribers.size).toBe(0);
    expect(bus.sent).toEqual([]);
  });

  it("makes an id of its own that fits into a subject", async () => {
    const town = await startTown([echo], {}, { ownId: true });
    expect(town.serving.workerId).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
    const other = await startTown([echo], {}, { ownId: true });
    expect(other.serving.workerId).not.toBe(town.serving.workerId);
  });
});

describe("worker: a job", () => {
  it("stores its result for more than the day that a control plane wants", async () => {
    const town = await startTown([echo]);
    town.send({ jobId: "j1" }, { context: { to: "ada" } });
    await town.bus.first("jobResult");
    expect(town.bus.payloads.get("res:j1")?.ttlMs).toBeGreaterThan(86_400_000 + 30_000);
  });

  it("runs, stores the result with a time to live, and reports it", async () => {
    const town = await startTown([echo], { resultTtlMs: 60_000 });
    const identity = { tenantId: "acme", principalId: "", actorId: "", delegationId: "" };
    town.send({ jobId: "j1", dispatch: { dispatchId: "d1", attempt: 3 }, identity }, { context: { to: "ada" } });
    const result = await town.bus.first("jobResult");
    expect(result).toMatchObject({
      jobId: "j1",
      status: JobStatus.SUCCEEDED,
      resultPtr: "redis://res:j1",
      workerId: "w1",
      errorCode: "",
    });
    expect(result.dispatch).toMatchObject({ dispatchId: "d1", attempt: 3 });
    expect(result.identity).toMatchObject(identity);
    expect(town.stored("j1")).toEqual({ got: { to: "ada" } });
    expect(town.bus.payloads.get("res:j1")?.ttlMs).toBe(60_000);
    const kinds = town.bus.sent.map(({ packet }) => packet.payload?.kind);
    expect(kinds).toEqual(["handshake", "heartbeat", "jobResult"]);
    expect(town.bus.sent.slice(2).map(({ subject, packet }) => [subject, packet.traceId])).toEqual([
      ["sys.job.result", TRACE],
    ]);
  });

  it("T5 claims a job once it has run for 50 ms", async () => {
    const held = heldWorker();
    const town = await startTown([held.definition]);
    town.send({ jobId: "j1", dispatch: { dispatchId: "d1", attempt: 1 } });
    await town.clock.advance(40);
    expect(town.bus.all("jobProgress")).toEqual([]);
    await town.clock.advance(5_000);
    expect(town.bus.all("jobProgress")).toMatchObject([
      { jobId: "j1", percent: 0, status: JobStatus.RUNNING, dispatch: { dispatchId: "d1" } },
    ]);
  });

  it("T5 claims nothing that has told its progress", async () => {
    const never = gate();
    const definition = worker(TOPIC, async (_input, { progress }) => {
      progress(5, "begun");
      await never.promise;
    });
    const town = await startTown([definition]);
    town.send({ jobId: "j1" });
    await town.clock.advance(5_000);
    expect(town.bus.all("jobProgress")).toMatchObject([{ percent: 5, message: "begun" }]);
  });

  it("gives the handler all it needs to know", async () => {
    const seen: unknown[] = [];
    const definition = worker(TOPIC, (_input, { signal, log, progress, ...context }) => void seen.push(context));
    const town = await startTown([definition]);
    const env = {
      CORDUM_POLICY_CONSTRAINTS: '{"budgets":{"maxRuntimeMs":"60000"},"redactionLevel":"full"}',
      tenant_id: "fallback",
    };
    town.send({ jobId: "j1", env, labels: { team: "red" }, dispatch: { attempt: 2 } }, { context: { a: 1 } });
    await town.bus.first("jobResult");
    expect(seen).toEqual([
      {
        jobId: "j1",
        topic: TOPIC,
        attempt: 2,
        traceId: TRACE,
        tenant: "acme",
        env: expect.objectContaining(env),
        labels: expect.objectContaining({ team: "red" }),
        rawContext: { a: 1 },
        constraints: { budgets: { maxRuntimeMs: 60_000 }, redactionLevel: "full" },
      },
    ]);
  });

  it("stores nothing for a handler that returns nothing, and null for null", async () => {
    const town = await startTown([worker(TOPIC, (_input, { jobId }) => (jobId === "j1" ? undefined : null))]);
    town.send({ jobId: "j1" });
    expect(await town.bus.first("jobResult")).toMatchObject({ status: JobStatus.SUCCEEDED, resultPtr: "" });
    town.send({ jobId: "j2" });
    expect(await town.bus.first("jobResult", ({ jobId }) => jobId === "j2")).toMatchObject({
      resultPtr: "redis://res:j2",
    });
    expect(town.stored("j2")).toBeNull();
  });

  it("sends progress in order, clamped, and none after the end", async () => {
    let late: (() => void) | undefined;
    const definition = worker(TOPIC, async (_input, context) => {
      context.progress(49.6, "half");
      await settle();
      context.progress(1_000);
      await settle();
      context.progress(Number.NaN, "no number");
      late = () => context.progress(99);
      return 1;
    });
    const town = await startTown([definition]);
    town.send({ jobId: "j1" });
    await town.bus.first("jobResult");
    late?.();
    await settle();
    expect(town.bus.all("jobProgress").map(({ percent, message }) => [percent, message])).toEqual([
      [50, "half"],
      [100, ""],
      [100, "no number"],
    ]);
    expect(town.bus.sent.at(-1)?.packet.payload?.kind).toBe("jobResult");
  });

  it("thins out progress while one is on its way", async () => {
    const slow = gate();
    const town = await startTown([
      worker(TOPIC, (_input, context) => {
        for (let percent = 1; percent <= 100; percent++) context.progress(percent);
      }),
    ]);
    town.bus.before = (_operation, name) => (name === "sys.job.progress" ? slow.promise : undefined);
    town.send({ jobId: "j1" });
    await settle();
    slow.resolve();
    await town.bus.first("jobResult");
    expect(town.bus.all("jobProgress").length).toBeLessThanOrEqual(2);
    expect(town.bus.all("jobProgress").at(-1)?.percent).toBe(100);
  });
});

describe("worker: failures", () => {
  const failWith = async (thrown: unknown) => {
    const town = await startTown([
      worker(TOPIC, () => {
        throw thrown;
      }),
    ]);
    town.send({ jobId: "j1" });
    return town.bus.first("jobResult");
  };

  it("reports an exception without its stack", async () => {
    const result = await failWith(new Error("mailbox is full"));
    expect(result).toMatchObject({
      status: JobStatus.FAILED,
      errorCode: "HANDLER_FAILED",
      errorCodeEnum: 1000,
      errorMessage: "mailbox is full",
      resultPtr: "",
    });
  });

  it("reports JobError with its code, with the number of the protocol where there is one", async () => {
    expect(await failWith(new JobError("NOT_FOUND", "no such user"))).toMatchObject({
      status: JobStatus.FAILED,
      errorCode: "NOT_FOUND",
      errorCodeEnum: 204,
    });
    expect(await failWith(new JobError("MAIL_BOUNCED", "bounced"))).toMatchObject({
      errorCode: "MAIL_BOUNCED",
      errorCodeEnum: 1000,
    });
  });

  it("reports RetryableError as retryable", async () => {
    expect(await failWith(new RetryableError("later"))).toMatchObject({
      status: JobStatus.FAILED_RETRYABLE,
      errorCode: "HANDLER_RETRYABLE",
      errorMessage: "later",
    });
    expect(await failWith(new RetryableError("later", { code: "SMTP_451" }))).toMatchObject({ errorCode: "SMTP_451" });
  });

  it.each([["text"], [undefined], [null], [Object.create(null)], [new Error("")], [Symbol("s")]])(
    "survives whatever is thrown: %o",
    async (thrown) => {
      expect(await failWith(thrown)).toMatchObject({
        status: JobStatus.FAILED,
        errorCode: "HANDLER_FAILED",
        errorMessage: expect.stringMatching(/./),
      });
    },
  );

  it("caps messages at 4 KiB of well-formed text", async () => {
    const { errorMessage } = await failWith(new Error(`\ud800${"ä€😀".repeat(3_000)}`));
    expect(Buffer.byteLength(errorMessage)).toBeLessThanOrEqual(4_096);
    expect(Buffer.byteLength(errorMessage)).toBeGreaterThan(4_090);
    expect(errorMessage.isWellFormed()).toBe(true);
    expect(errorMessage).not.toMatch(/\ud83d$/);
  });

  it("fails an oversize result for good, saying how large it is", async () => {
    const town = await startTown([worker(TOPIC, () => "x".repeat(1_000))], { resultBytesMax: 1_000 });
    town.send({ jobId: "j1" });
    const result = await town.bus.first("jobResult");
    expect(result).toMatchObject({
      status: JobStatus.FAILED,
      errorCode: "RESULT_TOO_LARGE",
      errorCodeEnum: 201,
      resultPtr: "",
    });
    expect(result.errorMessage).toBe("the result has 1002 bytes, at most 1000 are kept");
    expect(town.stored("j1")).toBeUndefined();
  });

  it("fails results that JSON cannot write", async () => {
    const circle: unknown[] = [];
    circle.push(circle);
    for (const value of [circle, 1n, () => 1]) {
      const town = await startTown([worker(TOPIC, () => value)]);
      town.send({ jobId: "j1" });
      expect(await town.bus.first("jobResult")).toMatchObject({
        status: JobStatus.FAILED,
        errorCode: "INVALID_OUTPUT",
        errorCodeEnum: 1001,
      });
    }
  });
});

describe("worker: a failing connection", () => {
  it("tries the payload calls again and calls the handler once", async () => {
    let calls = 0;
    const town = await startTown([worker(TOPIC, () => ++calls)]);
    const failed = { load: 0, store: 0 };
    town.bus.before = (operation) => {
      if ((operation === "load" || operation === "store") && failed[operation]++ < 2)
        throw new Error("redis at 10.0.0.7 is gone");
    };
    town.send({ jobId: "j1" }, { context: {} });
    await town.clock.advance(5_000);
    expect(await town.bus.first("jobResult")).toMatchObject({ status: JobStatus.SUCCEEDED });
    expect(calls).toBe(1);
  });

  it("reports what could not be read or kept as retryable, without internals", async () => {
    for (const [broken, code] of [
      ["load", "CONTEXT_UNAVAILABLE"],
      ["store", "RESULT_NOT_STORED"],
    ] as const) {
      const town = await startTown([echo]);
      town.bus.before = (operation) => {
        if (operation === broken) throw new Error("redis at 10.0.0.7 is gone");
      };
      town.send({ jobId: "j1" }, { context: {} });
      await town.clock.advance(5_000);
      const result = await town.bus.first("jobResult");
      expect(result).toMatchObject({ status: JobStatus.FAILED_RETRYABLE, errorCode: code, errorCodeEnum: 402 });
      expect(result.errorMessage).not.toContain("10.0.0.7");
    }
  });

  it("does not wait for ever for a call that hangs", async () => {
    const town = await startTown([echo], { ioTimeoutMs: 1_000 });
    town.bus.before = (operation) => (operation === "load" ? new Promise(() => undefined) : undefined);
    town.send({ jobId: "j1" }, { context: {} });
    await town.clock.advance(10_000);
    expect(await town.bus.first("jobResult")).toMatchObject({
      status: JobStatus.FAILED_RETRYABLE,
      errorCode: "CONTEXT_UNAVAILABLE",
    });
  });

  it("sends a result again until the bus takes it, holding its slot meanwhile", async () => {
    let down = true;
    const town = await startTown([echo]);
    town.bus.before = (_operation, name) => {
      if (down && name === "sys.job.result") throw new Error("no servers");
    };
    town.send({ jobId: "j1" });
    town.send({ jobId: "j2" });
    await town.clock.advance(3_000);
    expect(town.serving.activeJobs).toBe(2);
    expect(town.bus.payloads.has("res:j1")).toBe(true);
    expect(town.bus.payloads.has("res:j2")).toBe(false);
    down = false;
    await town.clock.advance(10_000);
    expect(town.bus.all("jobResult").map(({ jobId }) => jobId)).toEqual(["j1", "j2"]);
  });
});
