import { RetentionPolicy } from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import { describe, expect, it } from "vitest";
import { never } from "../../conformance/bus-conformance.ts";
import { startNats } from "../../testing/nats-servers.ts";
import { jetstreamStage, natsStage } from "../../testing/nats-stage.ts";
import { judgeStreams } from "./streams.ts";
import { DURABLE_SUBJECTS, overlap } from "./subjects.ts";

describe("overlap", () => {
  it.each([
    ["job.>", "job.a", true],
    ["job.>", "job", false],
    [">", "job.a.b", true],
    ["*.a", "job.*", true],
    ["*.a", "job.b", false],
    ["job.*.c", "job.>", true],
    ["sys.job.submit", "sys.job.*", true],
    ["sys.job.submit", "sys.*", false],
    ["*", ">", true],
  ])("%s and %s: %s", (a, b, expected) => {
    expect([overlap(a, b), overlap(b, a)]).toEqual([expected, expected]);
  });
});

describe("judgeStreams", () => {
  const limits = "limits";
  const judge = (subjects: Record<string, readonly string[]>, options = { wanted: true, adopt: false }) =>
    judgeStreams(
      Object.entries(subjects).map(([name, list]) => ({ name, subjects: list, retention: limits })),
      options,
    );

  it("finds nothing wrong with none, with ours, and with streams of others elsewhere", () => {
    for (const streams of [{}, { CORDUM_SYS: DURABLE_SUBJECTS, ORDERS: ["orders.>"], BEATS: ["sys.heartbeat"] }]) {
      expect(judge(streams)).toMatchObject({ refusals: [], changes: [] });
    }
  });

  it("R1 refuses every stream of others that hears what workers hear", () => {
    for (const subject of ["job.>", ">", "*.>", "job.mail.send", "worker.*.jobs", "*.w1.jobs"]) {
      expect(judge({ AUDIT: [subject] }, { wanted: true, adopt: true }).refusals, subject).toHaveLength(1);
      expect(judge({ AUDIT: [subject] }, { wanted: false, adopt: true }).refusals, subject).toHaveLength(1);
    }
    expect(judge({ AUDIT: ["sys.job.result"] }).refusals).toHaveLength(1);
    expect(judge({ AUDIT: ["sys.job.result"] }, { wanted: false, adopt: false }).refusals).toHaveLength(0);
  });

  it("R2 widens a stream of ours that captures too little, without being asked", () => {
    const { refusals, changes } = judge({ CORDUM_SYS: ["sys.job.submit"] });
    expect(refusals).toEqual([]);
    expect(changes).toEqual([{ name: "CORDUM_SYS", from: ["sys.job.submit"], to: DURABLE_SUBJECTS }]);
  });

  it("R3 refuses a work queue, which the second group could not consume", () => {
    const streams = [{ name: "CORDUM_SYS", subjects: DURABLE_SUBJECTS, retention: "workqueue" }];
    expect(judgeStreams(streams, { wanted: true, adopt: true }).refusals[0]).toContain("nats stream rm CORDUM_SYS");
  });
});

describe("streams of a server", () => {
  const stage = jetstreamStage();

  const original = async (): Promise<void> => {
    const common = { retention: RetentionPolicy.Limits, max_age: nanos(604_800_000) };
    await stage.jsm.streams.add({ name: "CORDUM_SYS", subjects: ["sys.>"], ...common });
    await stage.jsm.streams.add({ name: "CORDUM_JOBS", subjects: ["job.>", "worker.*.jobs"], ...common });
  };
  const subjectsOf = async (name: string): Promise<readonly string[]> =>
    (await stage.jsm.streams.info(name)).config.subjects;

  it("creates CORDUM_SYS as the original did, but on three subjects", async () => {
    await Promise.all([
      stage.open({ stream: { ageMaxMs: 3_600_000 } }),
      stage.open({ stream: { ageMaxMs: 3_600_000 } }),
    ]);
    const { config } = await stage.jsm.streams.info("CORDUM_SYS");
    expect(config).toMatchObject({
      subjects: ["sys.job.submit", "sys.job.result", "sys.job.dlq"],
      retention: "limits",
      storage: "file",
      discard: "old",
      max_age: nanos(3_600_000),
      duplicate_window: nanos(120_000),
      num_replicas: 1,
      max_msgs: -1,
      max_bytes: -1,
    });
  });

  it("R2 refuses the original's streams with sentences that say what to do", async () => {
    await original();
    for (const mode of ["jetstream", "core"] as const) {
      await expect(stage.open({ mode })).rejects.toMatchObject({
        code: "BUS_MISCONFIGURED",
        message: expect.stringMatching(
          /CORDUM_JOBS captures job\.>, worker\.\*\.jobs.*CORDUM_NATS_ADOPT_STREAMS=true.*nats stream rm/s,
        ),
      });
    }
    expect(await subjectsOf("CORDUM_SYS")).toEqual(["sys.>"]);
  });

  it("R2 narrows the original's streams in place, with their messages and consumers, so that deliveries have a verdict", async () => {
    await original();
    const raw = await stage.raw();
    for (const subject of ["sys.heartbeat", "sys.job.result", "job.mail"]) await raw.request(subject, "old");
    await stage.jsm.consumers.add("CORDUM_SYS", { durable_name: "watcher", filter_subject: "sys.heartbeat" });
    const bus = await stage.open({ adoptStreams: true });
    expect(await subjectsOf("CORDUM_SYS")).toEqual(DURABLE_SUBJECTS);
    expect(await subjectsOf("CORDUM_JOBS")).toEqual(["CORDUM_JOBS"]);
    expect((await stage.jsm.streams.info("CORDUM_SYS")).state.messages).toBe(2);
    expect(await bus.deliver("job.mail", new Uint8Array(1), never)).toBe("nobody");
    expect(await bus.deliver("worker.w.jobs", new Uint8Array(1), never)).toBe("nobody");
    const got: string[] = [];
    await bus.subscribe(
      { subject: "sys.job.result", group: "cordum-scheduler", keep: true, inFlightMax: 4 },
      async (bytes) => {
        got.push(new TextDecoder().decode(bytes));
        return { kind: "ack" };
      },
    );
    await expect.poll(() => got).toEqual(["old"]);
  });

  it("a stream that captures defeats the verdict: the caveat, proved", async () => {
    const bus = await stage.open();
    await stage.jsm.streams.add({ name: "LATER", subjects: ["job.>"] });
    expect(await bus.deliver("job.mail", new Uint8Array(1), never)).toBe("heard");
    const tapped = await stage.raw();
    tapped.subscribe("worker.>", { callback: () => undefined });
    await tapped.flush();
    expect(await bus.deliver("worker.w.jobs", new Uint8Array(1), never)).toBe("heard");
  });

  it("R4 changes age only where it is configured", async () => {
    await stage.open({ stream: { ageMaxMs: 7_200_000 } });
    await stage.open();
    expect((await stage.jsm.streams.info("CORDUM_SYS")).config.max_age).toBe(nanos(7_200_000));
    await stage.open({ stream: { ageMaxMs: 60_000 } });
    const { config } = await stage.jsm.streams.info("CORDUM_SYS");
    expect([config.max_age, config.duplicate_window]).toEqual([nanos(60_000), nanos(60_000)]);
  });

  it("refuses settings out of range", async () => {
    for (const stream of [{ replicas: 0 }, { ackPendingMax: 50_001 }, { ackWaitMs: 1 }, { ageMaxMs: Number.NaN }]) {
      await expect(stage.open({ stream })).rejects.toMatchObject({ code: "BUS_MISCONFIGURED" });
    }
  });

  it("says what the server says when it cannot make the stream", async () => {
    await expect(stage.open({ stream: { replicas: 3 } })).rejects.toMatchObject({
      code: expect.stringMatching(/BUS_/),
      message: expect.stringContaining("creating the stream CORDUM_SYS failed: replicas > 1 not supported"),
    });
  });
});

it("X1 refuses to start without JetStream when it is asked for, and starts without it when not", async () => {
  await using server = await startNats();
  await using stage = natsStage(server.url);
  await expect(stage.open({ mode: "jetstream" })).rejects.toMatchObject({
    code: "BUS_MISCONFIGURED",
    message: expect.stringContaining("--jetstream"),
  });
  const bus = await stage.open();
  expect(bus.traits).toMatchObject({ keepsMessages: false, shared: true, packetBytesMax: 1_048_576 });
});
