import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  alarmOfKey,
  endOfUse,
  isLive,
  type ManagedKey,
  makeKey,
  parseManagedKey,
  REPEAT_MS,
  repeat,
  revoke,
  rotate,
  tidy,
  validSecrets,
} from "./managed-key.ts";

const WISH = {
  name: "ci",
  tenants: ["acme"],
  allTenants: false,
  roles: ["submitter"],
  principal: "",
  actsForOthers: false,
  expiresAt: "never",
} as const;
const owner = { tenant: "acme", principal: "ada", keyId: "k" };
const make = (over: Partial<ManagedKey> = {}): ManagedKey => ({
  ...makeKey("id", WISH, { owner, secret: { hash: "h0", request: "r0" } }, 1_000),
  ...over,
});
const hashesAt = (key: ManagedKey, now: number) => validSecrets(key, now).map(({ hash }) => hash);

describe("a key", () => {
  it("is its own principal where none was wished", () => {
    expect(make().principal).toBe("key:id");
  });

  it("ends at its expiry and at its revocation, and stays ended", () => {
    const key = make({ expiresAt: 5_000 });
    expect([isLive(key, 4_999), isLive(key, 5_000)]).toEqual([true, false]);
    const revoked = revoke(key, 2_000) ?? key;
    expect([isLive(revoked, 2_000), hashesAt(revoked, 2_000), revoke(revoked, 3_000)]).toEqual([false, [], undefined]);
    expect([revoked, tidy(key, 5_000), key].map(({ endedAt }) => endedAt)).toEqual([2_000, 5_000, "never"]);
    expect([endOfUse(revoked), endOfUse(key), endOfUse(make())]).toEqual([2_000, 5_000, "never"]);
    expect([alarmOfKey(key), alarmOfKey(revoked), alarmOfKey(tidy(key, 5_000))]).toEqual([5_000, "never", "never"]);
    expect(revoke(tidy(key, 6_000), 7_000)?.revokedAt).toBe(7_000);
  });

  it("of a shape from the future is refused", () => {
    expect(() => parseManagedKey({ shape: 2 })).toThrow("shape 2");
    expect(() => parseManagedKey("x")).toThrow("shape undefined");
  });
});

describe("a rotation", () => {
  it("leaves the old secret valid for its grace, and no longer", () => {
    const rotation = rotate(make(), { hash: "h1", request: "r1" }, 500, 2_000);
    if (rotation.kind !== "rotated") throw new Error(rotation.kind);
    expect(hashesAt(rotation.next, 2_499)).toEqual(["h1", "h0"]);
    expect(hashesAt(rotation.next, 2_500)).toEqual(["h1"]);
    expect(alarmOfKey(rotation.next)).toBe(2_500);
    expect(alarmOfKey(tidy(rotation.next, 2_500))).toBe("never");
  });

  it("during a grace needs a decision: to wait, or to end it", () => {
    const first = rotate(make(), { hash: "h1", request: "r1" }, 500, 2_000);
    if (first.kind !== "rotated") throw new Error(first.kind);
    expect(rotate(first.next, { hash: "h2", request: "r2" }, 500, 2_499)).toEqual({ kind: "in_grace", until: 2_500 });
    expect(rotate(first.next, { hash: "h2", request: "r2" }, 0, 2_499)).toMatchObject({ kind: "rotated" });
    expect(rotate(first.next, { hash: "h2", request: "r2" }, 500, 2_500)).toMatchObject({ kind: "rotated" });
  });

  it("of a key that has ended is none", () => {
    expect(rotate(make({ expiresAt: 2_000 }), { hash: "h1", request: "" }, 0, 2_000)).toEqual({ kind: "not_live" });
  });

  it("that is asked for again replaces the secret that got lost, for a while", () => {
    const first = rotate(make(), { hash: "h1", request: "r1" }, 500, 2_000);
    if (first.kind !== "rotated") throw new Error(first.kind);
    const again = rotate(first.next, { hash: "h2", request: "r1" }, 500, 2_100);
    expect(again.kind).toBe("repeated");
    if (again.kind === "repeated") expect(hashesAt(again.next, 2_100)).toEqual(["h2", "h0"]);
    expect(repeat(first.next, { hash: "h2", request: "r1" }, 2_001 + REPEAT_MS)).toBeUndefined();
    expect(repeat(make(), { hash: "h2", request: "" }, 2_000)).toBeUndefined();
  });
});

interface Step {
  readonly what: "rotate" | "revoke" | "tidy";
  readonly graceMs: number;
  readonly passMs: number;
}

function take(key: ManagedKey, { what, graceMs }: Step, at: number, now: number): ManagedKey {
  if (what === "tidy") return tidy(key, now);
  if (what === "revoke") return revoke(key, now) ?? key;
  const rotation = rotate(key, { hash: `h${at + 1}`, request: `r${at + 1}` }, graceMs, now);
  return rotation.kind === "rotated" ? rotation.next : key;
}

describe("whatever is done to a key", () => {
  it("at most two secrets are valid, an ended key has none, and what ended never comes back", () => {
    const step: fc.Arbitrary<Step> = fc.record({
      what: fc.constantFrom(...(["rotate", "rotate", "rotate", "tidy", "tidy", "revoke"] as const)),
      graceMs: fc.constantFrom(0, 100, 1_000),
      passMs: fc.nat(700),
    });
    const expiry = fc.constantFrom<number | "never">("never", 2_500, 4_000);
    fc.assert(
      fc.property(expiry, fc.array(step, { maxLength: 30 }), (expiresAt, steps) => {
        let key = make({ expiresAt });
        let now = 1_000;
        const dead = new Set<string>();
        for (const [at, each] of steps.entries()) {
          const before = hashesAt(key, now);
          now += each.passMs;
          key = take(key, each, at, now);
          const valid = hashesAt(key, now);
          for (const hash of before.filter((one) => !valid.includes(one))) dead.add(hash);
          expect(valid.length).toBeLessThanOrEqual(2);
          expect(valid.filter((hash) => dead.has(hash))).toEqual([]);
          expect(isLive(key, now)).toBe(valid.length > 0);
        }
      }),
    );
  });
});
