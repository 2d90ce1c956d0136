import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { never } from "../../conformance/bus-conformance.ts";
import type { Verdict } from "../../ports/bus.ts";
import { type NatsServer, startNats } from "../../testing/nats-servers.ts";
import { natsStage, untilTrue } from "../../testing/nats-stage.ts";
import type { Gap } from "./nats-bus.ts";

const ack: Verdict = { kind: "ack" };
const small = new Uint8Array(10);

let server: NatsServer;
beforeAll(async () => {
  server = await startNats();
});
afterAll(() => server.stop());

describe("O2 a subscription in which too much waits", () => {
  it("leaves its group to the other members, comes back, and tells", async () => {
    await using stage = natsStage(server.url);
    const [slow, quick] = [await stage.open({ limits: { waitingMax: 64 } }), await stage.open()];
    const gaps: Gap[] = [];
    slow.onReconnect((gap) => void gaps.push(gap));
    const blocked = Promise.withResolvers<void>();
    const counts = { slow: 0, quick: 0 };
    const spec = { subject: "work.shared", group: "g", keep: false, inFlightMax: 1 };
    await slow.subscribe(spec, async () => {
      await blocked.promise;
      counts.slow++;
      return ack;
    });
    await quick.subscribe(spec, async () => {
      counts.quick++;
      return ack;
    });
    const paused = () => stage.events.some(({ event }) => event === "bus.subscription_paused");
    for (let n = 0, hasLeft = false; n < 500; n++) {
      await quick.publish("work.shared", small, never);
      if (hasLeft) continue;
      hasLeft = paused();
      await slow.publish("elsewhere", small, never); // after this it has what it was sent, and the server knows whether it leaves
    }
    await expect.poll(() => counts.quick).toBe(500 - (64 * 7) / 8);
    blocked.resolve();
    await expect.poll(() => counts.slow + counts.quick).toBe(500); // nothing was lost
    await expect.poll(() => gaps).toEqual([{ kind: "overflowed", subject: "work.shared" }]);
    const before = counts.slow;
    for (let n = 0; n < 100; n++) await quick.publish("work.shared", small, never);
    await expect.poll(() => counts.slow).toBeGreaterThan(before);
  });

  it("counts and logs what it had to drop when nobody else takes it", async () => {
    await using stage = natsStage(server.url);
    const bus = await stage.open({ limits: { waitingMax: 16 } });
    let handled = 0;
    const blocked = Promise.withResolvers<void>();
    await bus.subscribe({ subject: "beats", keep: false, inFlightMax: 1 }, async () => {
      await blocked.promise;
      handled++;
      return ack;
    });
    // By its own connection, in one turn: the server reads all of them before it reads that the subscription leaves.
    const beats = Array.from({ length: 1_000 }, (_, n) => (n % 2 === 0 ? small : new Uint8Array(0)));
    await Promise.all(beats.map((beat) => bus.publish("beats", beat, never)));
    const paused = () => stage.events.some(({ event }) => event === "bus.subscription_paused");
    await expect.poll(paused).toBe(true);
    blocked.resolve();
    const resumed = () => stage.events.find(({ event }) => event === "bus.subscription_resumed")?.fields;
    await expect.poll(resumed).toBeDefined();
    expect(resumed()?.dropped).toBe(1_000 - 16);
    await expect.poll(() => handled).toBe(16);
    await bus.publish("beats", small, never);
    await expect.poll(() => handled).toBe(17);
  });

  it("counts bytes as well as messages", async () => {
    await using stage = natsStage(server.url);
    const bus = await stage.open({ limits: { waitingBytesMax: 100_000 } });
    const ends: (() => void)[] = [];
    await bus.subscribe(
      { subject: "big", keep: false, inFlightMax: 1 },
      () => new Promise((end) => ends.push(() => end(ack))),
    );
    for (let n = 0; n < 9; n++) await bus.publish("big", new Uint8Array(10_000), never);
    const paused = () => stage.events.find(({ event }) => event === "bus.subscription_paused")?.fields;
    await expect.poll(paused).toMatchObject({ subject: "big", messages: 9, bytes: 90_000 });
    const endAll = (): boolean => {
      for (const end of ends.splice(0)) end();
      return stage.events.some(({ event }) => event === "bus.subscription_resumed");
    };
    expect(await untilTrue(endAll, 5_000)).toBe(true);
  });

  it("drains while it has left", async () => {
    await using stage = natsStage(server.url);
    const bus = await stage.open({ limits: { waitingMax: 8 } });
    const blocked = Promise.withResolvers<Verdict>();
    let handled = 0;
    const subscription = await bus.subscribe({ subject: "full", keep: false, inFlightMax: 1 }, async () => {
      handled++;
      return blocked.promise;
    });
    for (let n = 0; n < 7; n++) await bus.publish("full", small, never);
    const paused = () => stage.events.some(({ event }) => event === "bus.subscription_paused");
    await expect.poll(paused).toBe(true);
    const draining = subscription.drain(never);
    blocked.resolve(ack);
    await draining;
    expect(handled).toBe(7);
    expect(await bus.deliver("full", small, never)).toBe("nobody");
  });
});

describe("P3 publishes under way", () => {
  it("are bounded by number and bytes", async () => {
    await using stage = natsStage(server.url);
    const bus = await stage.open({ limits: { outgoingMax: 10, outgoingBytesMax: 5_000 } });
    const outcome = (sending: Promise<unknown>): Promise<string> =>
      sending.then(
        () => "sent",
        (error: { code: string }) => error.code,
      );
    const many = await Promise.all(Array.from({ length: 15 }, () => outcome(bus.publish("x", small, never))));
    expect(many).toEqual([...Array(10).fill("sent"), ...Array(5).fill("BUS_UNAVAILABLE")]);
    const big = await Promise.all(
      Array.from({ length: 3 }, () => outcome(bus.deliver("x", new Uint8Array(2_000), never))),
    );
    expect(big).toEqual(["sent", "sent", "BUS_UNAVAILABLE"]);
    await expect(bus.publish("x", small, never)).resolves.toBeUndefined();
  });
});

describe("questions", () => {
  it("are answered by one member, rejected when nobody is there, and left alone when the answer fails", async () => {
    await using stage = natsStage(server.url);
    const [asking, ...answering] = [await stage.open(), await stage.open(), await stage.open()];
    const impatient = await stage.open({ limits: { callMsMax: 300 } });
    await expect(asking.ask("echo", small, never)).rejects.toMatchObject({
      code: "BUS_UNAVAILABLE",
      message: "nobody answers on echo",
    });
    let asked = 0;
    const subscriptions = [];
    for (const bus of answering) {
      const subscription = await bus.answer("echo", async (question) => {
        asked++;
        if (question.length === 0) throw new Error("no");
        return Uint8Array.of(...question, 2);
      });
      subscriptions.push(subscription);
    }
    expect(await asking.ask("echo", Uint8Array.of(1), never)).toEqual(Uint8Array.of(1, 2));
    expect(asked).toBe(1);
    await expect(impatient.ask("echo", new Uint8Array(0), never)).rejects.toMatchObject({ code: "BUS_UNAVAILABLE" });
    const failed = { event: "bus.answer_failed", fields: { subject: "echo", error: "no" } };
    await expect.poll(() => stage.events).toContainEqual(failed);
    await asking.publish("echo", Uint8Array.of(3), never); // without an inbox: the work is done all the same
    await expect.poll(() => asked).toBe(3);
    for (const subscription of subscriptions) await subscription.drain(never);
    expect(await asking.deliver("echo", small, never)).toBe("nobody");
  });
});

it("refuses groups that would break the protocol", async () => {
  await using stage = natsStage(server.url);
  const bus = await stage.open();
  for (const group of ["", "a b", "a\r\nPUB x 0", "ä", "x".repeat(300), "a*", "a>"]) {
    const subscribing = bus.subscribe({ subject: "a", group, keep: false, inFlightMax: 1 }, async () => ack);
    await expect(subscribing, JSON.stringify(group)).rejects.toMatchObject({ code: "INVALID_REQUEST" });
  }
});
