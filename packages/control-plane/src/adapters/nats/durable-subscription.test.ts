import { DiscardPolicy } from "@nats-io/jetstream";
import { describe, expect, it } from "vitest";
import { never } from "../../conformance/bus-conformance.ts";
import type { Handle, Verdict } from "../../ports/bus.ts";
import { Fault } from "../../ports/fault.ts";
import { jetstreamStage, untilTrue } from "../../testing/nats-stage.ts";
import { parseAckSubject } from "./durable-subscription.ts";
import { whatIsWrong } from "./durable-watch.ts";

const ack: Verdict = { kind: "ack" };
const results = { subject: "sys.job.result", group: "cordum-scheduler", keep: true, inFlightMax: 8 } as const;
const CONSUMER = "dur_cordum-scheduler__sys_job_result";

const stage = jetstreamStage();

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const noting =
  (got: string[], verdict: (text: string, delivery: number) => Verdict | Promise<Verdict> = () => ack): Handle =>
  async (bytes, about) => {
    got.push(`${textOf(bytes)}${about.delivery}`);
    return verdict(textOf(bytes), about.delivery);
  };
/** What the consumer still has to give, and what it has given and has to get back. */
const openOnes = async () => {
  const { num_pending: toGive, num_ack_pending: given } = await stage.jsm.consumers.info("CORDUM_SYS", CONSUMER);
  return { toGive, given };
};
/** 0 when all is done. */
const openMessages = async (): Promise<number> => {
  const { toGive, given } = await openOnes();
  return toGive + given;
};

describe("durable subscription: who gets what", () => {
  it("delivers what was published while nobody was there, to each group once", async () => {
    const bus = await stage.open();
    const worker = await stage.raw();
    await bus.publish("sys.job.result", bytesOf("a"), never);
    worker.publish("sys.job.result", "b"); // as workers do: no acknowledgement asked for
    await worker.flush();
    const got = { scheduler: [] as string[], engine: [] as string[] };
    await bus.subscribe(results, noting(got.scheduler));
    await bus.subscribe({ ...results, group: "cordum-workflow-engine" }, noting(got.engine));
    await bus.publish("sys.job.result", bytesOf("c"), never);
    await expect.poll(() => got).toEqual({ scheduler: ["a1", "b1", "c1"], engine: ["a1", "b1", "c1"] });
    await expect.poll(openMessages).toBe(0);
  });

  it("shares the work of a group among connections, and keeps its position when all have left", async () => {
    const got: string[][] = [[], []];
    const buses = [await stage.open(), await stage.open()];
    for (const [n, bus] of buses.entries()) await bus.subscribe(results, noting(got[n] ?? []));
    const sent = Array.from({ length: 200 }, (_, n) => `m${n}:`);
    await Promise.all(sent.map((text) => buses[0]?.publish("sys.job.result", bytesOf(text), never)));
    await expect.poll(() => got.flat().length).toBe(200);
    expect(Math.min(...got.map((texts) => texts.length))).toBeGreaterThan(20);
    await expect.poll(openMessages).toBe(0);
    for (const bus of buses) await bus.drain(never);
    const later: string[] = [];
    const third = await stage.open();
    await third.publish("sys.job.result", bytesOf("new"), never);
    await third.subscribe(results, noting(later));
    await expect.poll(() => later).toEqual(["new1"]);
  });

  it("gives a durable subject to everybody without a group, also with keep", async () => {
    const got: string[][] = [[], []];
    const buses = [await stage.open(), await stage.open()];
    const spec = { subject: "sys.job.dlq", keep: true, inFlightMax: 4 };
    for (const [n, bus] of buses.entries()) await bus.subscribe(spec, noting(got[n] ?? []));
    await buses[0]?.publish("sys.job.dlq", bytesOf("x"), never);
    await expect.poll(() => got).toEqual([["x1"], ["x1"]]);
  });

  it("rejects at once when the stream is gone, and says heard when it stores", async () => {
    const bus = await stage.open({ limits: { watchEveryMs: 60_000 } });
    expect(await bus.deliver("sys.job.submit", bytesOf("x"), never)).toBe("heard");
    await stage.jsm.streams.delete("CORDUM_SYS");
    await expect(bus.publish("sys.job.submit", bytesOf("x"), never)).rejects.toMatchObject({ code: "BUS_UNAVAILABLE" });
  });

  it("rejects when the stream is full and takes nothing more", async () => {
    const bus = await stage.open();
    await stage.jsm.streams.update("CORDUM_SYS", { max_msgs: 1, discard: DiscardPolicy.New });
    await bus.publish("sys.job.submit", bytesOf("x"), never);
    await expect(bus.publish("sys.job.submit", bytesOf("y"), never)).rejects.toMatchObject({
      code: "BUS_UNAVAILABLE",
      cause: expect.objectContaining({ message: expect.stringContaining("maximum messages exceeded") }),
    });
  });
});

describe("durable subscription: what becomes of a message", () => {
  it("T1 brings back what asked for later, not before its time, with the count of deliveries", async () => {
    const bus = await stage.open();
    const got: string[] = [];
    const at: number[] = [];
    await bus.subscribe(
      results,
      noting(got, (_, delivery) => {
        at.push(performance.now());
        return delivery < 3 ? { kind: "later", inMs: 150 } : ack;
      }),
    );
    await bus.publish("sys.job.result", bytesOf("x"), never);
    await expect.poll(() => got).toEqual(["x1", "x2", "x3"]);
    expect(Math.min((at[1] ?? 0) - (at[0] ?? 0), (at[2] ?? 0) - (at[1] ?? 0))).toBeGreaterThan(140);
    await expect.poll(openMessages).toBe(0);
  });

  it("T4 never delivers again what was refused, and logs where it is", async () => {
    const bus = await stage.open();
    const got: string[] = [];
    await bus.subscribe(
      results,
      noting(got, () => ({ kind: "refuse", reason: "no use" })),
    );
    await bus.publish("sys.job.result", bytesOf("x"), never);
    await expect.poll(() => got).toEqual(["x1"]);
    await expect.poll(openMessages).toBe(0);
    expect(got).toEqual(["x1"]);
    expect(stage.events).toContainEqual({
      event: "bus.message_refused",
      fields: { subject: "sys.job.result", reason: "no use", stream: "CORDUM_SYS", sequence: 1, delivery: 1 },
    });
  });

  it("T3 refuses poison at delivery 10, and keeps what only a store that is away holds up", async () => {
    const bus = await stage.open();
    const got: string[] = [];
    let isStoreAway = true;
    await bus.subscribe(
      results,
      noting(got, (text, delivery) => {
        if (delivery < 10) return { kind: "later", inMs: 1 };
        if (text === "poison") throw new Error("always");
        if (isStoreAway) throw new Fault("STATE_UNAVAILABLE", "away");
        return ack;
      }),
    );
    for (const text of ["poison", "result"]) await bus.publish("sys.job.result", bytesOf(text), never);
    await expect.poll(() => got.filter((text) => text === "result10").length).toBe(1);
    await expect.poll(() => got.filter((text) => text === "poison10").length).toBe(1);
    await expect.poll(openMessages).toBe(1);
    isStoreAway = false;
    const refused = stage.events.filter(({ event }) => event === "bus.message_refused");
    expect(refused.map(({ fields }) => [fields.reason, fields.delivery])).toEqual([["too_many_deliveries", 10]]);
  });

  it("repeats what a handler threw at, later each time", async () => {
    const bus = await stage.open();
    const got: string[] = [];
    await bus.subscribe(
      results,
      noting(got, (_, delivery) => {
        if (delivery < 4) throw new Error("not yet");
        return ack;
      }),
    );
    await bus.publish("sys.job.result", bytesOf("x"), never);
    await expect.poll(() => got).toEqual(["x1", "x2", "x3", "x4"]);
  });
});

describe("durable subscription: what waits", () => {
  it("B3 and B4 hold: so many handlers, lanes in order", async () => {
    const bus = await stage.open();
    const order = new Map<string, number[]>();
    let [running, most] = [0, 0];
    const three = Promise.withResolvers<void>();
    const laneOf = (bytes: Uint8Array): string => textOf(bytes).slice(0, 1);
    await bus.subscribe({ ...results, inFlightMax: 3, laneOf }, async (bytes) => {
      most = Math.max(most, ++running);
      const [lane = "", n] = textOf(bytes).split(":");
      if (running === 3) three.resolve();
      await three.promise;
      await new Promise((resolve) => setImmediate(resolve));
      order.set(lane, [...(order.get(lane) ?? []), Number(n)]);
      running--;
      return ack;
    });
    const sent = Array.from({ length: 300 }, (_, n) => `${"abcde"[n % 5]}:${n}`);
    await Promise.all(sent.map((text) => bus.publish("sys.job.result", bytesOf(text), never)));
    await expect.poll(() => [...order.values()].flat().length).toBe(300);
    expect(most).toBe(3);
    for (const numbers of order.values()) expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
  });

  it("T2 renews what waits; what runs for longer than AckWait goes to another member too", async () => {
    const [busy, free] = [
      await stage.open({ stream: { ackWaitMs: 1_000 } }),
      await stage.open({ stream: { ackWaitMs: 1_000 } }),
    ];
    const got = { busy: [] as string[], free: [] as string[] };
    const blocked = Promise.withResolvers<Verdict>();
    await busy.subscribe(
      { ...results, inFlightMax: 1 },
      noting(got.busy, (text) => (text === "runs" ? blocked.promise : ack)),
    );
    for (const text of ["runs", "waits", "waits too"]) await busy.publish("sys.job.result", bytesOf(text), never);
    await expect.poll(() => got.busy).toEqual(["runs1"]);
    await expect.poll(openOnes).toEqual({ toGive: 0, given: 3 });
    await free.subscribe(results, noting(got.free));
    // It may come back to the busy member several times before the other gets it.
    await expect.poll(() => got.free.length).toBe(1);
    expect(got.free[0]).toMatch(/^runs[2-9]/);
    blocked.resolve(ack);
    await expect.poll(() => got.busy).toEqual(["runs1", "waits1", "waits too1"]);
    await expect.poll(openMessages).toBe(0);
  });

  it("T5 gives back at once what has not begun when it drains", async () => {
    const [leaving, staying] = [await stage.open(), await stage.open()];
    const got: string[] = [];
    const blocked = Promise.withResolvers<Verdict>();
    const subscription = await leaving.subscribe({ ...results, inFlightMax: 1 }, () => blocked.promise);
    for (let n = 0; n < 10; n++) await leaving.publish("sys.job.result", bytesOf(`m${n}:`), never);
    await expect.poll(openOnes).toEqual({ toGive: 0, given: 10 });
    await staying.subscribe(results, noting(got));
    const draining = subscription.drain(never);
    blocked.resolve(ack);
    await draining;
    await expect.poll(() => got.length).toBe(9);
    expect(got.every((text) => text.endsWith("2"))).toBe(true);
    await expect.poll(openMessages).toBe(0);
  });

  it("T5 gives everything back when the drain's time is over", async () => {
    const leaving = await stage.open();
    const subscription = await leaving.subscribe({ ...results, inFlightMax: 1 }, () => new Promise(() => undefined));
    for (let n = 0; n < 5; n++) await leaving.publish("sys.job.result", bytesOf(`m${n}:`), never);
    await subscription.drain(AbortSignal.timeout(50));
    const got: string[] = [];
    await (await stage.open()).subscribe(results, noting(got));
    await expect.poll(() => got.length).toBe(5);
  });

  it("T6 leaves on the server what is above ackPendingMax", async () => {
    const bus = await stage.open({ stream: { ackPendingMax: 10 } });
    const ends: (() => void)[] = [];
    await bus.subscribe({ ...results, inFlightMax: 100 }, () => new Promise((end) => ends.push(() => end(ack))));
    for (let n = 0; n < 30; n++) await bus.publish("sys.job.result", bytesOf("x"), never);
    await expect.poll(() => ends.length).toBe(10);
    expect(await openOnes()).toEqual({ toGive: 20, given: 10 });
    expect(ends.length).toBe(10);
    let ended = 0;
    const endAll = (): boolean => {
      for (const end of ends.splice(0)) {
        end();
        ended++;
      }
      return ended === 30;
    };
    expect(await untilTrue(endAll, 5_000)).toBe(true);
  });
});

describe("the watch", () => {
  it.each(["consumer", "stream"])("W2 makes a %s again that somebody deleted", async (what) => {
    const bus = await stage.open({ limits: { watchEveryMs: 50 } });
    const got: string[] = [];
    await bus.subscribe(results, noting(got));
    if (what === "consumer") await stage.jsm.consumers.delete("CORDUM_SYS", CONSUMER);
    else await stage.jsm.streams.delete("CORDUM_SYS");
    const sends = async (): Promise<boolean> =>
      bus.publish("sys.job.result", bytesOf("x"), never).then(
        () => true,
        () => false,
      );
    expect(await untilTrue(sends, 5_000)).toBe(true);
    await expect.poll(() => got.length).toBeGreaterThan(0);
    expect(stage.events.map(({ event }) => event)).toContain("bus.durable_gone");
  });

  it("W3 tells a consumer that stands still from one that has nothing to do, is full, or works", () => {
    const seen = { isBound: true, waiting: 5, inHand: 3, inHandMax: 100, delivered: 10 };
    expect(whatIsWrong(undefined, seen)).toBeUndefined();
    expect(whatIsWrong(seen, seen)).toBe("still");
    expect(whatIsWrong(seen, { ...seen, delivered: 11 })).toBeUndefined();
    expect(whatIsWrong(seen, { ...seen, waiting: 0 })).toBeUndefined();
    expect(whatIsWrong({ ...seen, waiting: 0 }, seen)).toBeUndefined();
    expect(whatIsWrong(seen, { ...seen, inHandMax: 3 })).toBeUndefined();
    expect(whatIsWrong(undefined, { ...seen, isBound: false })).toBe("unbound");
  });
});

describe("parseAckSubject", () => {
  it.each([
    [
      "$JS.ACK.CORDUM_SYS.dur_x.3.41.7.1795431224856479728.0",
      { seq: 41, delivery: 3, message: "41@1795431224856479728" },
    ],
    [
      "$JS.ACK._.ACC.CORDUM_SYS.dur_x.2.9.7.1795431224856479728.0.rnd",
      { seq: 9, delivery: 2, message: "9@1795431224856479728" },
    ],
    ["_INBOX.abc", undefined],
    ["", undefined],
    ["$JS.ACK.S.C.x.y.z.t.p", undefined],
    ["$JS.ACK.S.C.0.1.1.1.1", undefined],
  ])("reads %s", (reply, expected) => {
    expect(parseAckSubject(reply)).toEqual(expected);
  });
});
