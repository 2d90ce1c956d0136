import { describe, expect, it } from "vitest";
import { settle } from "../testing/manual-runtime.ts";
import { KeptPackets } from "./kept-packets.ts";

const bytes = (text: string) => Buffer.from(text);

function scene(limits = { packetsMax: 10, bytesMax: 100 }) {
  const published: string[] = [];
  const flushes: PromiseWithResolvers<void>[] = [];
  const kept = new KeptPackets(
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
    limits,
  );
  return { kept, published, flushes };
}

describe("kept packets", () => {
  it("count as sent when the flush after them is answered; those of one turn share it", async () => {
    const { kept, published, flushes } = scene();
    let sent = 0;
    for (const text of ["a", "b", "c"]) void kept.send("s", bytes(text)).then(() => sent++);
    await settle();
    expect({ published, flushes: flushes.length, sent, size: kept.size }).toEqual({
      published: ["a", "b", "c"],
      flushes: 1,
      sent: 0,
      size: 3,
    });
    flushes[0]?.resolve();
    await settle();
    expect({ sent, size: kept.size }).toEqual({ sent: 3, size: 0 });
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
