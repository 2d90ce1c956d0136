// B3, B4: how many handlers run at once and in which order; how they end.

import { expect } from "vitest";
import { ack, bytes, type Case, never, spec, text } from "./bus-scene.ts";

export function handlerRules(test: Case): void {
  limitCases(test);
  laneCases(test);
  drainCases(test);
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

function drainCases(test: Case): void {
  test("B3 drains a subscription: what runs ends, what is new goes elsewhere", async ({ connect, subject, until }) => {
    const bus = await connect();
    let [begun, first, second] = [0, 0, 0];
    let free: () => void = () => undefined;
    const blocked = new Promise<void>((resolve) => {
      free = resolve;
    });
    const leaving = await bus.subscribe(spec(subject("work"), { group: "g" }), async () => {
      begun++;
      await blocked;
      first++;
      return ack;
    });
    await bus.publish(subject("work"), bytes("x"), never);
    expect(await until(() => begun === 1, 2_000)).toBe(true);
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
    expect([begun, first]).toEqual([1, 1]);
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
