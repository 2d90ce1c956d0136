// What every Bus must do, rule by rule (ports/bus.ts).
// Owns:          the cases B1 to B5.
// Must not know: which bus it is. `connect` opens one more connection to the same bus; `until` waits for a condition on its clock.

import { afterEach, describe, expect, it } from "vitest";
import type { Bus, SubscriptionSpec, Verdict } from "../ports/bus.ts";
import type { Ms } from "../ports/time.ts";

export interface BusUnderTest {
  /** On a bus of one process always the same one. */
  connect(): Promise<Bus>;
  /** True as soon as `condition` holds, false when it did not within `limitMs` of the bus' clock. */
  until(condition: () => boolean, limitMs: Ms): Promise<boolean>;
  close(): Promise<void>;
}
/** Cases that a bus cannot pass, by the beginning of their name, with the reason that the report prints. */
export interface BusSkip {
  readonly case: string;
  readonly reason: string;
}

interface World extends BusUnderTest {
  /** A subject that no other test uses. */
  subject(...tokens: string[]): string;
}
type Case = (name: string, run: (world: World) => Promise<void>) => void;

export const never = new AbortController().signal;
const ack: Verdict = { kind: "ack" };

export function busConformance(name: string, open: () => Promise<BusUnderTest>, skip: readonly BusSkip[] = []): void {
  describe(`bus: ${name}`, () => {
    const opened: BusUnderTest[] = [];
    afterEach(async () => {
      for (const bus of opened.splice(0)) await bus.close();
    });
    let count = 0;
    const test: Case = (title, run) => {
      const skipped = skip.find((known) => title.startsWith(known.case));
      it.skipIf(skipped !== undefined)(skipped === undefined ? title : `${title} (${skipped.reason})`, async () => {
        const bus = await open();
        opened.push(bus);
        const prefix = `t${process.pid}x${count++}x${Math.floor(performance.now())}`;
        await run({ ...bus, subject: (...tokens) => [prefix, ...tokens].join(".") });
      });
    };
    verdictCases(test);
    audienceCases(test);
    limitCases(test);
    laneCases(test);
    repeatCases(test);
    drainCases(test);
    refusalCases(test);
  });
}

function spec(subject: string, more: Partial<SubscriptionSpec> = {}): SubscriptionSpec {
  return { subject, keep: false, inFlightMax: 16, ...more };
}

function verdictCases(test: Case): void {
  test("B1 tells that somebody listens, and that nobody does", async ({ connect, subject, until }) => {
    const [here, there] = [await connect(), await connect()];
    const heard: string[] = [];
    const subscription = await here.subscribe(spec(subject("a")), async (bytes) => {
      heard.push(text(bytes));
      return ack;
    });
    expect(await there.deliver(subject("a"), bytes("one"), never)).toBe("heard");
    expect(await there.deliver(subject("b"), bytes("two"), never)).toBe("nobody");
    expect(await until(() => heard.length === 1, 2_000)).toBe(true);
    await subscription.drain(never);
    expect(await until(() => false, 50)).toBe(false);
    expect(await there.deliver(subject("a"), bytes("three"), never)).toBe("nobody");
    expect(heard).toEqual(["one"]);
  });

  test("B1 gives each of many deliveries its own verdict", async ({ connect, subject }) => {
    const bus = await connect();
    await bus.subscribe(spec(subject("here", "*")), async () => ack);
    const verdicts = await Promise.all(
      Array.from({ length: 200 }, (_, n) =>
        bus.deliver(subject(n % 2 === 0 ? "here" : "gone", `n${n}`), bytes("x"), never),
      ),
    );
    expect(verdicts).toEqual(Array.from({ length: 200 }, (_, n) => (n % 2 === 0 ? "heard" : "nobody")));
  });

  test("B1 publishes to nobody without complaint", async ({ connect, subject }) => {
    await expect((await connect()).publish(subject("nobody"), bytes("x"), never)).resolves.toBeUndefined();
  });
}

function audienceCases(test: Case): void {
  test("B2 gives each message to everybody without a group and to one of each group", async ({
    connect,
    subject,
    until,
  }) => {
    const got: Record<string, string[]> = { alone: [], other: [], g: [], h: [] };
    const note = (name: string) => async (message: Uint8Array) => {
      got[name]?.push(text(message));
      return ack;
    };
    const connections = [await connect(), await connect(), await connect()];
    for (const bus of connections) {
      await bus.subscribe(spec(subject("work"), { group: "g" }), note("g"));
      await bus.subscribe(spec(subject("work"), { group: "h" }), note("h"));
    }
    await connections[0]?.subscribe(spec(subject("work")), note("alone"));
    await connections[1]?.subscribe(spec(subject("work")), note("other"));
    const sent = Array.from({ length: 60 }, (_, n) => `m${n}`);
    for (const message of sent) await connections[2]?.publish(subject("work"), bytes(message), never);
    expect(await until(() => Object.values(got).every((messages) => messages.length >= 60), 5_000)).toBe(true);
    for (const messages of Object.values(got)) expect([...messages].sort()).toEqual([...sent].sort());
  });

  test("B2 shares the work among the members of a group", async ({ connect, subject, until }) => {
    const counts = [0, 0];
    const bus = await connect();
    for (const member of [0, 1]) {
      await bus.subscribe(spec(subject("work"), { group: "g" }), async () => {
        counts[member] = (counts[member] ?? 0) + 1;
        return ack;
      });
    }
    for (let n = 0; n < 200; n++) await bus.publish(subject("work"), bytes("x"), never);
    expect(await until(() => (counts[0] ?? 0) + (counts[1] ?? 0) === 200, 5_000)).toBe(true);
    expect(Math.min(...counts)).toBeGreaterThan(20);
  });

  test("B2 understands * as one token and > as one or more", async ({ connect, subject, until }) => {
    const got: string[] = [];
    const bus = await connect();
    const listen = (name: string, pattern: string) =>
      bus.subscribe(spec(pattern), async (_, about) => {
        got.push(`${name}:${about.subject.split(".").slice(1).join(".")}`);
        return ack;
      });
    await listen("star", subject("job", "*", "x"));
    await listen("rest", subject("job", ">"));
    for (const tokens of [["job"], ["job", "a"], ["job", "a", "x"], ["job", "a", "b", "x"], ["jobs", "a", "x"]]) {
      await bus.publish(subject(...tokens), bytes("x"), never);
    }
    expect(await until(() => got.length >= 4, 2_000)).toBe(true);
    expect(got.sort()).toEqual(["rest:job.a", "rest:job.a.b.x", "rest:job.a.x", "star:job.a.x"]);
  });

  test("B2 hands over the bytes as they were published", async ({ connect, subject, until }) => {
    const bus = await connect();
    const sent = [new Uint8Array(0), Uint8Array.from({ length: 256 }, (_, n) => n), new Uint8Array(100_000).fill(7)];
    const got: Uint8Array[] = [];
    await bus.subscribe(spec(subject("raw")), async (message) => {
      got.push(Uint8Array.from(message));
      return ack;
    });
    for (const message of sent) await bus.publish(subject("raw"), message, never);
    expect(await until(() => got.length === 3, 5_000)).toBe(true);
    expect(got.map((message) => message.byteLength).sort()).toEqual([0, 100_000, 256]);
    expect(sent.every((message) => got.some((other) => Buffer.compare(message, other) === 0))).toBe(true);
  });
}

function limitCases(test: Case): void {
  test("B3 runs at most inFlightMax handlers and lets the rest wait", async ({ connect, subject, until }) => {
    const bus = await connect();
    let [running, most, done] = [0, 0, 0];
    const ends: (() => void)[] = [];
    await bus.subscribe(spec(subject("slow"), { inFlightMax: 3 }), async () => {
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => ends.push(resolve));
      running--;
      done++;
      return ack;
    });
    for (let n = 0; n < 30; n++) await bus.publish(subject("slow"), bytes("x"), never);
    expect(await until(() => running === 3, 2_000)).toBe(true);
    expect(await until(() => running > 3, 50)).toBe(false);
    const all = await until(() => {
      for (const end of ends.splice(0)) end();
      return done === 30;
    }, 5_000);
    expect([all, most]).toEqual([true, 3]);
  });

  test("B3 never runs a handler inside the call that publishes", async ({ connect, subject, until }) => {
    const bus = await connect();
    let ran = false;
    await bus.subscribe(spec(subject("later")), async () => {
      ran = true;
      return ack;
    });
    const published = bus.publish(subject("later"), bytes("x"), never);
    expect(ran).toBe(false);
    await published;
    expect(await until(() => ran, 2_000)).toBe(true);
  });
}

function laneCases(test: Case): void {
  test("B4 keeps a lane in order, one at a time, and lanes beside each other", async ({ connect, subject, until }) => {
    const bus = await connect();
    const order = new Map<string, number[]>();
    const busy = new Set<string>();
    let [collisions, done, most] = [0, 0, 0];
    const laneOf = (message: Uint8Array): string => text(message).split(":")[0] ?? "";
    await bus.subscribe(spec(subject("lane"), { inFlightMax: 8, laneOf }), async (message) => {
      const [lane = "", n] = text(message).split(":");
      if (busy.has(lane)) collisions++;
      busy.add(lane);
      most = Math.max(most, busy.size);
      for (let wait = 0; wait < 1 + (Number(n) % 3); wait++) await Promise.resolve();
      order.set(lane, [...(order.get(lane) ?? []), Number(n)]);
      busy.delete(lane);
      done++;
      return ack;
    });
    // Without waiting for each other, so that several lanes have something to do also on a network.
    const messages = Array.from({ length: 200 }, (_, n) => bytes(`${"abcde"[n % 5]}:${n}`));
    await Promise.all(messages.map((message) => bus.publish(subject("lane"), message, never)));
    expect(await until(() => done === 200, 5_000)).toBe(true);
    expect(collisions).toBe(0);
    expect(most).toBeGreaterThan(1);
    for (const numbers of order.values()) expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
  });

  test("B4 does not let one slow lane stop the others", async ({ connect, subject, until }) => {
    const bus = await connect();
    let free: () => void = () => undefined;
    const blocked = new Promise<void>((resolve) => {
      free = resolve;
    });
    let [slow, fast] = [0, 0];
    await bus.subscribe(spec(subject("lane"), { inFlightMax: 2, laneOf: text }), async (message) => {
      if (text(message) === "slow") {
        await blocked;
        slow++;
      } else fast++;
      return ack;
    });
    for (let n = 0; n < 20; n++) {
      await bus.publish(subject("lane"), bytes("slow"), never);
      await bus.publish(subject("lane"), bytes(`fast${n}`), never);
    }
    expect(await until(() => fast === 20, 5_000)).toBe(true);
    expect(slow).toBe(0);
    free();
    expect(await until(() => slow === 20, 5_000)).toBe(true);
  });

  test("B4 survives a laneOf that throws", async ({ connect, subject, until }) => {
    const bus = await connect();
    let done = 0;
    const laneOf = (): string => {
      throw new Error("cannot read this");
    };
    await bus.subscribe(spec(subject("lane"), { laneOf }), async () => {
      done++;
      return ack;
    });
    await bus.publish(subject("lane"), bytes("x"), never);
    expect(await until(() => done === 1, 2_000)).toBe(true);
  });
}

function repeatCases(test: Case): void {
  test("B5 repeats what a handler threw at, later each time, and counts the deliveries", async ({
    connect,
    subject,
    until,
  }) => {
    const bus = await connect();
    const deliveries: number[] = [];
    await bus.subscribe(spec(subject("flaky")), async (_, about) => {
      deliveries.push(about.delivery);
      if (about.delivery < 4) throw new Error("not yet");
      return ack;
    });
    await bus.publish(subject("flaky"), bytes("x"), never);
    expect(await until(() => deliveries.length === 4, 15_000)).toBe(true);
    expect(await until(() => deliveries.length > 4, 200)).toBe(false);
    expect(deliveries).toEqual([1, 2, 3, 4]);
  });

  test("B5 treats a handler that throws at once like one that rejects", async ({ connect, subject, until }) => {
    const bus = await connect();
    let deliveries = 0;
    await bus.subscribe(spec(subject("flaky")), () => {
      if (++deliveries < 2) throw new Error("at once");
      return Promise.resolve(ack);
    });
    await bus.publish(subject("flaky"), bytes("x"), never);
    expect(await until(() => deliveries === 2, 5_000)).toBe(true);
  });

  test("B5 gives a message up after 10 deliveries", async ({ connect, subject, until }) => {
    const bus = await connect();
    let deliveries = 0;
    await bus.subscribe(spec(subject("poison")), async () => {
      deliveries++;
      throw new Error("always");
    });
    await bus.publish(subject("poison"), bytes("x"), never);
    expect(await until(() => deliveries === 10, 600_000)).toBe(true);
    expect(await until(() => deliveries > 10, 3_600_000)).toBe(false);
  });

  test("B3 brings back what asked for later, and never what was acknowledged or refused", async ({
    connect,
    subject,
    until,
  }) => {
    const bus = await connect();
    const got: string[] = [];
    await bus.subscribe(spec(subject("again")), async (message, about) => {
      got.push(`${text(message)}${about.delivery}`);
      if (text(message) === "later" && about.delivery < 3) return { kind: "later", inMs: 30 };
      return text(message) === "refuse" ? { kind: "refuse", reason: "no use" } : ack;
    });
    for (const message of ["later", "refuse", "ack"]) await bus.publish(subject("again"), bytes(message), never);
    expect(await until(() => got.length === 5, 15_000)).toBe(true);
    expect(await until(() => got.length > 5, 200)).toBe(false);
    expect(got.sort()).toEqual(["ack1", "later1", "later2", "later3", "refuse1"]);
  });
}

function drainCases(test: Case): void {
  test("B3 drains a subscription: what runs ends, what is new goes elsewhere", async ({ connect, subject, until }) => {
    const bus = await connect();
    let [first, second] = [0, 0];
    let free: () => void = () => undefined;
    const blocked = new Promise<void>((resolve) => {
      free = resolve;
    });
    const leaving = await bus.subscribe(spec(subject("work"), { group: "g" }), async () => {
      await blocked;
      first++;
      return ack;
    });
    await bus.publish(subject("work"), bytes("x"), never);
    expect(await until(() => false, 30)).toBe(false);
    await bus.subscribe(spec(subject("work"), { group: "g" }), async () => {
      second++;
      return ack;
    });
    let drained = false;
    const draining = leaving.drain(never).then(() => {
      drained = true;
    });
    expect(await until(() => drained, 50)).toBe(false);
    for (let n = 0; n < 10; n++) await bus.publish(subject("work"), bytes("x"), never);
    expect(await until(() => second === 10, 5_000)).toBe(true);
    free();
    await draining;
    expect(first).toBe(1);
  });

  test("B3 ends a drain when its signal fires and tells the running handlers", async ({ connect, subject, until }) => {
    const bus = await connect();
    let told = false;
    let started = false;
    const subscription = await bus.subscribe(spec(subject("stuck")), (_bytes, _about, signal) => {
      started = true;
      return new Promise((resolve) => {
        signal.addEventListener("abort", () => {
          told = true;
          resolve(ack);
        });
      });
    });
    await bus.publish(subject("stuck"), bytes("x"), never);
    expect(await until(() => started, 2_000)).toBe(true);
    const stop = new AbortController();
    const draining = subscription.drain(stop.signal);
    stop.abort();
    await draining;
    expect(await until(() => told, 2_000)).toBe(true);
  });

  test("B3 drains a connection and then refuses", async ({ connect, subject }) => {
    const bus = await connect();
    expect(bus.status().connected).toBe(true);
    await bus.drain(never);
    expect(bus.status().connected).toBe(false);
    await expect(bus.publish(subject("x"), bytes("x"), never)).rejects.toMatchObject({ code: "BUS_UNAVAILABLE" });
    await expect(bus.deliver(subject("x"), bytes("x"), never)).rejects.toMatchObject({ code: "BUS_UNAVAILABLE" });
  });
}

function refusalCases(test: Case): void {
  test("B2 refuses what is no subject, as a rejection", async ({ connect, subject }) => {
    const bus = await connect();
    const wrong = [
      "",
      ".",
      "a.",
      ".a",
      "a..b",
      "a b",
      "a\tb",
      "a\r\nPUB x",
      "*",
      `${subject("a")}.*`,
      `${subject("a")}.>`,
      "ä",
      "x".repeat(600),
    ];
    for (const bad of wrong) {
      await expect(bus.publish(bad, bytes("x"), never), JSON.stringify(bad)).rejects.toMatchObject({
        code: "INVALID_REQUEST",
      });
    }
    for (const bad of ["", "a..b", "a.>.b", "a b", "a.\u0000"]) {
      await expect(
        bus.subscribe(spec(bad), async () => ack),
        JSON.stringify(bad),
      ).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    }
  });

  test("B3 refuses a packet above packetBytesMax, and sends nothing", async ({ connect, subject, until }) => {
    const bus = await connect();
    let got = 0;
    await bus.subscribe(spec(subject("big")), async () => {
      got++;
      return ack;
    });
    const tooBig = new Uint8Array(bus.traits.packetBytesMax + 1);
    await expect(bus.publish(subject("big"), tooBig, never)).rejects.toMatchObject({ code: "PAYLOAD_TOO_LARGE" });
    expect(await until(() => got > 0, 50)).toBe(false);
  });

  test("B1 rejects with BUS_UNAVAILABLE when its signal has fired", async ({ connect, subject }) => {
    const bus = await connect();
    await expect(bus.publish(subject("x"), bytes("x"), AbortSignal.abort())).rejects.toMatchObject({
      code: "BUS_UNAVAILABLE",
    });
  });
}

function bytes(message: string): Uint8Array {
  return new TextEncoder().encode(message);
}

function text(message: Uint8Array): string {
  return new TextDecoder().decode(message);
}
