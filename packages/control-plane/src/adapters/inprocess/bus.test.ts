import { describe, expect, it } from "vitest";
import { busConformance, never } from "../../conformance/bus-conformance.ts";
import { onVirtualTime } from "../../conformance/bus-scene.ts";
import type { Verdict } from "../../ports/bus.ts";
import type { Log } from "../../ports/telemetry.ts";
import { Queue } from "../bus/queue.ts";
import { matches, parsePattern } from "../bus/subject.ts";
import { systemClock } from "../system/clock.ts";
import { virtualClock } from "../system/virtual-clock.ts";
import { inProcessBus } from "./bus.ts";

const ack: Verdict = { kind: "ack" };
const bytes = new Uint8Array([1]);

busConformance("in process, virtual time", async () => {
  const clock = virtualClock();
  const bus = inProcessBus({ clock, log: memoryLog().log });
  return onVirtualTime(bus, clock);
});

describe("inProcessBus", () => {
  it("I3 tells the publisher when a subscriber has no room, and gives nobody the message", async () => {
    const clock = virtualClock();
    const bus = inProcessBus({ clock, log: memoryLog().log, waitingMax: 5 });
    let others = 0;
    await bus.subscribe({ subject: "a", keep: false, inFlightMax: 1 }, () => new Promise(() => undefined));
    await bus.subscribe({ subject: "a", keep: false, inFlightMax: 1 }, async () => {
      others++;
      return ack;
    });
    const outcomes: string[] = [];
    for (let n = 0; n < 20; n++) {
      await bus.publish("a", bytes, never).then(
        () => outcomes.push("sent"),
        (error: { code: string }) => outcomes.push(error.code),
      );
      await clock.advance(1);
    }
    expect(outcomes).toEqual([...Array(6).fill("sent"), ...Array(14).fill("BUS_UNAVAILABLE")]);
    expect(others).toBe(6);
  });

  it("I3 passes over a member of a group that has no room", async () => {
    const clock = virtualClock();
    const bus = inProcessBus({ clock, log: memoryLog().log, waitingMax: 2 });
    let handled = 0;
    await bus.subscribe({ subject: "a", group: "g", keep: false, inFlightMax: 1 }, () => new Promise(() => undefined));
    await bus.subscribe({ subject: "a", group: "g", keep: false, inFlightMax: 1 }, async () => {
      handled++;
      return ack;
    });
    for (let n = 0; n < 50; n++) {
      await bus.publish("a", bytes, never);
      await clock.advance(1);
    }
    expect(handled).toBe(47);
  });

  it("counts what waits for its repetition as waiting", async () => {
    const clock = virtualClock();
    const bus = inProcessBus({ clock, log: memoryLog().log, waitingMax: 3 });
    await bus.subscribe({ subject: "a", keep: false, inFlightMax: 8 }, async () => ({ kind: "later", inMs: 10_000 }));
    for (let n = 0; n < 3; n++) {
      await bus.publish("a", bytes, never);
      await clock.advance(1);
    }
    await expect(bus.publish("a", bytes, never)).rejects.toMatchObject({ code: "BUS_UNAVAILABLE" });
  });

  it("says what a drain gives up, and leaves no timer", async () => {
    const clock = virtualClock();
    const { log, events } = memoryLog();
    const bus = inProcessBus({ clock, log });
    await bus.subscribe({ subject: "a", keep: false, inFlightMax: 8 }, async () => ({ kind: "later", inMs: 10_000 }));
    await bus.publish("a", bytes, never);
    await clock.advance(1);
    await bus.drain(never);
    await clock.advance(20_000);
    expect(events).toContain("bus.messages_given_up");
    expect(clock.pending).toBe(0);
  });

  it("handles what waits before a drain ends", async () => {
    const bus = inProcessBus({ clock: virtualClock(), log: memoryLog().log });
    let handled = 0;
    await bus.subscribe({ subject: "a", keep: false, inFlightMax: 2, laneOf: () => "one" }, async () => {
      handled++;
      return ack;
    });
    for (let n = 0; n < 2_000; n++) await bus.publish("a", bytes, never);
    await bus.drain(never);
    expect(handled).toBe(2_000);
  });

  it("asks who answers", async () => {
    const bus = inProcessBus({ clock: virtualClock(), log: memoryLog().log });
    await expect(bus.ask("echo", bytes, never)).rejects.toMatchObject({ code: "BUS_UNAVAILABLE" });
    const answering = await bus.answer("echo", async (question) => Uint8Array.of(...question, 2));
    expect(await bus.ask("echo", bytes, never)).toEqual(Uint8Array.of(1, 2));
    expect(await bus.deliver("echo", bytes, never)).toBe("heard");
    await answering.drain(never);
    await expect(bus.ask("echo", bytes, never)).rejects.toMatchObject({ code: "BUS_UNAVAILABLE" });
  });

  it("lets timers and I/O run while a hundred thousand messages wait", async () => {
    const clock = systemClock();
    const bus = inProcessBus({ clock, log: memoryLog().log, waitingMax: 200_000 });
    let handled = 0;
    let handledAtTimer = 0;
    await bus.subscribe({ subject: "a", keep: false, inFlightMax: 256 }, async () => {
      handled++;
      return ack;
    });
    for (let n = 0; n < 100_000; n++) void bus.publish("a", bytes, never);
    await clock.sleep(1, never);
    handledAtTimer = handled;
    await bus.drain(never);
    expect(handledAtTimer).toBeLessThan(100_000);
    expect(handled).toBe(100_000);
  });

  it("looks at subjects that change with every message without keeping them all", async () => {
    const bus = inProcessBus({ clock: virtualClock(), log: memoryLog().log });
    let handled = 0;
    await bus.subscribe({ subject: "job.*", keep: false, inFlightMax: 64 }, async () => {
      handled++;
      return ack;
    });
    for (let n = 0; n < 25_000; n++) await bus.publish(`job.n${n}`, bytes, never);
    await bus.drain(never);
    expect(handled).toBe(25_000);
  });
});

describe("subjects", () => {
  it.each([
    ["a.*", "a.b", true],
    ["a.*", "a", false],
    ["a.*", "a.b.c", false],
    ["a.>", "a.b.c", true],
    ["a.>", "a", false],
    [">", "a", true],
    ["a.*.c", "a.b.c", true],
    ["a.b", "a.b", true],
    ["a.b", "a.c", false],
  ])("matches %s against %s: %s", (pattern, subject, expected) => {
    expect(matches(parsePattern(pattern), subject.split("."))).toBe(expected);
  });
});

describe("Queue", () => {
  it("is first in, first out across its compactions", () => {
    const queue = new Queue<number>();
    const out: (number | undefined)[] = [];
    for (let n = 1; n <= 10_000; n++) {
      queue.put(n);
      if (n % 3 === 0) out.push(queue.take());
    }
    while (queue.size > 0) out.push(queue.take());
    expect(out).toEqual(Array.from({ length: 10_000 }, (_, n) => n + 1));
    expect(queue.take()).toBeUndefined();
  });
});

function memoryLog(): { readonly log: Log; readonly events: string[] } {
  const events: string[] = [];
  const note = (event: string): void => void events.push(event);
  return { log: { debug: note, info: note, warn: note, error: note }, events };
}
