// Token buckets by caller.
// Owns:          how many requests a credential, or an address without one, may send; and for how long it must wait.
// Must not know: HTTP, which fault is raised, the clock (times are handed in).
// R1. A bucket starts full. R2. A rate of 0 switches the limit off. R3. At most `bucketsMax` buckets are kept; the one that was used
//     least recently goes, so an attacker with many addresses costs memory for that many and no more.

import type { Ms } from "../ports/time.ts";

export interface RateLimit {
  /** Tokens per second; 0 = no limit. */
  readonly rps: number;
  /** Capacity; at least 1 where rps > 0. */
  readonly burst: number;
}

export class TokenBuckets {
  readonly #limit: RateLimit;
  readonly #bucketsMax: number;
  readonly #buckets = new Map<string, { tokens: number; at: Ms }>();

  constructor(limit: RateLimit, bucketsMax: number) {
    this.#limit = limit;
    this.#bucketsMax = bucketsMax;
  }

  /** Takes a token at monotonic time `now`. 0: taken; else the ms until there will be one. */
  take(key: string, now: Ms): Ms {
    if (this.#limit.rps <= 0) return 0;
    const bucket = this.#refill(key, now);
    if (bucket.tokens < 1) return this.#waitMs(bucket.tokens);
    bucket.tokens -= 1;
    return 0;
  }

  /** Puts back a token that was taken for something that turned out to cost none. */
  giveBack(key: string): void {
    const bucket = this.#buckets.get(key);
    if (bucket !== undefined) bucket.tokens = Math.min(this.#limit.burst, bucket.tokens + 1);
  }

  /** As take, but takes nothing. */
  look(key: string, now: Ms): Ms {
    if (this.#limit.rps <= 0 || !this.#buckets.has(key)) return 0;
    const { tokens } = this.#refill(key, now);
    return tokens < 1 ? this.#waitMs(tokens) : 0;
  }

  get size(): number {
    return this.#buckets.size;
  }

  #refill(key: string, now: Ms): { tokens: number; at: Ms } {
    const known = this.#buckets.get(key);
    if (known === undefined) {
      this.#makeRoom();
      const bucket = { tokens: this.#limit.burst, at: now };
      this.#buckets.set(key, bucket);
      return bucket;
    }
    known.tokens = Math.min(this.#limit.burst, known.tokens + (Math.max(0, now - known.at) * this.#limit.rps) / 1000);
    known.at = now;
    // Only a map that is nearly full needs to know which bucket is the oldest.
    if (this.#buckets.size * 2 > this.#bucketsMax) {
      this.#buckets.delete(key);
      this.#buckets.set(key, known);
    }
    return known;
  }

  #makeRoom(): void {
    if (this.#buckets.size < this.#bucketsMax) return;
    const oldest = this.#buckets.keys().next();
    if (oldest.done !== true) this.#buckets.delete(oldest.value);
  }

  #waitMs(tokens: number): Ms {
    return Math.max(1, Math.ceil(((1 - tokens) * 1000) / this.#limit.rps));
  }
}

/** The name of an address's bucket: the address itself, or the /64 of an IPv6 address, of which one host may have any. */
export function bucketOfAddress(address: string): string {
  if (!address.includes(":")) return address;
  if (address.startsWith("::ffff:") && address.includes(".")) return address.slice("::ffff:".length);
  const [head = "", tail] = address.split("::");
  const groups = head === "" ? [] : head.split(":");
  const missing = tail === undefined ? 0 : Math.max(0, 8 - groups.length - (tail === "" ? 0 : tail.split(":").length));
  const full = [
    ...groups,
    ...Array.from({ length: missing }, () => "0"),
    ...(tail === undefined ? [] : tail.split(":")),
  ];
  return full.slice(0, 4).join(":");
}
