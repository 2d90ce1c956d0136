// Payloads: opaque bytes behind pointers, with a time to live.
// Owns:          the contract for contexts, results, artifacts and memory parts.
// Must not know: what the bytes mean; which job they belong to; how a pointer is spelled (protocol's pointer codec gives the key).
// P1. Keys are exactly those that CAP workers use: `ctx:<id>`, `res:<id>`, `art:<id>`, `mem:<id>:<part>`; and one that observers of the
//     original read, `sys:workers:snapshot`.
// P2. `put` replaces bytes and time to live. P3. After `keep(key, ttlMs)` a payload lives at least ttlMs; one without an end gets
//     exactly that; one that lives longer stays. P4. A put above `bytesMax` is PAYLOAD_TOO_LARGE and changes nothing.
// P5. `inspect` tells what lies at a key in whatever form others have stored it, and no more than it was allowed to: items end before they
//     take more than `bytesMax`, `length` tells how many there are; bytes that are longer are PAYLOAD_TOO_LARGE.

import { Fault } from "./fault.ts";
import type { Ms } from "./time.ts";

export interface PayloadTraits {
  readonly bytesMax: number;
  readonly survives: "nothing" | "process" | "power";
  readonly shared: boolean;
}

export type Inspected =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  /** A set has no order. */
  | { readonly kind: "list" | "set"; readonly length: number; readonly items: readonly Uint8Array[] }
  | { readonly kind: "map"; readonly length: number; readonly items: readonly (readonly [Uint8Array, Uint8Array])[] }
  /** By the store's own name. */
  | { readonly kind: "other"; readonly name: string };

export interface InspectLimits {
  readonly itemsMax: number;
  readonly bytesMax: number;
}

export interface Payloads {
  readonly traits: PayloadTraits;
  put(key: string, bytes: Uint8Array, ttlMs: Ms, signal: AbortSignal): Promise<void>;
  get(key: string, signal: AbortSignal): Promise<Uint8Array | undefined>;
  /** Undefined when there is nothing. Fault PAYLOAD_TOO_LARGE. */
  inspect(key: string, limits: InspectLimits, signal: AbortSignal): Promise<Inspected | undefined>;
  /** False when there is no such payload. */
  keep(key: string, ttlMs: Ms, signal: AbortSignal): Promise<boolean>;
  delete(key: string, signal: AbortSignal): Promise<void>;
  /** Removes up to `budget` expired payloads, where the engine does not do so by itself. */
  sweep(budget: number, signal: AbortSignal): Promise<{ readonly removed: number; readonly done: boolean }>;
  close(): Promise<void>;
}

/** What an engine that keeps nothing but bytes tells, see P5. */
export function inspectedBytes(bytes: Uint8Array | undefined, { bytesMax }: InspectLimits): Inspected | undefined {
  if (bytes !== undefined && bytes.length > bytesMax) throw tooLargeToShow(bytes.length, bytesMax);
  return bytes === undefined ? undefined : { kind: "bytes", bytes };
}

export function tooLargeToShow(length: number, bytesMax: number): Fault {
  return new Fault("PAYLOAD_TOO_LARGE", `what lies there has ${length} bytes; at most ${bytesMax} are shown`);
}
