import { describe, expect, it } from "vitest";
import { memoryState } from "../adapters/memory/memory-state.ts";
import { type VirtualClock, virtualClock } from "../adapters/system/virtual-clock.ts";
import { Fault } from "../ports/fault.ts";
import type { Log } from "../ports/telemetry.ts";
import { keyLayout } from "./key-indexes.ts";
import { openKeyStore } from "./key-store.ts";
import { FRESH_MS, KnownKeys, STALE_MS } from "./known-keys.ts";
import { makeKey, revoke } from "./managed-key.ts";

const never = new AbortController().signal;
const log: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const WISH = {
  name: "n",
  tenants: ["acme"],
  allTenants: false,
  roles: ["viewer"],
  principal: "ada",
  actsForOthers: false,
  expiresAt: "never",
} as const;
const owner = { tenant: "acme", principal: "ada", keyId: "" };

/** Keys in State, a process that looks them up, and a State that can be away or slow. */
async function scene() {
  const clock: VirtualClock = virtualClock({ seed: 1, startAt: 1_000_000 });
  const state = memoryState({ partitions: 3, layout: { indexes: keyLayout(), logs: {} }, clock });
  const store = openKeyStore(state, clock);
  let reads = 0;
  let isAway = false;
  let gate: Promise<void> | undefined;
  const keys = {
    async load(id: string, signal: AbortSignal) {
      reads++;
      if (isAway) throw new Fault("STATE_UNAVAILABLE", "away");
      const seen = await store.load(id, signal);
      await gate;
      return seen;
    },
  };
  const known = new KnownKeys({ keys, clock, log }, (key) => (key.revokedAt === "never" ? "live" : "revoked"), never);
  const key = makeKey("key1", WISH, { owner, secret: { hash: "h", request: "" } }, clock.now());
  await store.create(key, {}, never);
  return {
    known,
    clock,
    reads: () => reads,
    setAway: (away: boolean) => {
      isAway = away;
    },
    hold: () => {
      let release: () => void = () => undefined;
      gate = new Promise((resolve) => {
        release = resolve;
      });
      return () => {
        gate = undefined;
        release();
      };
    },
    async revoke() {
      const seen = await store.load("key1", never);
      if (seen === undefined) throw new Error("it is there");
      await store.replace(seen, revoke(seen.record, clock.now()) ?? seen.record, {}, never);
    },
  };
}

describe("known keys", () => {
  it("are read once and then answered from memory; one in use is read again before it goes stale", async () => {
    const { known, clock, reads } = await scene();
    expect(known.recall("key1")).toBeUndefined();
    expect(await known.load("key1")).toBe("live");
    for (let n = 0; n < 60; n++) {
      await clock.advance(1_000);
      expect(known.recall("key1")).toBe("live");
    }
    expect(reads()).toBeGreaterThan(6);
    expect(reads()).toBeLessThan(16);
  });

  it("that were revoked are known to be within the time of N2, without any news", async () => {
    const { known, clock, revoke } = await scene();
    await known.load("key1");
    await revoke();
    await clock.advance(FRESH_MS);
    expect(known.recall("key1")).toBeUndefined();
    expect(await known.load("key1")).toBe("revoked");
  });

  it("are read anew as soon as news comes, a read that was under way included", async () => {
    const { known, hold, revoke } = await scene();
    const release = hold();
    const reading = known.load("key1");
    await Promise.resolve();
    await Promise.resolve();
    await revoke();
    known.forget("key1");
    release();
    expect(await reading).toBe("revoked");
    expect(known.recall("key1")).toBe("revoked");
  });

  it("go on while State is away, as long as N3 says; others are not called unknown", async () => {
    const { known, clock, setAway } = await scene();
    await known.load("key1");
    setAway(true);
    const STATE_UNAVAILABLE = { code: "STATE_UNAVAILABLE" };
    await expect(known.load("key2")).rejects.toMatchObject(STATE_UNAVAILABLE);
    for (let spent = 0; spent < STALE_MS - 1_000; spent += 7_000) {
      expect(await known.load("key1")).toBe("live");
      await clock.advance(7_000);
    }
    await clock.advance(7_000);
    await expect(known.load("key1")).rejects.toMatchObject(STATE_UNAVAILABLE);
    setAway(false);
    await clock.advance(1_000);
    expect(await known.load("key1")).toBe("live");
    expect(await known.load("key2")).toBeUndefined();
  });

  it("of which news came while State was away do not go on", async () => {
    const { known, setAway } = await scene();
    await known.load("key1");
    setAway(true);
    known.forget("key1");
    await expect(known.load("key1")).rejects.toMatchObject({ code: "STATE_UNAVAILABLE" });
  });

  it("are read anew after a gap in the news, and go on if State is away then", async () => {
    const { known, revoke, setAway, clock } = await scene();
    await known.load("key1");
    await revoke();
    known.doubt();
    setAway(true);
    expect(await known.load("key1")).toBe("live");
    setAway(false);
    await clock.advance(1_000);
    expect(await known.load("key1")).toBe("revoked");
  });

  it("leave State alone for a second after it did not answer", async () => {
    const { known, reads, setAway, clock } = await scene();
    setAway(true);
    for (let n = 0; n < 100; n++) await known.load(`key${n}`).catch(() => undefined);
    expect(reads()).toBe(1);
    await clock.advance(1_000);
    await known.load("key1").catch(() => undefined);
    expect(reads()).toBe(2);
  });

  it("are bounded, and strangers push no key out", async () => {
    const { known } = await scene();
    await known.load("key1");
    for (let n = 0; n < 12_000; n++) expect(await known.load(`stranger${n}`)).toBeUndefined();
    expect(known.size).toBe(10_001);
    expect(known.recall("key1")).toBe("live");
    expect(known.recall("stranger11999")).toBe("absent");
  });

  it("are looked up by a bounded number of strangers at once", async () => {
    const { known, hold, reads } = await scene();
    await known.load("key1");
    const release = hold();
    const lookups = Array.from({ length: 1_000 }, (_, n) =>
      known.load(`stranger${n}`).then(
        () => "answered",
        () => "refused",
      ),
    );
    release();
    const answers = await Promise.all(lookups);
    expect(answers.filter((answer) => answer === "answered")).toHaveLength(256);
    expect(reads()).toBe(257);
  });
});
