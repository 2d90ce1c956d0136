// The record of a lock, and how it changes.
// Owns:          who holds it, for how long, who may take it; its fencing token.
// Must not know: how it is stored, HTTP.
// L1. Each hold has an end of its own: nobody's renewal shortens or prolongs another's, and what has ended is not there.
// L2. A hold belongs to the principal that took it, whatever owner name it chose: nobody renews or releases another's.
// L3. The fencing token grows each time the lock passes from nobody to somebody or becomes exclusive, also after the record was forgotten:
//     whoever keeps the largest token that it has seen can refuse a holder that woke up late.
// L4. As with the original: holds are counted, shared becomes exclusive for the only holder, never back while it is held.

import type { EpochMs, Ms } from "../ports/time.ts";

export const LOCK_SHAPE = 1;
export const HOLDERS_MAX = 1_000;
export const COUNT_MAX = 1_000_000;

export type LockMode = "exclusive" | "shared";

export interface Hold {
  readonly owner: string;
  readonly principal: string;
  /** How often it was taken: it must be released as often. */
  readonly count: number;
  readonly expiresAt: EpochMs;
}

export interface Lock {
  readonly shape: typeof LOCK_SHAPE;
  readonly tenant: string;
  readonly resource: string;
  readonly mode: LockMode;
  /** Oldest first. */
  readonly holds: readonly Hold[];
  readonly token: number;
  readonly updatedAt: EpochMs;
}

export interface Claim {
  readonly owner: string;
  readonly principal: string;
}

export type Turn = { readonly kind: "changed"; readonly next: Lock } | { readonly kind: "refused" };

const REFUSED: Turn = { kind: "refused" };

/** A lock that nobody holds. */
export function freeLock(tenant: string, resource: string, now: EpochMs): Lock {
  return { shape: LOCK_SHAPE, tenant, resource, mode: "exclusive", holds: [], token: 0, updatedAt: now };
}

/** The lock without holds that have ended. */
export function at(lock: Lock, now: EpochMs): Lock {
  return lock.holds.every(({ expiresAt }) => expiresAt > now)
    ? lock
    : { ...lock, holds: lock.holds.filter(({ expiresAt }) => expiresAt > now) };
}

export function acquire(
  before: Lock,
  claim: Claim,
  wants: { readonly mode: LockMode; readonly ttlMs: Ms },
  now: EpochMs,
): Turn {
  const lock = at(before, now);
  const held = holdOf(lock, claim);
  const expiresAt = now + wants.ttlMs;
  const others = lock.holds.filter((hold) => hold !== held);
  if (others.some((hold) => hold.owner === claim.owner)) return REFUSED;
  if (lock.holds.length === 0) return taken(lock, wants.mode, [{ ...claim, count: 1, expiresAt }], now, true);
  const again = { ...claim, count: (held?.count ?? 0) + 1, expiresAt };
  if (again.count > COUNT_MAX) return REFUSED;
  if (lock.mode === "exclusive") return held === undefined ? REFUSED : taken(lock, "exclusive", [again], now, false);
  if (wants.mode === "shared")
    return others.length >= HOLDERS_MAX ? REFUSED : taken(lock, "shared", [...others, again], now, false);
  return held === undefined || others.length > 0 ? REFUSED : taken(lock, "exclusive", [again], now, true);
}

/** Refused: the caller holds nothing. */
export function release(before: Lock, claim: Claim, now: EpochMs): Turn {
  const lock = at(before, now);
  const held = holdOf(lock, claim);
  if (held === undefined) return REFUSED;
  const others = lock.holds.filter((hold) => hold !== held);
  const holds = held.count > 1 ? [...others, { ...held, count: held.count - 1 }] : others;
  return { kind: "changed", next: { ...lock, holds, updatedAt: now } };
}

/** Refused: the caller holds nothing. */
export function renew(before: Lock, claim: Claim, ttlMs: Ms, now: EpochMs): Turn {
  const lock = at(before, now);
  const held = holdOf(lock, claim);
  if (held === undefined) return REFUSED;
  const holds = lock.holds.map((hold) => (hold === held ? { ...hold, expiresAt: now + ttlMs } : hold));
  return { kind: "changed", next: { ...lock, holds, updatedAt: now } };
}

/** Takes all holds of the owner away, whoever they belong to. Refused: there are none. */
export function forceRelease(before: Lock, owner: string, now: EpochMs): Turn {
  const lock = at(before, now);
  const holds = lock.holds.filter((hold) => hold.owner !== owner);
  return holds.length === lock.holds.length ? REFUSED : { kind: "changed", next: { ...lock, holds, updatedAt: now } };
}

/** When the last hold ends; now for a free lock. */
export function heldUntil(lock: Lock): EpochMs {
  return lock.holds.reduce((latest, { expiresAt }) => Math.max(latest, expiresAt), lock.updatedAt);
}

function holdOf(lock: Lock, { owner, principal }: Claim): Hold | undefined {
  return lock.holds.find((hold) => hold.owner === owner && hold.principal === principal);
}

function taken(lock: Lock, mode: LockMode, holds: readonly Hold[], now: EpochMs, isPassed: boolean): Turn {
  const token = isPassed ? Math.max(lock.token + 1, now) : lock.token;
  return { kind: "changed", next: { ...lock, mode, holds, token, updatedAt: now } };
}
