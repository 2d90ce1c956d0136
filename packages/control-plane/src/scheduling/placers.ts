// Placers: the processes that place jobs, and what part of a worker each may use.
// Owns:          who is alive among them; the shares of a worker's slots.
// Must not know: the bus (jobs/peers.ts), workers beyond their ids.
// Z1. Without a leader and without talking: from the same list of living placers all compute the same shares, and these add up to the
//     worker's slots exactly. Z2. While lists differ (a placer has come or gone within the last seconds) the sum may be off by what the
//     newcomers or leavers hold: at most one share each. Heartbeats of the worker correct it.
// Z3. Who cannot be heard is not dead: while this process has no bus, the others keep their shares, or each would take all for its own.

import type { EpochMs, Ms } from "../ports/time.ts";

/** A placer is alive for this long after its last word. */
export const PLACER_TTL_MS: Ms = 7_000;
/** Of others. Whoever may publish on the bus can make placers up: beyond these, one that is not known is not heard. */
export const PLACERS_MAX = 256;

export class Placers {
  readonly #self: string;
  readonly #seenAt = new Map<string, EpochMs>();
  #cached: { readonly ids: readonly string[]; readonly until: EpochMs } | undefined;

  constructor(self: string) {
    this.#self = self;
  }

  get self(): string {
    return this.#self;
  }

  /** True when the list of living placers has changed by it. */
  hear(id: string, now: EpochMs): boolean {
    const isNew = id !== this.#self && !this.#isAlive(id, now);
    if (isNew && this.alive(now).length > PLACERS_MAX) return false;
    this.#seenAt.set(id, now);
    if (isNew) this.#cached = undefined;
    return isNew;
  }

  /** This process can hear nobody: of this time no silence counts. To be called at least every PLACER_TTL_MS while that is so. */
  excuseSilence(now: EpochMs): void {
    this.alive(now); // forgets those that were silent before
    for (const id of this.#seenAt.keys()) this.#seenAt.set(id, now);
    this.#cached = undefined;
  }

  /** It said that it goes. */
  leave(id: string): void {
    if (this.#seenAt.delete(id)) this.#cached = undefined;
  }

  /** Living placers, this one included, in one order everywhere. */
  alive(now: EpochMs): readonly string[] {
    if (this.#cached !== undefined && now < this.#cached.until) return this.#cached.ids;
    const ids = [this.#self];
    let until = now + PLACER_TTL_MS;
    for (const [id, at] of this.#seenAt) {
      if (now - at > PLACER_TTL_MS) this.#seenAt.delete(id);
      else if (id !== this.#self) {
        ids.push(id);
        until = Math.min(until, at + PLACER_TTL_MS + 1);
      }
    }
    ids.sort();
    this.#cached = { ids, until };
    return ids;
  }

  /** No other placer is alive, as far as this one has heard. */
  isAlone(now: EpochMs): boolean {
    return this.alive(now).length === 1;
  }

  /** Slots of the worker that this placer may have in use; 0 … capacity. */
  shareOf(workerId: string, capacity: number, now: EpochMs): number {
    return shareOf({ self: this.#self, placers: this.alive(now), workerId, capacity });
  }

  #isAlive(id: string, now: EpochMs): boolean {
    const at = this.#seenAt.get(id);
    return at !== undefined && now - at <= PLACER_TTL_MS;
  }
}

interface ShareQuestion {
  readonly self: string;
  readonly placers: readonly string[];
  readonly workerId: string;
  readonly capacity: number;
}

/** Everybody gets capacity / placers, rounded down; what is left over goes to those that rank highest for this worker. */
export function shareOf({ self, placers, workerId, capacity }: ShareQuestion): number {
  if (placers.length <= 1) return capacity;
  const base = Math.floor(capacity / placers.length);
  const left = capacity - base * placers.length;
  return left > 0 && rankOf(self, placers, workerId) < left ? base + 1 : base;
}

/** Position by rendezvous hash: 0 ranks highest. Source: Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", 1998. */
function rankOf(self: string, placers: readonly string[], workerId: string): number {
  const own = weight(self, workerId);
  let before = 0;
  for (const placer of placers) {
    if (placer === self) continue;
    const other = weight(placer, workerId);
    if (other > own || (other === own && placer < self)) before++;
  }
  return before;
}

function weight(placer: string, workerId: string): number {
  let hash = 0x811c9dc5;
  for (const text of [placer, "\n", workerId]) {
    for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
