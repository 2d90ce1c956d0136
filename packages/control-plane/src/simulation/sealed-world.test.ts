import { createHash, createHmac, randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import { SealedWorldBreach, sealWorld } from "./sealed-world.ts";

const BREACHES: readonly (readonly [string, () => unknown])[] = [
  ["Date.now", () => Date.now()],
  ["new Date", () => new Date()],
  ["setTimeout", () => setTimeout(() => undefined, 1)],
  ["setInterval", () => setInterval(() => undefined, 1)],
  ["setImmediate", () => setImmediate(() => undefined)],
  ["Math.random", () => Math.random()],
  ["performance.now", () => performance.now()],
  ["crypto.randomUUID", () => crypto.randomUUID()],
  ["randomUUID of node:crypto", () => randomUUID()],
  ["crypto.subtle.digest", () => crypto.subtle.digest("SHA-256", new Uint8Array(1))],
  ["AbortSignal.timeout", () => AbortSignal.timeout(1)],
  ["process.hrtime", () => process.hrtime()],
];

/** What each does while the world is sealed: the error's name, or "nothing". */
function sealed(act: () => unknown): string {
  const open = sealWorld();
  try {
    act();
    return "nothing";
  } catch (error) {
    return error instanceof Error ? error.name : "no error";
  } finally {
    open();
  }
}

describe("sealWorld", () => {
  it.each(BREACHES)("W1 forbids %s, and gives it back", (_, act) => {
    expect(sealed(act)).toBe(new SealedWorldBreach("").name);
    const value = act();
    if (typeof value === "object" && value !== null && "hasRef" in value) clearTimeout(value as NodeJS.Timeout);
    if (value instanceof Promise) return value;
    return undefined;
  });

  it("W2 lets hashing, signing and computing with given moments be", () => {
    const act = (): unknown => [
      createHash("sha256").update("a").digest("hex"),
      createHmac("sha256", "k").update("a").digest("hex"),
      new Date(0).toISOString(),
      new Date(2030, 1) instanceof Date,
      Date.parse("2030-01-01T00:00:00Z"),
      new AbortController(),
    ];
    expect(sealed(act)).toBe("nothing");
  });

  it("W3 opens when the last seal is broken", () => {
    const [outer, inner] = [sealWorld(), sealWorld()];
    inner();
    inner();
    expect(() => Date.now()).toThrow(SealedWorldBreach);
    outer();
    expect(Date.now()).toBeGreaterThan(0);
  });
});
