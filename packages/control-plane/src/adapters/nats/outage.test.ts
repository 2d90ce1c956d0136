import { expect, it } from "vitest";
import { never } from "../../conformance/bus-conformance.ts";
import type { Verdict } from "../../ports/bus.ts";
import { Fault } from "../../ports/fault.ts";
import { cuttingProxy } from "../../testing/cutting-proxy.ts";
import { startNats } from "../../testing/nats-servers.ts";
import { natsStage, untilTrue } from "../../testing/nats-stage.ts";
import { freePort } from "../../testing/server-process.ts";
import type { Gap, NatsBus } from "./nats-bus.ts";

const ack: Verdict = { kind: "ack" };
const bytes = new Uint8Array(200);
const submits = { subject: "sys.job.submit", group: "cordum-scheduler", keep: true, inFlightMax: 8 } as const;

/** Publishes without pause until told to stop; counts what became of it. */
function load(bus: NatsBus, subject: string, senders: number) {
  const outcomes = { sent: 0, unavailable: 0, other: [] as unknown[] };
  let isStopped = false;
  const send = async (): Promise<void> => {
    while (!isStopped) {
      try {
        await bus.publish(subject, bytes, never);
        outcomes.sent++;
      } catch (error) {
        if (error instanceof Fault && error.code === "BUS_UNAVAILABLE") outcomes.unavailable++;
        else outcomes.other.push(error);
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
  };
  const sending = Promise.all(Array.from({ length: senders }, send));
  return {
    outcomes,
    async stop() {
      isStopped = true;
      await sending;
    },
  };
}

for (const mode of ["core", "jetstream"] as const) {
  it(`L3, L4: ${mode}: rejects while the server is dead, hangs nowhere, and works as before when it is back`, async () => {
    await using server = await startNats({ jetstream: true });
    await using stage = natsStage(server.url, { mode });
    const bus = await stage.open();
    const subject = mode === "core" ? "sys.job.progress" : "sys.job.submit";
    let got = 0;
    await bus.subscribe({ ...submits, subject }, async () => {
      got++;
      return ack;
    });
    const gaps: Gap[] = [];
    bus.onReconnect((gap) => void gaps.push(gap));
    bus.onReconnect(() => Promise.reject(new Error("a listener that fails stops nobody")));
    const senders = load(bus, subject, 50);
    await expect.poll(() => senders.outcomes.sent).toBeGreaterThan(500);

    await server.kill();
    await expect.poll(() => senders.outcomes.unavailable).toBeGreaterThan(100);
    expect(bus.status()).toEqual({ connected: false, reconnects: 0 });
    await expect(bus.deliver("worker.w.jobs", bytes, never)).rejects.toMatchObject({ code: "BUS_UNAVAILABLE" });
    await expect(bus.ask("sys.worker.handshake", bytes, never)).rejects.toMatchObject({ code: "BUS_UNAVAILABLE" });
    await expect(bus.subscribe({ ...submits, subject: "x" }, async () => ack)).rejects.toMatchObject({
      code: "BUS_UNAVAILABLE",
    });

    await server.restart();
    const before = { sent: senders.outcomes.sent, got };
    await expect.poll(() => senders.outcomes.sent).toBeGreaterThan(before.sent + 500);
    await expect.poll(() => got).toBeGreaterThan(before.got + 500);
    await senders.stop();
    expect(senders.outcomes.other).toEqual([]);
    expect(bus.status()).toEqual({ connected: true, reconnects: 1 });
    expect(gaps).toEqual([{ kind: "reconnected" }]);
    expect(await bus.deliver("worker.w.jobs", bytes, never)).toBe("nobody");
  });
}

it("JetStream: what was published before a crash of the server is delivered after it", async () => {
  await using server = await startNats({ jetstream: true });
  await using stage = natsStage(server.url, { mode: "jetstream", stream: { ackWaitMs: 1_000 } });
  const [sender, receiver] = [await stage.open(), await stage.open()];
  const got = new Set<string>();
  const seenBefore = new Set<string>();
  const stuck = new AbortController();
  await receiver.subscribe({ ...submits, inFlightMax: 256 }, async (message) => {
    const text = new TextDecoder().decode(message);
    if (!stuck.signal.aborted) {
      seenBefore.add(text);
      return new Promise<Verdict>(() => undefined);
    }
    got.add(text);
    return ack;
  });
  const sent = Array.from({ length: 300 }, (_, n) => `m${n}`);
  for (const text of sent) await sender.publish("sys.job.submit", new TextEncoder().encode(text), never);
  await expect.poll(() => seenBefore.size).toBeGreaterThan(0);
  await server.kill();
  stuck.abort();
  await receiver.drain(AbortSignal.timeout(10));
  await server.restart();
  const next = await stage.open();
  await next.subscribe(submits, async (message) => {
    got.add(new TextDecoder().decode(message));
    return ack;
  });
  await expect.poll(() => got.size).toBe(300);
});

it("L4 a server that is there and says nothing holds nobody up for longer than callMsMax, or than the caller wants", async () => {
  await using server = await startNats({ jetstream: true });
  await using proxy = await cuttingProxy(server.port);
  const limits = { callMsMax: 1_000, pingEveryMs: 500 };
  await using stage = natsStage(`nats://127.0.0.1:${proxy.port}`, { mode: "jetstream", limits });
  const bus = await stage.open();
  proxy.pause();
  const unavailable = { code: "BUS_UNAVAILABLE" };
  const start = performance.now();
  await Promise.all([
    expect(bus.publish("a", bytes, never)).rejects.toMatchObject(unavailable),
    expect(bus.publish("sys.job.submit", bytes, never)).rejects.toMatchObject(unavailable),
    expect(bus.deliver("worker.w.jobs", bytes, never)).rejects.toMatchObject(unavailable),
    expect(bus.subscribe({ ...submits, subject: "b" }, async () => ack)).rejects.toMatchObject(unavailable),
    expect(bus.subscribe(submits, async () => ack)).rejects.toMatchObject(unavailable),
  ]);
  expect(performance.now() - start).toBeLessThan(4_000); // the default of callMsMax would hold them up for longer
  const impatient = new AbortController();
  const given = bus.publish("a", bytes, impatient.signal);
  impatient.abort();
  await expect(given).rejects.toMatchObject(unavailable);
  await expect.poll(() => bus.status().connected).toBe(false); // two pings without answer
  proxy.resume();
  const outcome = () =>
    bus.publish("a", bytes, never).then(
      () => "sent",
      () => "no",
    );
  await expect.poll(outcome).toBe("sent");
});

it("L3 names the address when nobody answers, and no secret", async () => {
  const port = await freePort();
  await using stage = natsStage(`nats://bob:hunter2@127.0.0.1:${port}`, { limits: { connectMsMax: 500 } });
  const failing = stage.open();
  await expect(failing).rejects.toMatchObject({ code: "BUS_UNAVAILABLE" });
  const message = await failing.catch((error: Error) => error.message);
  expect(message).toContain(`127.0.0.1:${port}`);
  expect(message).not.toMatch(/hunter2|bob/);
});

it("L3 gives up a server that accepts and never speaks", async () => {
  await using server = await startNats();
  await using proxy = await cuttingProxy(server.port);
  proxy.pause();
  await using stage = natsStage(`nats://127.0.0.1:${proxy.port}`, { limits: { connectMsMax: 300 } });
  await expect(stage.open()).rejects.toMatchObject({ code: "BUS_UNAVAILABLE" });
});

it("takes the next of several servers when one is gone", async () => {
  await using first = await startNats();
  await using second = await startNats();
  await using stage = natsStage(`${first.url},${second.url}`);
  const bus = await stage.open();
  let got = 0;
  await bus.subscribe({ subject: "a", keep: false, inFlightMax: 1 }, async () => {
    got++;
    return ack;
  });
  await first.kill();
  const sends = async (): Promise<boolean> =>
    bus.publish("a", bytes, never).then(
      () => got > 0,
      () => false,
    );
  expect(await untilTrue(sends, 10_000)).toBe(true);
});

it("drains at once when the server is gone", async () => {
  await using server = await startNats({ jetstream: true });
  await using stage = natsStage(server.url, { mode: "jetstream" });
  const bus = await stage.open();
  await bus.subscribe(submits, async () => ack);
  await bus.subscribe({ ...submits, subject: "a" }, async () => ack);
  await bus.answer("q", async () => bytes);
  await server.kill();
  await expect.poll(() => bus.status().connected).toBe(false);
  await bus.drain(AbortSignal.timeout(5_000));
  await expect(bus.publish("a", bytes, never)).rejects.toMatchObject({
    code: "BUS_UNAVAILABLE",
    message: "the bus is closed",
  });
});
