// What must hold of each version of a lock.
// Owns:          the newest versions, who let go of what.
// Must not know: who holds locks, and why.
// G19: A hold that has not ended stays until its holder lets go of it or an operator breaks it; an exclusive lock has one holder; a fencing
//      token never shrinks and grows when the lock passes on; who was told that it holds a lock is in the record.

import { COUNT_MAX, LOCK_SHAPE, type Lock } from "../../locks/lock.ts";
import { LOCK_KIND } from "../../locks/use-locks.ts";
import type { Batch } from "../../ports/state.ts";
import type { EpochMs } from "../../ports/time.ts";
import { readShape } from "../../records/shape.ts";
import { DIFFERING_CLOCKS } from "../clock-error.ts";

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
