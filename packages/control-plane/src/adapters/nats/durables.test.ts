import { AckPolicy, type ConsumerConfig } from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import { beforeEach, describe, expect, it } from "vitest";
import recorded from "../../../../../test/vectors/recorded.json" with { type: "json" };
import type { Verdict } from "../../ports/bus.ts";
import { jetstreamStage } from "../../testing/nats-stage.ts";
import { durableName } from "./durables.ts";
import { DURABLE_SUBJECTS } from "./subjects.ts";

const ack: Verdict = { kind: "ack" };
const results = { subject: "sys.job.result", group: "cordum-scheduler", keep: true, inFlightMax: 4 } as const;
const NAME = "dur_cordum-scheduler__sys_job_result";

describe("durableName", () => {
  it.each([
    ["cordum-scheduler", "sys.job.submit", "dur_cordum-scheduler__sys_job_submit"],
    ["cordum-workflow-engine", "sys.job.result", "dur_cordum-workflow-engine__sys_job_result"],
    ["a.b", "job.*.>", "dur_a_b__job_STAR_GT"],
  ])("D1 %s on %s is %s", (group, subject, expected) => {
    expect(durableName(group, subject)).toBe(expected);
  });

  it("D1 gives the names of the recording", () => {
    const names = recorded.jetstream.streams
      .flatMap((stream) => stream.consumers)
      .filter((consumer) => consumer.deliver_group !== null)
      .map((consumer) => [consumer.durable_name, durableName(consumer.deliver_group ?? "", consumer.filter_subject)]);
    expect(names.length).toBe(3);
    for (const [theirs, ours] of names) expect(ours).toBe(theirs);
  });
});

describe("durables of a server", () => {
  const stage = jetstreamStage();
  beforeEach(async () => {
    await stage.jsm.streams.add({ name: "CORDUM_SYS", subjects: [...DURABLE_SUBJECTS] });
  });

  const original: Partial<ConsumerConfig> = {
    durable_name: NAME,
    deliver_group: "cordum-scheduler",
    deliver_subject: "_INBOX.made.by.the.original",
    ack_policy: AckPolicy.Explicit,
    ack_wait: nanos(600_000),
    max_deliver: -1,
    max_ack_pending: 2_048,
    filter_subject: "sys.job.result",
  };
  const configOf = async (): Promise<ConsumerConfig> => (await stage.jsm.consumers.info("CORDUM_SYS", NAME)).config;

  it("D2 creates a push consumer with a deliver group, once for all members", async () => {
    const buses = await Promise.all([stage.open(), stage.open(), stage.open()]);
    await Promise.all(buses.map((bus) => bus.subscribe(results, async () => ack)));
    const consumers = [];
    for await (const consumer of stage.jsm.consumers.list("CORDUM_SYS")) consumers.push(consumer.config);
    expect(consumers).toHaveLength(1);
    expect(consumers[0]).toMatchObject({
      durable_name: NAME,
      deliver_group: "cordum-scheduler",
      deliver_policy: "all",
      ack_policy: "explicit",
      ack_wait: nanos(30_000),
      max_deliver: -1,
      max_ack_pending: 2_048,
      filter_subject: "sys.job.result",
    });
    expect(consumers[0]?.idle_heartbeat).toBeUndefined();
    expect(consumers[0]?.flow_control).toBeUndefined();
  });

  it("D4 adopts the original's consumer with its position and changes it in place", async () => {
    await stage.jsm.consumers.add("CORDUM_SYS", {
      ...original,
      max_deliver: 100,
      backoff: [nanos(1_000), nanos(2_000)],
    });
    const raw = await stage.raw();
    await raw.request("sys.job.result", "from before");
    const bus = await stage.open({ stream: { ackWaitMs: 45_000, ackPendingMax: 100 } });
    const got: string[] = [];
    await bus.subscribe(results, async (bytes) => {
      got.push(new TextDecoder().decode(bytes));
      return ack;
    });
    await expect.poll(() => got).toEqual(["from before"]);
    expect(await configOf()).toMatchObject({
      deliver_subject: original.deliver_subject,
      ack_wait: nanos(45_000),
      max_ack_pending: 100,
      max_deliver: -1,
    });
    expect(stage.events).toContainEqual({
      event: "bus.durable_adopted",
      fields: { consumer: NAME, changed: expect.arrayContaining(["ack_wait", "max_ack_pending", "max_deliver"]) },
    });
  });

  it("D4 adopts a consumer while another member is bound to it", async () => {
    const first = await stage.open({ stream: { ackWaitMs: 20_000 } });
    await first.subscribe(results, async () => ack);
    const second = await stage.open({ stream: { ackWaitMs: 40_000 } });
    await second.subscribe(results, async () => ack);
    expect((await configOf()).ack_wait).toBe(nanos(40_000));
  });

  it.each([
    ["is a pull consumer", { deliver_group: null, deliver_subject: null }],
    ["delivers to someone-else instead of the group cordum-scheduler", { deliver_group: "someone-else" }],
    ["delivers to no group instead of the group cordum-scheduler", { deliver_group: null }],
    ["filters sys.job.submit instead of sys.job.result", { filter_subject: "sys.job.submit" }],
    ["acknowledges by none instead of explicitly", { ack_policy: AckPolicy.None, max_ack_pending: 0 }],
    ["has heartbeats or flow control", { idle_heartbeat: nanos(1_000) }],
  ])("D4 refuses a consumer that %s", async (why, change) => {
    // Straight to the API: the client refuses to make some of these.
    const config = { ...original, ...change };
    const request = JSON.stringify({ stream_name: "CORDUM_SYS", config });
    const raw = await stage.raw();
    const made = await raw.request(`$JS.API.CONSUMER.DURABLE.CREATE.CORDUM_SYS.${NAME}`, request);
    expect(made.json()).not.toHaveProperty("error");
    const bus = await stage.open();
    await expect(bus.subscribe(results, async () => ack)).rejects.toMatchObject({
      code: "BUS_MISCONFIGURED",
      message: expect.stringMatching(new RegExp(`${why}.*nats consumer rm CORDUM_SYS ${NAME}`)),
    });
  });
});
