// Holders of locks at a node of a simulated house.
// Owns:          taking, keeping, giving back and breaking locks; what must hold of each version of a lock.
// Must not know: how locks are kept.
// G19: A hold that has not ended stays until its holder lets go of it or an operator breaks it; an exclusive lock has one holder; a fencing
//      token never shrinks and grows when the lock passes on; who was told that it holds a lock is in the record.

import { COUNT_MAX, LOCK_SHAPE, type Lock } from "../../locks/lock.ts";
import { acquireLock, breakLock, LOCK_KIND, type LockRequest, releaseLock, renewLock } from "../../locks/use-locks.ts";
import { Fault } from "../../ports/fault.ts";
import type { Batch } from "../../ports/state.ts";
import type { EpochMs } from "../../ports/time.ts";
import { readShape } from "../../records/shape.ts";
import { DIFFERING_CLOCKS } from "../clock-error.ts";
import { actorNamed, faultOr, ignoringFaults, TENANT, type User } from "./people.ts";

const RESOURCES = ["r1", "r2"] as const;
const TTL_MS = 6_000;

export class LockWatch {
  readonly #latest = new Map<string, Lock>();
  readonly #granted = new Set<string>();
  /** Owners that let go, or were broken. */
  readonly #letGo = new Set<string>();

  noteLettingGo(owner: string): void {
    this.#letGo.add(owner);
  }

  /** The store may have forgotten some; what it kept is observed again. */
  forget(): void {
    this.#latest.clear();
    this.#granted.clear();
  }

  observe({ changes }: Batch, now: EpochMs, fail: (says: string) => void): void {
    for (const change of changes) {
      if (change.do !== "put" || change.key.kind !== LOCK_KIND) continue;
      const lock = readShape<Lock>(change.value, LOCK_SHAPE, "lock");
      const says = this.#judge(this.#latest.get(change.key.id), lock, now);
      if (says !== undefined) fail(`G19: ${lock.resource}: ${says}`);
      this.#latest.set(change.key.id, lock);
      for (const { owner } of lock.holds) this.#granted.add(`${lock.resource} ${owner} ${lock.token}`);
    }
  }

  isGranted(resource: string, owner: string, token: number): boolean {
    return this.#granted.has(`${resource} ${owner} ${token}`);
  }

  /** Of the newest version. */
  holderOf(resource: string): string | undefined {
    for (const lock of this.#latest.values()) if (lock.resource === resource) return lock.holds[0]?.owner;
    return undefined;
  }

  #judge(before: Lock | undefined, lock: Lock, now: EpochMs): string | undefined {
    if (lock.mode === "exclusive" && lock.holds.length > 1) return `${lock.holds.length} hold it exclusively`;
    if (lock.holds.some(({ count }) => count < 1 || count > COUNT_MAX)) return "a hold has an impossible count";
    if (before === undefined) return undefined;
    if (lock.token < before.token) return `its token went from ${before.token} to ${lock.token}`;
    const stays = new Set(lock.holds.map(({ owner }) => owner));
    const lost = before.holds.find(
      ({ owner, expiresAt }) =>
        expiresAt > now + DIFFERING_CLOCKS.unfollowedMs && !stays.has(owner) && !this.#letGo.has(owner),
    );
    if (lost !== undefined) return `${lost.owner} lost it ${lost.expiresAt - now} ms too early`;
    const isPassedOn = lock.holds.length > 0 && !before.holds.some(({ owner }) => stays.has(owner));
    return isPassedOn && lock.token === before.token ? "it was passed on under the same token" : undefined;
  }
}

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
