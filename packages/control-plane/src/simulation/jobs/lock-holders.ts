// Holders of locks at a node of a simulated house.
// Owns:          taking, keeping, giving back and breaking locks, and what they were told.
// Must not know: how locks are kept; what must hold of a lock (lock-watch.ts).

import { acquireLock, breakLock, type LockRequest, releaseLock, renewLock } from "../../locks/use-locks.ts";
import { Fault } from "../../ports/fault.ts";
import { actorNamed, faultOr, ignoringFaults, TENANT, type User } from "./user.ts";

const RESOURCES = ["r1", "r2"] as const;
const TTL_MS = 6_000;

export async function holdLocks(user: User): Promise<void> {
  const { chance, clock, signal } = user.ports;
  for (let nth = 0; await clock.sleep(500 + chance.below(4_000), signal); nth++) {
    if (user.ledger.isHealed) return;
    const request: LockRequest = {
      tenant: TENANT,
      resource: RESOURCES[chance.below(RESOURCES.length)] ?? "r1",
      owner: `${user.name}#${user.ports.life}-${nth}`,
      principal: `svc-${user.name}`,
      mode: chance.once(3) ? "shared" : "exclusive",
      ttlMs: TTL_MS,
    };
    await ignoringFaults(() => holdOne(request, user));
  }
}

async function holdOne(request: LockRequest, user: User): Promise<void> {
  const { parts, ledger, fail } = user;
  const { chance, clock, signal } = user.ports;
  const lockParts = { state: parts.state, clock, storeTimeoutMs: 5_000 };
  const { resource, owner } = request;
  const taken = await faultOr(acquireLock(request, lockParts, signal));
  if (taken instanceof Fault) {
    ledger.count(`lock ${taken.code}`);
    if (taken.code === "LOCK_UNAVAILABLE" && chance.once(6)) await breakSomeones(request, user);
    return;
  }
  ledger.count(`lock taken ${request.mode}`);
  if (!ledger.locks.isGranted(resource, owner, taken.token) && !ledger.hasFailedOver)
    fail(`G19: ${owner} was told that it holds ${resource} under ${taken.token}, and no version says so`);
  await clock.sleep(chance.below(TTL_MS * 1.5), signal);
  if (chance.once(3))
    ledger.count(
      (await faultOr(renewLock(request, lockParts, signal))) instanceof Fault ? "lock not renewed" : "lock renewed",
    );
  if (chance.once(5)) return; // forgets to let go
  ledger.locks.noteLettingGo(owner);
  ledger.count(
    (await faultOr(releaseLock(request, lockParts, signal))) instanceof Fault ? "lock not released" : "lock released",
  );
}

async function breakSomeones({ tenant, resource }: LockRequest, user: User): Promise<void> {
  const { parts, ledger, fail } = user;
  const { clock, signal } = user.ports;
  const lockParts = { state: parts.state, clock, storeTimeoutMs: 5_000 };
  const holder = ledger.locks.holderOf(resource);
  if (holder === undefined) return;
  ledger.locks.noteLettingGo(holder);
  const base = { tenant, resource, owner: holder, principal: "olga", mode: "exclusive", ttlMs: 0 } as const;
  await breakLock({ ...base, actor: actorNamed("olga"), reason: "stuck" }, lockParts, signal);
  ledger.count("lock broken");
  ledger.confirmDeed("lock.break", resource, fail);
}
