import { describe, expect, it } from "vitest";
import { settle } from "../testing/manual-runtime.ts";
import { PacketQueue, type QueueLimits } from "./packet-queue.ts";

const bytes = (text: string) => Buffer.from(text);

function scene(more: Partial<QueueLimits> = {}) {
  const published: string[] = [];
  const flushes: PromiseWithResolvers<void>[] = [];
  const kept = new PacketQueue(
    {
      publish: (subject, packet) => {
        if (subject === "too.large") throw new Error("payload too large");
        published.push(Buffer.from(packet).toString());
      },
      flush: () => {
        const flush = Promise.withResolvers<void>();
        flushes.push(flush);
        return flush.promise;
      },
    },
    { packetsMax: 10, bytesMax: 100, unansweredBytesMax: 5, ...more },
  );
  return { kept, published, flushes };
}

describe("packets that are to arrive", () => {
  it("count as sent when the flush after them is answered; those of one turn share it", async () => {
    const { kept, published, flushes } = scene();
    let sent = 0;
    for (const text of ["a", "b", "c"]) void kept.send("s", bytes(text)).then(() => sent++);
    await settle();
    expect({ published, flushes: flushes.length, sent, size: kept.keptPackets }).toEqual({
      published: ["a", "b", "c"],
      flushes: 1,
      sent: 0,
      size: 3,
    });
    flushes[0]?.resolve();
    await settle();
    expect({ sent, size: kept.keptPackets }).toEqual({ sent: 3, size: 0 });
  });

  it("are published once more, in order, when the connection broke before the answer", async () => {
    const { kept, published, flushes } = scene();
    const sent = Promise.all(["a", "b"].map((text) => kept.send("s", bytes(text))));
    await settle();
    kept.pause();
    flushes[0]?.reject(new Error("disconnected"));
    const later = kept.send("s", bytes("c"));
    await settle();
    expect(published).toEqual(["a", "b"]);
    kept.resume();
    await settle();
    expect(published).toEqual(["a", "b", "a", "b", "c"]);
    flushes[1]?.resolve();
    await Promise.all([sent, later]);
  });

  it("whose break is noticed late are not lost either", async () => {
    const { kept, published, flushes } = scene();
    const sent = kept.send("s", bytes("a"));
    await settle();
    flushes[0]?.reject(new Error("disconnected"));
    await settle();
    kept.pause();
    kept.resume();
    await settle();
    expect(published).toEqual(["a", "a"]);
    flushes[1]?.resolve();
    await sent;
  });

  it("are one packet when the same bytes are handed over again", async () => {
    const { kept, published, flushes } = scene();
    const packet = bytes("a");
    const both = [kept.send("s", packet), kept.send("s", packet)];
    kept.pause();
    both.push(kept.send("s", packet));
    kept.resume();
    await settle();
    expect(published).toEqual(["a"]);
    flushes[0]?.resolve();
    await Promise.all(both);
  });

  it("have a bound, in number and in bytes", async () => {
    const { kept } = scene({ packetsMax: 2, bytesMax: 5 });
    kept.pause();
    for (const text of ["aa", "bb"]) kept.send("s", bytes(text)).catch(() => undefined);
    await expect(kept.send("s", bytes("c"))).rejects.toThrow("2 packets (4 bytes) wait");
    const { kept: other } = scene({ packetsMax: 9, bytesMax: 5 });
    await expect(other.send("s", bytes("123456"))).rejects.toThrow("wait for NATS");
  });

  it("that can never be sent are told so, and hold nobody up", async () => {
    const { kept, flushes } = scene();
    const bad = kept.send("too.large", bytes("a"));
    const good = kept.send("s", bytes("b"));
    await expect(bad).rejects.toThrow("too large");
    flushes[0]?.resolve();
    await good;
    const forbidden = kept.send("secret", bytes("c"));
    await settle();
    kept.refuse("secret", new Error("not allowed"));
    await expect(forbidden).rejects.toThrow("not allowed");
    await kept.empty();
  });

  it("that are left at the end are told so, as is whoever comes later", async () => {
    const { kept } = scene();
    kept.pause();
    const left = kept.send("s", bytes("a"));
    const isEmpty = kept.empty();
    kept.close(new Error("closed"));
    await expect(left).rejects.toThrow("closed");
    await isEmpty;
    await expect(kept.send("s", bytes("b"))).rejects.toThrow("closed");
  });
});

describe("packets that may be lost", () => {
  it("leave in the order in which they came, and count as sent without an answer", async () => {
    const { kept, published, flushes } = scene();
    await kept.sendLight("s", bytes("a"));
    expect(flushes).toHaveLength(0);
    const all = [kept.sendLight("s", bytes("b")), kept.send("s", bytes("c")), kept.sendLight("s", bytes("d"))];
    await Promise.all([all[0], all[2]]);
    expect({ published, flushes: flushes.length }).toEqual({ published: ["a", "b", "c", "d"], flushes: 1 });
    flushes[0]?.resolve();
    await all[1];
  });

  it("wait for an answer when too much is unanswered", async () => {
    const { kept, published, flushes } = scene();
    let sent = 0;
    for (const text of ["aaa", "bbb"]) void kept.sendLight("s", bytes(text)).then(() => sent++);
    await settle();
    expect({ published: published.length, flushes: flushes.length, sent }).toEqual({
      published: 2,
      flushes: 1,
      sent: 0,
    });
    flushes[0]?.resolve();
    await settle();
    expect(sent).toBe(2);
    await kept.sendLight("s", bytes("c"));
    expect(flushes).toHaveLength(1);
  });

  it("are refused without connection, also when it breaks before they are written", async () => {
    const { kept, published, flushes } = scene();
    const early = kept.sendLight("s", bytes("a"));
    kept.pause();
    await expect(early).rejects.toThrow("no connection");
    await expect(kept.sendLight("s", bytes("b"))).rejects.toThrow("no connection");
    kept.resume();
    const heavy = kept.sendLight("s", bytes("123456"));
    await settle();
    flushes[0]?.reject(new Error("disconnected"));
    await expect(heavy).rejects.toThrow("no connection");
    expect(published).toEqual(["123456"]);
    await expect(kept.sendLight("too.large", bytes("c"))).rejects.toThrow("too large");
  });

  it("survive a break that is over before they are written", async () => {
    const { kept, published } = scene();
    const sent = kept.sendLight("s", bytes("a"));
    kept.pause();
    kept.resume();
    await sent;
    expect(published).toEqual(["a"]);
  });

  it("hear of the end", async () => {
    const { kept } = scene();
    const sent = kept.sendLight("s", bytes("a"));
    kept.close(new Error("closed"));
    await expect(sent).rejects.toThrow("closed");
    await expect(kept.sendLight("s", bytes("b"))).rejects.toThrow("closed");
  });
});
