// Deadlines that share their timers.
// Owns:          which deadline signals exist, and the one timer behind those that end in the same 50 ms.
// Must not know: what kind of time it is, real or virtual; what is waited for.
// D1. Calls with the same parent that end in the same 50 ms get the same signal: no timer, listener or controller each.
// D2. One listener on a parent, however many deadlines it has, and none once they have all fired.
// D3. A deadline is held until it fires, even when the work was done earlier: give it a parent that lives long (the process, the
//     subscription), not one per request.
// D4. A parent that never fires, and lives longer than the clock whose deadlines it has, does not hold them.

import type { Ms } from "../../ports/time.ts";

export const BUCKET_MS = 50;

/** Calls `fire` after `ms`. Deadlines are never called off, only ignored. */
export type StartTimer = (ms: Ms, fire: () => void) => void;
export type Deadline = (parent: AbortSignal, ms: Ms) => AbortSignal;

interface Family {
  readonly parent: AbortSignal;
  readonly byBucket: Map<number, AbortController>;
  readonly end: () => void;
  onAbort: () => void;
}

/** `mono` in milliseconds. The signal's reason is a TimeoutError, or the parent's reason when that fires first. */
export function createDeadline(mono: () => Ms, startTimer: StartTimer): Deadline {
  const families = new WeakMap<AbortSignal, Family>();
  const buckets = new Map<number, Set<Family>>();

  const fire = (bucket: number): void => {
    const waiting = buckets.get(bucket);
    buckets.delete(bucket);
    for (const family of waiting ?? []) {
      const controller = family.byBucket.get(bucket);
      family.byBucket.delete(bucket);
      if (family.byBucket.size === 0) forget(family);
      controller?.abort(new DOMException("The deadline has passed", "TimeoutError"));
    }
  };

  const forget = (family: Family): void => {
    families.delete(family.parent);
    family.parent.removeEventListener("abort", family.onAbort);
  };

  const endFamily = (family: Family): void => {
    forget(family);
    const ended = [...family.byBucket];
    family.byBucket.clear();
    for (const [bucket, controller] of ended) {
      buckets.get(bucket)?.delete(family);
      controller.abort(family.parent.reason);
    }
  };

  const familyOf = (parent: AbortSignal): Family => {
    const known = families.get(parent);
    if (known !== undefined) return known;
    const family: Family = { parent, byBucket: new Map(), end: () => endFamily(family), onAbort: () => undefined };
    family.onAbort = hearerOf(new WeakRef(family));
    parent.addEventListener("abort", family.onAbort, { once: true });
    families.set(parent, family);
    return family;
  };

  const bucketOf = (index: number): Set<Family> => {
    const known = buckets.get(index);
    if (known !== undefined) return known;
    const created = new Set<Family>();
    buckets.set(index, created);
    startTimer(Math.max(0, index * BUCKET_MS - mono()), () => fire(index));
    return created;
  };

  return (parent, ms) => {
    if (parent.aborted) return parent;
    const index = Math.ceil((mono() + Math.max(0, ms)) / BUCKET_MS);
    const family = familyOf(parent);
    const known = family.byBucket.get(index);
    if (known !== undefined) return known.signal;
    const controller = new AbortController();
    family.byBucket.set(index, controller);
    bucketOf(index).add(family);
    return controller.signal;
  };
}

/** A function of its own: what is made inside createDeadline holds all that it knows. */
function hearerOf(family: WeakRef<Family>): () => void {
  return () => family.deref()?.end();
}
