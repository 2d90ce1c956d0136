import { describe, expect, it } from "vitest";
import { startRedis } from "../../testing/servers.ts";
import { indexName, parseAlarm, recordName, SLOTS, slotOf, slotOfPartition } from "./keys.ts";

describe("keys in Redis", () => {
  it("K1: slots are those that Redis computes", async () => {
    await using server = await startRedis({ args: ["--cluster-enabled", "yes", "--cluster-config-file", "n.conf"] });
    const admin = server.admin();
    const keys = [
      "123456789",
      "cordum:{3}:job:a",
      "ctx:a",
      "",
      "{}",
      "{}a",
      "a{}b{c}",
      "{a}{b}",
      "{{a}}",
      "}{a}",
      "grüße😀",
      "a{",
      "a{b",
    ];
    for (const key of keys) expect([key, slotOf(key)]).toEqual([key, await admin.call("CLUSTER", "KEYSLOT", key)]);
    expect(slotOfPartition(3)).toBe(slotOf("cordum:{3}:job:a"));
    expect(slotOf("123456789")).toBe(0x31c3 % SLOTS);
    admin.disconnect();
  });

  it("K2: alarms give back the record's key", () => {
    for (const kind of ["job", "a:b", "@index", "%40index", "100%", "%3A"]) {
      for (const id of ["a", "run:job@1", "a%3Ab", "", ":"]) {
        const key = { partition: 12, kind, id };
        const name = recordName(key);
        expect(name.startsWith("cordum:{12}:@")).toBe(false);
        expect(parseAlarm(12, name.slice("cordum:{12}:".length))).toEqual(key);
      }
    }
  });

  it("K3: different parts never make the same key", () => {
    const parts = [[], [""], ["", ""], ["a:b"], ["a", "b"], ["a%3Ab"], ["a%253Ab"]];
    const names = parts.map((of) => indexName({ partition: 0, index: "i", of }));
    expect(new Set(names).size).toBe(parts.length);
  });
});
