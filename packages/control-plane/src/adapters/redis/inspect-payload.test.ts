import { describe, expect, it } from "vitest";
import { faultOf, never } from "../../conformance/state-scene.ts";
import type { Inspected } from "../../ports/payloads.ts";
import { redisStage } from "../../testing/redis-stage.ts";

const stage = redisStage(1);

const LIMITS = { itemsMax: 100, bytesMax: 10_000 };
const inspect = (limits = LIMITS) => stage.opened.payloads.inspect("mem:x", limits, never);
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();
const plain = (found: Inspected | undefined) =>
  found !== undefined && "items" in found
    ? { ...found, items: found.items.map((item) => (item instanceof Uint8Array ? text(item) : item.map(text))) }
    : found;

describe("redis: P5, what workers of the original have stored", () => {
  it("is told for lists, sets and hashes of any size", async () => {
    const names = Array.from({ length: 90 }, (_, n) => `item-${n}`);
    await stage.admin.rpush("mem:x", ...names);
    expect(plain(await inspect())).toEqual({ kind: "list", length: 90, items: names });
    await stage.admin.del("mem:x");
    const many = Array.from({ length: 2_000 }, (_, n) => `item-${n}-${"x".repeat(80)}`);
    await stage.admin.sadd("mem:x", ...many);
    const set = plain(await inspect({ itemsMax: 3_000, bytesMax: 1_000_000 }));
    expect(set).toMatchObject({ kind: "set", length: 2_000 });
    expect(set !== undefined && "items" in set ? set.items.toSorted() : []).toEqual(many.toSorted());
    await stage.admin.del("mem:x");
    await stage.admin.hset("mem:x", { a: "1", __proto__x: "2" });
    expect(plain(await inspect())).toEqual({
      kind: "map",
      length: 2,
      items: [
        ["a", "1"],
        ["__proto__x", "2"],
      ],
    });
  });

  it("ends at the number of items and at the number of bytes", async () => {
    await stage.admin.rpush("mem:x", ...Array.from({ length: 5_000 }, (_, n) => String(n).padStart(10, "0")));
    expect(plain(await inspect({ itemsMax: 3, bytesMax: 1_000 }))).toMatchObject({
      length: 5_000,
      items: ["0000000000", "0000000001", "0000000002"],
    });
    const short = plain(await inspect({ itemsMax: 5_000, bytesMax: 205 }));
    expect(short !== undefined && "items" in short ? short.items.length : -1).toBe(20);
    await stage.admin.del("mem:x");
    await stage.admin.hset(
      "mem:x",
      Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`f${n}`, "x".repeat(100)])),
    );
    const few = plain(await inspect({ itemsMax: 7, bytesMax: 10_000 }));
    expect(few !== undefined && "items" in few ? [few.length, few.items.length] : []).toEqual([300, 7]);
  });

  it("is named where it is something else, and refused where its bytes are too many", async () => {
    await stage.admin.zadd("mem:x", 1, "a");
    expect(await inspect()).toEqual({ kind: "other", name: "zset" });
    await stage.admin.set("mem:x", Buffer.from([255, 0, 254]));
    expect(await inspect()).toEqual({ kind: "bytes", bytes: Buffer.from([255, 0, 254]) });
    expect(await faultOf(inspect({ itemsMax: 1, bytesMax: 2 }))).toBe("PAYLOAD_TOO_LARGE");
    await stage.admin.del("mem:x");
    expect(await inspect()).toBeUndefined();
  });
});
