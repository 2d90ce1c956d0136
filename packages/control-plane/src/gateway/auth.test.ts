import { describe, expect, it } from "vitest";
import { systemClock } from "../adapters/system/clock.ts";
import { type ManagedKey, makeKey, revoke, rotate } from "../keys/managed-key.ts";
import { hashSecret, newSecret } from "../keys/secret.ts";
import { Fault } from "../ports/fault.ts";
import { hashKey, parseApiKeys } from "./api-keys.ts";
import { type Auth, createAuth, entryOfKey, type ManagedKeys } from "./auth.ts";

const UNAUTHENTICATED = expect.objectContaining({ code: "UNAUTHENTICATED" });
const configured = (keys: string) =>
  parseApiKeys({ keys, file: undefined, single: [], defaultTenant: "default", allowsNoKeys: false }).keys;

describe("a configured key", () => {
  const auth = createAuth(
    configured(
      JSON.stringify([
        { key: "k1", tenant: "acme", principal_id: "ada", role: "viewer" },
        { key: "old", expires_at: "2026-01-01T00:00:00Z" },
      ]),
    ),
    "default",
  );

  it("is known with blanks and quotes around it", async () => {
    for (const presented of ["k1", " k1 ", '"k1"', "'k1'"]) {
      const identity = auth.recall(presented, 0);
      expect(identity).toEqual({
        tenant: "acme",
        tenants: ["acme"],
        principal: "ada",
        role: "viewer",
        roles: ["viewer"],
        allowCrossTenant: false,
        actsForOthers: false,
        keyId: hashKey("k1").slice(0, 12),
        secretId: hashKey("k1").slice(0, 12),
      });
      expect(await auth.identify(presented, 0)).toBe(identity);
    }
  });

  it.each([
    undefined,
    "",
    "k2",
    "K1",
    "k1k1",
    "__proto__",
    "constructor",
    "k1\u0000",
    "x".repeat(1_000_000),
    "cordum_",
  ])("is not %j", async (presented) => {
    expect(() => auth.recall(presented, 0)).toThrow(UNAUTHENTICATED);
    await expect(auth.identify(presented, 0)).rejects.toEqual(UNAUTHENTICATED);
  });

  it("ends at its expiry, for connections that are open too", async () => {
    const at = Date.UTC(2026, 0, 1);
    const identity = auth.recall("old", at - 1);
    if (identity === undefined) throw new Error("a configured key is always known");
    expect(await auth.stillValid(identity, at - 1)).toBe(true);
    expect(await auth.stillValid(identity, at)).toBe(false);
    expect(() => auth.recall("old", at)).toThrow(UNAUTHENTICATED);
  });

  it("is not needed where the open mode was configured", () => {
    expect(createAuth([], "solo").recall(undefined, 0)).toMatchObject({
      tenant: "solo",
      principal: "anonymous",
      allowCrossTenant: false,
      actsForOthers: false,
    });
  });
});

describe("a managed key", () => {
  const clock = systemClock();
  const id = "0123456789A";
  const secret = newSecret(id, clock);
  const wish = {
    name: "ci",
    tenants: ["acme", "beta"],
    allTenants: false,
    roles: ["submitter", "approver", "wizard"],
    principal: "",
    actsForOthers: false,
    expiresAt: 10_000,
  } as const;
  const owner = { tenant: "acme", principal: "ada", keyId: "k" };
  const key = makeKey(id, wish, { owner, secret: { hash: hashSecret(secret), request: "" } }, 1_000);

  /** Where `now` is what State says, and `memory` what this process remembers. */
  function authOf(parts: {
    memory?: ManagedKey | "absent";
    state?: ManagedKey | "away";
    isOld?: boolean;
  }): Auth & { readonly uses: string[] } {
    const uses: string[] = [];
    const managed: ManagedKeys = {
      known: {
        recall: () =>
          parts.memory === undefined || parts.memory === "absent" ? parts.memory : entryOfKey(parts.memory),
        load: async () => {
          if (parts.state === "away") throw new Fault("STATE_UNAVAILABLE", "away");
          return parts.state === undefined ? undefined : entryOfKey(parts.state);
        },
        isFresh: () => parts.isOld !== true,
      },
      note: (keyId, at) => uses.push(`${keyId} ${at}`),
    };
    return { ...createAuth(configured("boot"), "default", { managed }), uses };
  }

  it("is let in from memory at once, and from State where memory does not know", async () => {
    const known = authOf({ memory: key });
    expect(known.recall(secret, 2_000)).toEqual({
      tenant: "acme",
      tenants: ["acme", "beta"],
      principal: `key:${id}`,
      role: "submitter",
      roles: ["submitter", "approver"],
      allowCrossTenant: false,
      actsForOthers: false,
      keyId: id,
      secretId: hashSecret(secret).slice(0, 12),
    });
    expect(known.uses).toEqual([`${id} 2000`]);
    const unknown = authOf({ state: key });
    expect(unknown.recall(secret, 2_000)).toBeUndefined();
    expect(await unknown.identify(secret, 2_000)).toMatchObject({ keyId: id });
    expect(unknown.uses).toEqual([`${id} 2000`]);
  });

  it("is refused with another secret, after its end, and where nobody knows it", async () => {
    const other = newSecret(id, clock);
    expect(() => authOf({ memory: key }).recall(other, 2_000)).toThrow(UNAUTHENTICATED);
    await expect(authOf({ state: key }).identify(other, 2_000)).rejects.toEqual(UNAUTHENTICATED);
    expect(() => authOf({ memory: key }).recall(secret, 10_000)).toThrow(UNAUTHENTICATED);
    expect(() => authOf({ memory: revoke(key, 2_000) ?? key }).recall(secret, 2_000)).toThrow(UNAUTHENTICATED);
    expect(() => authOf({ memory: "absent" }).recall(secret, 2_000)).toThrow(UNAUTHENTICATED);
    await expect(authOf({}).identify(secret, 2_000)).rejects.toEqual(UNAUTHENTICATED);
  });

  it("is not looked for in State when its checksum is wrong", () => {
    const mistyped = `${secret.slice(0, -1)}${secret.endsWith("0") ? "1" : "0"}`;
    expect(() => authOf({ state: key }).recall(mistyped, 2_000)).toThrow(UNAUTHENTICATED);
  });

  it("is not unknown because State is away", async () => {
    await expect(authOf({ state: "away" }).identify(secret, 2_000)).rejects.toMatchObject({
      code: "STATE_UNAVAILABLE",
    });
  });

  it("whose secret may be newer than what is remembered is not refused while State is away (A3)", async () => {
    const newer = newSecret(id, clock);
    const old = authOf({ memory: key, state: key, isOld: true });
    expect(old.recall(newer, 2_000)).toBeUndefined();
    await expect(old.identify(newer, 2_000)).rejects.toMatchObject({ code: "STATE_UNAVAILABLE" });
    expect(old.recall(secret, 2_000)).toMatchObject({ keyId: id });
    const fresh = authOf({ memory: key, state: key });
    await expect(fresh.identify(newer, 2_000)).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
  });

  it("that was rotated comes in with both secrets until the grace is over, and an open connection ends with its own", async () => {
    const second = newSecret(id, clock);
    const rotation = rotate(key, { hash: hashSecret(second), request: "" }, 1_000, 2_000);
    if (rotation.kind !== "rotated") throw new Error("it is live");
    const auth = authOf({ memory: rotation.next, state: rotation.next });
    const before = auth.recall(secret, 2_999);
    const after = auth.recall(second, 2_999);
    if (before === undefined || after === undefined) throw new Error("both are valid");
    expect([await auth.stillValid(before, 2_999), await auth.stillValid(before, 3_000)]).toEqual([true, false]);
    expect([await auth.stillValid(after, 3_000), await auth.stillValid(after, 10_000)]).toEqual([true, false]);
    expect(() => auth.recall(secret, 3_000)).toThrow(UNAUTHENTICATED);
    expect(await authOf({ state: "away" }).stillValid(after, 2_000)).toBe(false);
  });

  it("whose roles this process does not know may do nothing", () => {
    expect(() => authOf({ memory: { ...key, roles: ["wizard"] } }).recall(secret, 2_000)).toThrow(UNAUTHENTICATED);
  });
});
