import { crc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { systemClock } from "../adapters/system/clock.ts";
import { hashSecret, hasSecretForm, isKeyId, keyIdFor, keyIdOfSecret, newKeyId, newSecret } from "./secret.ts";

const clock = systemClock();

describe("a secret", () => {
  it("has the form that scanners look for, names its key, and ends in the checksum of what stands before", () => {
    for (let n = 0; n < 1_000; n++) {
      const id = newKeyId(clock);
      const secret = newSecret(id, clock);
      expect(secret).toMatch(/^cordum_[0-9A-Za-z]{60}$/);
      expect([isKeyId(id), keyIdOfSecret(secret), hasSecretForm(secret)]).toEqual([true, id, true]);
      const check = [...secret.slice(-6)].reduce((sum, digit) => sum * 62 + digitOf(digit), 0);
      expect(check).toBe(crc32(secret.slice(0, -6)));
    }
  });

  it("is another one each time, and its hash tells nothing of it", () => {
    const secrets = new Set(Array.from({ length: 1_000 }, () => newSecret("0123456789A", clock)));
    expect(secrets.size).toBe(1_000);
    for (const secret of secrets) expect(hashSecret(secret)).toMatch(/^[0-9a-f]{64}$/);
  });

  it("that was mistyped in one place is found out", () => {
    const secret = newSecret(newKeyId(clock), clock);
    fc.assert(
      fc.property(fc.integer({ min: 7, max: 66 }), fc.constantFrom(..."0Az9"), (at, digit) => {
        const mistyped = secret.slice(0, at) + digit + secret.slice(at + 1);
        expect(hasSecretForm(mistyped)).toBe(mistyped === secret);
      }),
    );
  });

  it.each([
    "",
    "cordum_",
    "cordum_short",
    `cordum_${"a".repeat(61)}`,
    `cordum_${"-".repeat(60)}`,
    `CORDUM_${"a".repeat(60)}`,
  ])("is not %j", (text) => expect(hasSecretForm(text)).toBe(false));
});

describe("an id", () => {
  it("of a cause is the same each time, and another for another cause", () => {
    expect(keyIdFor("a")).toBe(keyIdFor("a"));
    expect(keyIdFor("a")).not.toBe(keyIdFor("b"));
    expect(isKeyId(keyIdFor("a"))).toBe(true);
  });
});

function digitOf(digit: string): number {
  return "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".indexOf(digit);
}
