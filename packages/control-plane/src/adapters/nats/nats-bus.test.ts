import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { busConformance, never } from "../../conformance/bus-conformance.ts";
import { type NatsServer, startNats } from "../../testing/nats-servers.ts";
import { natsStage, untilTrue } from "../../testing/nats-stage.ts";
import { virtualClock } from "../system/virtual-clock.ts";

let server: NatsServer;
beforeAll(async () => {
  server = await startNats({ jetstream: true });
});
afterAll(() => server.stop());

/** Delays run on virtual time, the network on real time: each step of the clock leaves a moment for I/O, and when all of the time has
 *  passed, the network of a busy machine gets some more where a case can wait for so long. */
for (const mode of ["core", "jetstream"] as const) {
  busConformance(`NATS, ${mode}`, async () => {
    const clock = virtualClock();
    const stage = natsStage(server.url, { mode, clock });
    return {
      connect: () => stage.open(),
      async until(condition, limitMs) {
        const stepMs = Math.max(10, limitMs / 1_000);
        for (let passedMs = 0; passedMs < limitMs; passedMs += stepMs) {
          if (await untilTrue(condition, 2)) return true;
          await clock.advance(stepMs);
        }
        return limitMs < 2_000 ? condition() : untilTrue(condition, 3_000);
      },
      async close() {
        const closing = stage.close();
        await clock.advance(1_000);
        await closing;
      },
    };
  });
}

describe("NATS bus", () => {
  it("B1 lets nobody listen to all workers", async () => {
    await using stage = natsStage(server.url);
    const bus = await stage.open();
    const subscribe = (subject: string) =>
      bus.subscribe({ subject, keep: false, inFlightMax: 1 }, async () => ({ kind: "ack" }));
    for (const subject of ["worker.>", ">", "worker.*.jobs", "*.*.jobs", "worker.*.>"]) {
      await expect(subscribe(subject), subject).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    }
    for (const subject of ["worker.w1.jobs", "worker.w1.>", "job.>", "sys.>"]) await subscribe(subject);
  });

  it("L2 deliveries and publishes of one turn share a flush: all know their verdict in the same turn", async () => {
    await using stage = natsStage(server.url);
    const bus = await stage.open();
    await bus.subscribe({ subject: "worker.w1.jobs", keep: false, inFlightMax: 1 }, async () => ({ kind: "ack" }));
    const bytes = new Uint8Array(300);
    let [turns, isOver] = [0, false];
    const count = (): void => {
      turns++;
      if (!isOver) setImmediate(count);
    };
    count();
    const at = new Set<number>();
    const verdicts = await Promise.all(
      Array.from({ length: 1_000 }, async (_, n) => {
        const verdict = await bus.deliver(n % 2 === 0 ? "worker.w1.jobs" : "worker.w2.jobs", bytes, never);
        if (n % 100 === 0) await bus.publish("sys.job.progress", bytes, never);
        else at.add(turns);
        return verdict;
      }),
    );
    isOver = true;
    expect(at.size).toBe(1);
    expect(verdicts.filter((verdict) => verdict === "heard")).toHaveLength(500);
  });
});
