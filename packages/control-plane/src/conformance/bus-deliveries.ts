// B1, B2, B5, and B3 where it asks for a message again or refuses it: who gets a message, when it comes again, what is not sent at all.

import { expect } from "vitest";
import { ack, bytes, type Case, never, spec, text } from "./bus-scene.ts";

export function deliveryRules(test: Case): void {
  verdictCases(test);
  audienceCases(test);
  repeatCases(test);
  refusalCases(test);
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
