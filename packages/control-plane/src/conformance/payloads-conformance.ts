// The conformance suite of Payloads: rules P1–P5 of ports/payloads.ts for every engine.
// Owns:          the suite. Must not know: which engine is tried.
// Test-only code: an engine's *.test.ts calls `payloadsConformance`.

import { describe, expect, it } from "vitest";
import type { Payloads } from "../ports/payloads.ts";
import type { Ms } from "../ports/time.ts";
import { faultOf, never } from "./state-scene.ts";

export interface OpenedPayloads {
  readonly payloads: Payloads;
  /** Lets the store's time pass. */
  pass(ms: Ms): Promise<void>;
  dispose?(): Promise<void>;
}
/** Every opening gives an empty store. */
export type OpenPayloads = () => Promise<OpenedPayloads>;
type Run = (title: string, body: (opened: OpenedPayloads) => Promise<void>) => void;

const HOUR_MS = 3_600_000;
/** Over before a test tires, and not before a busy machine has looked at what holds until then. */
const SOON_MS = 500;
const text = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : new TextDecoder().decode(bytes);
const bytes = (value: string): Uint8Array => new TextEncoder().encode(value);

export function payloadsConformance(name: string, open: OpenPayloads): void {
  describe(`payloads: ${name}`, () => {
    const run: Run = (title, body) => {
      it(title, () => inStore(open, body), 60_000);
    };
    contents(run);
    lifetimes(run);
    limits(run);
  });
}

async function inStore(open: OpenPayloads, body: (opened: OpenedPayloads) => Promise<void>): Promise<void> {
  const opened = await open();
  try {
    await body(opened);
  } finally {
    await opened.payloads.close();
    await opened.dispose?.();
  }
}

function contents(run: Run): void {
  run("P1: gives back the bytes behind a key, and nothing behind another", async ({ payloads }) => {
    const keys = ["ctx:a", "res:a", "art:a", "mem:a:1", "mem:a", "ctx:__proto__", "ctx:grüße😀", "ctx:a%3A"];
    for (const key of keys) await payloads.put(key, bytes(key), HOUR_MS, never);
    for (const key of keys) expect(text(await payloads.get(key, never))).toBe(key);
    for (const key of ["ctx:b", "", "__proto__", "constructor"]) expect(await payloads.get(key, never)).toBeUndefined();
  });
  run("P1: bytes are any bytes", async ({ payloads }) => {
    const all = Uint8Array.from({ length: 70_000 }, (_, n) => (n * 7) % 256);
    for (const content of [new Uint8Array(), Uint8Array.of(0), Uint8Array.of(255, 254, 0, 128), all]) {
      await payloads.put("ctx:a", content, HOUR_MS, never);
      expect(Buffer.from((await payloads.get("ctx:a", never)) ?? "none").equals(content)).toBe(true);
    }
  });
  run("P1: keeps the bytes as they were when they were put", async ({ payloads }) => {
    const whole = bytes("-before-");
    const part = whole.subarray(1, 7);
    const stored = payloads.put("ctx:a", part, HOUR_MS, never);
    part.fill(0);
    await stored;
    const found = await payloads.get("ctx:a", never);
    expect(text(found)).toBe("before");
    found?.fill(0);
    expect(text(await payloads.get("ctx:a", never))).toBe("before");
  });
  run("P2: put replaces", async ({ payloads }) => {
    await payloads.put("ctx:a", bytes("a longer text"), HOUR_MS, never);
    await payloads.put("ctx:a", bytes("b"), HOUR_MS, never);
    expect(text(await payloads.get("ctx:a", never))).toBe("b");
  });
  run("delete removes, also what is not there", async ({ payloads }) => {
    await payloads.put("ctx:a", bytes("a"), HOUR_MS, never);
    await payloads.put("ctx:b", bytes("b"), HOUR_MS, never);
    for (let n = 0; n < 2; n++) await payloads.delete("ctx:a", never);
    expect(await payloads.get("ctx:a", never)).toBeUndefined();
    expect(text(await payloads.get("ctx:b", never))).toBe("b");
  });
  run("many puts and gets at once do not get in each other's way", async ({ payloads }) => {
    const keys = Array.from({ length: 500 }, (_, n) => `ctx:${n}`);
    await Promise.all(keys.map((key) => payloads.put(key, bytes(key), HOUR_MS, never)));
    const found = await Promise.all(keys.map((key) => payloads.get(key, never)));
    expect(found.map(text)).toEqual(keys);
  });
}

function lifetimes(run: Run): void {
  run("P2: a payload is gone after its time to live, and put starts a new one", async ({ payloads, pass }) => {
    await payloads.put("ctx:a", bytes("a"), SOON_MS, never);
    await payloads.put("ctx:b", bytes("b"), SOON_MS, never);
    await payloads.put("ctx:b", bytes("b2"), HOUR_MS, never);
    await payloads.put("ctx:c", bytes("c"), HOUR_MS, never);
    await payloads.put("ctx:c", bytes("c2"), SOON_MS, never);
    expect(text(await payloads.get("ctx:c", never))).toBe("c2");
    await pass(SOON_MS + 20);
    const found = await Promise.all(["ctx:a", "ctx:b", "ctx:c"].map((key) => payloads.get(key, never)));
    expect(found.map(text)).toEqual([undefined, "b2", undefined]);
  });
  run("P3: keep lengthens a life and never shortens it", async ({ payloads, pass }) => {
    await payloads.put("ctx:short", bytes("s"), SOON_MS, never);
    await payloads.put("ctx:long", bytes("l"), HOUR_MS, never);
    expect(await payloads.keep("ctx:short", HOUR_MS, never)).toBe(true);
    expect(await payloads.keep("ctx:long", 50, never)).toBe(true);
    await pass(SOON_MS + 20);
    expect(text(await payloads.get("ctx:short", never))).toBe("s");
    expect(text(await payloads.get("ctx:long", never))).toBe("l");
  });
  run("P3: keep says false where there is nothing, and brings nothing back", async ({ payloads, pass }) => {
    expect(await payloads.keep("ctx:nobody", HOUR_MS, never)).toBe(false);
    await payloads.put("ctx:a", bytes("a"), 40, never);
    await pass(60);
    expect(await payloads.keep("ctx:a", HOUR_MS, never)).toBe(false);
    expect(await payloads.get("ctx:a", never)).toBeUndefined();
  });
  run("sweep ends and leaves what lives", async ({ payloads, pass }) => {
    for (let n = 0; n < 10; n++) await payloads.put(`ctx:${n}`, bytes("x"), 40, never);
    await payloads.put("ctx:lives", bytes("x"), HOUR_MS, never);
    await pass(60);
    let steps = 0;
    for (let done = false; !done; steps++) {
      const step = await payloads.sweep(3, never);
      expect(step.removed).toBeLessThanOrEqual(3);
      expect(steps).toBeLessThan(100);
      done = step.done;
    }
    expect(await payloads.sweep(3, never)).toEqual({ removed: 0, done: true });
    expect(text(await payloads.get("ctx:lives", never))).toBe("x");
  });
}

function limits(run: Run): void {
  run("P4: a put above bytesMax is PAYLOAD_TOO_LARGE and changes nothing", async ({ payloads }) => {
    const { bytesMax } = payloads.traits;
    await payloads.put("ctx:a", bytes("before"), HOUR_MS, never);
    expect(await faultOf(payloads.put("ctx:a", new Uint8Array(bytesMax + 1), HOUR_MS, never))).toBe(
      "PAYLOAD_TOO_LARGE",
    );
    expect(text(await payloads.get("ctx:a", never))).toBe("before");
    await payloads.put("ctx:a", new Uint8Array(bytesMax), HOUR_MS, never);
    expect((await payloads.get("ctx:a", never))?.length).toBe(bytesMax);
  });
  run(
    "P5: inspect tells the bytes, nothing where nothing is, and refuses what is too long",
    async ({ payloads, pass }) => {
      const limits = { itemsMax: 2, bytesMax: 5 };
      await payloads.put("mem:a", bytes("12345"), HOUR_MS, never);
      await payloads.put("mem:empty", bytes(""), HOUR_MS, never);
      await payloads.put("mem:long", bytes("123456"), HOUR_MS, never);
      await payloads.put("mem:gone", bytes("x"), 40, never);
      await pass(60);
      const look = async (key: string) => {
        const found = await payloads.inspect(key, limits, never);
        return found?.kind === "bytes" ? text(found.bytes) : found;
      };
      expect(await Promise.all(["mem:a", "mem:empty", "mem:gone", "mem:b"].map(look))).toEqual([
        "12345",
        "",
        undefined,
        undefined,
      ]);
      expect(await faultOf(payloads.inspect("mem:long", limits, never))).toBe("PAYLOAD_TOO_LARGE");
      expect(await faultOf(payloads.inspect("mem:a", limits, AbortSignal.abort()))).toBe("PAYLOADS_UNAVAILABLE");
    },
  );
  run("a signal that fired before sending means PAYLOADS_UNAVAILABLE, and nothing is done", async ({ payloads }) => {
    const fired = AbortSignal.abort();
    await payloads.put("ctx:a", bytes("before"), HOUR_MS, never);
    expect(await faultOf(payloads.put("ctx:a", bytes("after"), HOUR_MS, fired))).toBe("PAYLOADS_UNAVAILABLE");
    expect(await faultOf(payloads.delete("ctx:a", fired))).toBe("PAYLOADS_UNAVAILABLE");
    expect(await faultOf(payloads.get("ctx:a", fired))).toBe("PAYLOADS_UNAVAILABLE");
    expect(text(await payloads.get("ctx:a", never))).toBe("before");
  });
  run("a closed store says PAYLOADS_UNAVAILABLE", async ({ payloads }) => {
    await payloads.close();
    await payloads.close();
    expect(await faultOf(payloads.put("ctx:a", bytes("a"), HOUR_MS, never))).toBe("PAYLOADS_UNAVAILABLE");
    expect(await faultOf(payloads.get("ctx:a", never))).toBe("PAYLOADS_UNAVAILABLE");
  });
}
