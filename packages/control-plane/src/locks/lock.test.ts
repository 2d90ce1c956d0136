import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  acquire,
  at,
  type Claim,
  freeLock,
  heldUntil,
  type Lock,
  type LockMode,
  release,
  renew,
  type Turn,
} from "./lock.ts";

const NOW = 1_800_000_000_000;
const [ann, bob]: readonly [Claim, Claim] = [
  { owner: "a", principal: "ann" },
  { owner: "b", principal: "bob" },
];
const FREE = freeLock("acme", "build", NOW);

function next(turn: Turn): Lock {
  if (turn.kind === "refused") throw new Error("refused");
  return turn.next;
}
const take = (lock: Lock, claim: Claim, mode: LockMode = "exclusive", now = NOW, ttlMs = 1_000) =>
  acquire(lock, claim, { mode, ttlMs }, now);
const owners = (lock: Lock) => lock.holds.map(({ owner, count }) => [owner, count]);

describe("a lock", () => {
  it("is exclusive: its holder takes it again, nobody else does until it is given back as often", () => {
    const once = next(take(FREE, ann));
    const twice = next(take(once, ann, "shared"));
    expect([twice.mode, owners(twice)]).toEqual(["exclusive", [["a", 2]]]);
    expect(take(twice, bob).kind).toBe("refused");
    const left = next(release(twice, ann, NOW));
    expect(take(left, bob).kind).toBe("refused");
    expect(owners(next(take(next(release(left, ann, NOW)), bob)))).toEqual([["b", 1]]);
  });

  it("is shared by many, and becomes exclusive for the only one that is left", () => {
    const both = next(take(next(take(FREE, ann, "shared")), bob, "shared"));
    expect(take(both, ann, "exclusive").kind).toBe("refused");
    const alone = next(release(both, bob, NOW));
    const upgraded = next(take(alone, ann, "exclusive"));
    expect([upgraded.mode, owners(upgraded), upgraded.token > alone.token]).toEqual(["exclusive", [["a", 2]], true]);
    expect(take(upgraded, bob, "shared").kind).toBe("refused");
  });

  it("L1 ends for each holder by itself: nobody shortens another's time", () => {
    const both = next(take(next(take(FREE, ann, "shared", NOW, 10_000)), bob, "shared", NOW, 1_000));
    const shortened = next(renew(both, bob, 500, NOW));
    expect(heldUntil(shortened)).toBe(NOW + 10_000);
    expect(owners(at(shortened, NOW + 500))).toEqual([["a", 1]]);
    expect(renew(shortened, bob, 500, NOW + 500).kind).toBe("refused");
    expect(owners(next(take(shortened, bob, "exclusive", NOW + 10_000)))).toEqual([["b", 1]]);
  });

  it("L2 belongs to a principal: the same owner name of another one is not its holder", () => {
    const held = next(take(FREE, ann));
    const thief = { owner: "a", principal: "eve" };
    for (const turn of [take(held, thief), release(held, thief, NOW), renew(held, thief, 9_000, NOW)])
      expect(turn.kind).toBe("refused");
    const shared = next(take(FREE, ann, "shared"));
    expect(take(shared, thief, "shared").kind).toBe("refused");
  });

  it("L1 L3 never has two exclusive holders, and each new holder has a larger token, whatever is done", () => {
    fc.assert(
      fc.property(fc.array(DEED, { maxLength: 40 }), (deeds) => {
        let lock = FREE;
        let now = NOW;
        for (const deed of deeds) {
          now += deed.passMs;
          const turn = done(lock, deed, now);
          if (turn.kind === "refused") continue;
          judge(lock, turn.next, now);
          lock = turn.next;
        }
      }),
    );
  });
});

const DEED = fc.record({
  who: fc.constantFrom(ann, bob, { owner: "c", principal: "ann" }),
  what: fc.constantFrom("exclusive", "shared", "release", "renew"),
  passMs: fc.integer({ min: 0, max: 700 }),
});

function done(lock: Lock, { who, what }: { readonly who: Claim; readonly what: string }, now: number): Turn {
  if (what === "release") return release(lock, who, now);
  if (what === "renew") return renew(lock, who, 1_000, now);
  return take(lock, who, what === "shared" ? "shared" : "exclusive", now);
}

function judge(before: Lock, after: Lock, now: number): void {
  if (after.mode === "exclusive") expect(after.holds.length).toBeLessThanOrEqual(1);
  expect(new Set(after.holds.map(({ owner }) => owner)).size).toBe(after.holds.length);
  const isNew = at(before, now).holds.length === 0 && after.holds.length > 0;
  expect(after.token).toBeGreaterThanOrEqual(isNew ? before.token + 1 : before.token);
}
