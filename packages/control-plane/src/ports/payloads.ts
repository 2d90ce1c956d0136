// Payloads: opaque bytes behind pointers, with a time to live.
// Owns:          the contract for contexts, results, artifacts and memory parts.
// Must not know: what the bytes mean; which job they belong to; how a pointer is spelled (protocol's pointer codec gives the key).
// P1. Keys are exactly those that CAP workers use: `ctx:<id>`, `res:<id>`, `art:<id>`, `mem:<id>:<part>`.
// P2. `put` replaces bytes and time to live. P3. After `keep(key, ttlMs)` a payload lives at least ttlMs; one without an end gets
//     exactly that; one that lives longer stays. P4. A put above `bytesMax` is PAYLOAD_TOO_LARGE and changes nothing.

import type { Ms } from "./time.ts";

export interface PayloadTraits {
  readonly bytesMax: number;
  readonly survives: "nothing" | "process" | "power";
  readonly shared: boolean;
}

export interface Payloads {
  readonly traits: PayloadTraits;
  put(key: string, bytes: Uint8Array, ttlMs: Ms, signal: AbortSignal): Promise<void>;
  get(key: string, signal: AbortSignal): Promise<Uint8Array | undefined>;
  /** False when there is no such payload. */
  keep(key: string, ttlMs: Ms, signal: AbortSignal): Promise<boolean>;
  delete(key: string, signal: AbortSignal): Promise<void>;
  /** Removes up to `budget` expired payloads, where the engine does not do so by itself. */
  sweep(budget: number, signal: AbortSignal): Promise<{ readonly removed: number; readonly done: boolean }>;
  close(): Promise<void>;
}
