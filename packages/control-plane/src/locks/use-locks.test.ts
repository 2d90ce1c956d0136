import { describe, expect, it } from "vitest";
import { memoryState } from "../adapters/memory/memory-state.ts";
import { virtualClock } from "../adapters/system/virtual-clock.ts";
import { auditLayout } from "../audit/audit-entry.ts";
import { readAudit } from "../audit/read-audit.ts";
import {
  acquireLock,
  breakLock,
  findLock,
  type LockParts,
  type LockRequest,
  listLocks,
  lockLayout,
  releaseLock,
  renewLock,
} from "./use-locks.ts";

const NEVER = new AbortController().signal;

function open() {
  const clock = virtualClock();
  const layout = { indexes: lockLayout(), logs: auditLayout(1_000_000) };
  const parts: LockParts = { state: memoryState({ partitions: 3, layout, clock }), clock, storeTimeoutMs: 1_000 };
  const request = (over: Partial<LockRequest> = {}): LockRequest => ({
    tenant: "acme",
    resource: "packs:global",
    owner: "o",
    principal: "ann",
    mode: "exclusive",
    ttlMs: 0,
    ...over,
  });
  return { clock, parts, request };
}

describe("locks", () => {
  it("K1 let exactly one of many at once in", async () => {
    const { parts, request } = open();
    const tries = Array.from({ length: 20 }, (_, n) => acquireLock(request({ owner: `o${n}` }), parts, NEVER));
    const outcomes = await Promise.allSettled(tries);
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    for (const outcome of outcomes)
      if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: "LOCK_UNAVAILABLE" });
  });

  it("K2 are each tenant's own", async () => {
    const { parts, request } = open();
    await acquireLock(request(), parts, NEVER);
    await acquireLock(request({ tenant: "other" }), parts, NEVER);
    await releaseLock(request(), parts, NEVER);
    await expect(findLock("acme", "packs:global", parts, NEVER)).rejects.toMatchObject({ code: "LOCK_NOT_FOUND" });
    expect(await findLock("other", "packs:global", parts, NEVER)).toMatchObject({ tenant: "other" });
    expect(await listLocks({ tenant: "acme", limit: 10 }, parts, NEVER)).toEqual([]);
    expect(await listLocks({ tenant: "other", limit: 10 }, parts, NEVER)).toHaveLength(1);
  });

  it("end by themselves, leave the list, and give the next holder a larger token, also long after", async () => {
    const { clock, parts, request } = open();
    const first = await acquireLock(request(), parts, NEVER);
    await clock.advance(29_999);
    await renewLock(request({ ttlMs: 10_000 }), parts, NEVER);
    await clock.advance(10_000);
    await expect(renewLock(request(), parts, NEVER)).rejects.toMatchObject({ code: "LOCK_NOT_HELD" });
    expect(await listLocks({ tenant: "acme", limit: 10 }, parts, NEVER)).toEqual([]);
    const second = await acquireLock(request({ principal: "bob" }), parts, NEVER);
    expect(second.token).toBeGreaterThan(first.token);
    await clock.advance(30 * 86_400_000);
    for (let partition = 0; partition < 3; partition++) await parts.state.sweep(partition, 100, NEVER);
    expect((await acquireLock(request(), parts, NEVER)).token).toBeGreaterThan(second.token);
  });

  it("that nobody holds are released with success; those of others are not", async () => {
    const { parts, request } = open();
    expect(await releaseLock(request(), parts, NEVER)).toBeUndefined();
    await acquireLock(request(), parts, NEVER);
    await expect(releaseLock(request({ principal: "eve" }), parts, NEVER)).rejects.toMatchObject({
      code: "LOCK_NOT_HELD",
    });
  });

  it("K3 are taken away by an operator, which is in the audit", async () => {
    const { parts, request } = open();
    const { token } = await acquireLock(request(), parts, NEVER);
    const actor = { tenant: "acme", principal: "ops", role: "operator", keyId: "k" };
    const breaking = { ...request({ principal: "ops" }), actor, reason: "its holder is gone" };
    expect(await breakLock(breaking, parts, NEVER)).toBeUndefined();
    await expect(breakLock(breaking, parts, NEVER)).rejects.toMatchObject({ code: "LOCK_NOT_HELD" });
    expect(await readAudit(parts.state, { tenant: "acme", limit: 10 }, NEVER)).toMatchObject([
      {
        action: "lock.break",
        actor,
        of: { id: "packs:global" },
        reason: "its holder is gone",
        facts: { owner: "o", token },
      },
    ]);
  });

  it.each([
    [{ resource: "" }, "resource"],
    [{ owner: "" }, "owner"],
    [{ resource: "x".repeat(513) }, "resource"],
    [{ owner: "x".repeat(257) }, "owner"],
    [{ ttlMs: -1 }, "ttl_ms"],
    [{ ttlMs: 3_600_001 }, "ttl_ms"],
    [{ resource: "\ud800" }, "resource"],
  ])("refuse %j and name the field", async (over, field) => {
    const { parts, request } = open();
    await expect(acquireLock(request(over), parts, NEVER)).rejects.toMatchObject({
      code: "INVALID_REQUEST",
      fields: [{ field }],
    });
  });
});
