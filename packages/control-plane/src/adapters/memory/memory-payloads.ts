// Payloads in memory, for tests, the simulation and demos.
// Owns:          bytes and their ends. Must not know: what the bytes mean.
// D1. Deterministic, as memoryState is: done when called, time from the Clock.

import type { Clock } from "../../ports/clock.ts";
import { assert, Fault } from "../../ports/fault.ts";
import {
  type Inspected,
  type InspectLimits,
  inspectedBytes,
  type Payloads,
  type PayloadTraits,
} from "../../ports/payloads.ts";
import type { Ms } from "../../ports/time.ts";
import { SortedSet } from "./sorted-set.ts";

export interface MemoryPayloadsOptions {
  readonly clock: Clock;
  readonly bytesMax: number;
}

export interface MemoryPayloads extends Payloads {
  /** For memoryState, whose batches put payloads here. */
  attach(key: string, text: string, keepMs: Ms): void;
}

export function memoryPayloads(options: MemoryPayloadsOptions): MemoryPayloads {
  return new MemoryPayloadsAdapter(options);
}

class MemoryPayloadsAdapter implements MemoryPayloads {
  readonly traits: PayloadTraits;
  readonly #clock: Clock;
  readonly #bytes = new Map<string, Uint8Array>();
  readonly #ends = new SortedSet();
  #isClosed = false;

  constructor({ clock, bytesMax }: MemoryPayloadsOptions) {
    this.traits = { bytesMax, survives: "nothing", shared: false };
    this.#clock = clock;
  }

  async put(key: string, bytes: Uint8Array, ttlMs: Ms, signal: AbortSignal): Promise<void> {
    this.#assertOpen(signal);
    assert(Number.isSafeInteger(ttlMs) && ttlMs > 0, "a payload lives for whole milliseconds", { ttlMs });
    if (bytes.length > this.traits.bytesMax) {
      throw new Fault("PAYLOAD_TOO_LARGE", `a payload has at most ${this.traits.bytesMax} bytes`);
    }
    this.#set(key, Uint8Array.from(bytes), ttlMs);
  }

  attach(key: string, text: string, keepMs: Ms): void {
    this.#set(key, Buffer.from(text), keepMs);
  }

  async get(key: string, signal: AbortSignal): Promise<Uint8Array | undefined> {
    this.#assertOpen(signal);
    const bytes = this.#lives(key) ? this.#bytes.get(key) : undefined;
    return bytes === undefined ? undefined : Uint8Array.from(bytes);
  }

  async inspect(key: string, limits: InspectLimits, signal: AbortSignal): Promise<Inspected | undefined> {
    return inspectedBytes(await this.get(key, signal), limits);
  }

  async keep(key: string, ttlMs: Ms, signal: AbortSignal): Promise<boolean> {
    this.#assertOpen(signal);
    assert(Number.isSafeInteger(ttlMs) && ttlMs > 0, "a payload lives for whole milliseconds", { ttlMs });
    if (!this.#lives(key)) return false;
    this.#ends.set(key, Math.max(this.#ends.scoreOf(key) ?? 0, this.#clock.now() + ttlMs));
    return true;
  }

  async delete(key: string, signal: AbortSignal): Promise<void> {
    this.#assertOpen(signal);
    this.#remove(key);
  }

  async sweep(budget: number, signal: AbortSignal): Promise<{ removed: number; done: boolean }> {
    this.#assertOpen(signal);
    const now = this.#clock.now();
    let removed = 0;
    for (
      let first = this.#ends.first();
      removed < budget && first !== undefined && first.score <= now;
      first = this.#ends.first()
    ) {
      this.#remove(first.member);
      removed++;
    }
    return { removed, done: removed < budget };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }

  #set(key: string, bytes: Uint8Array, ttlMs: Ms): void {
    this.#bytes.set(key, bytes);
    this.#ends.set(key, this.#clock.now() + ttlMs);
  }

  #lives(key: string): boolean {
    const end = this.#ends.scoreOf(key);
    return end !== undefined && end > this.#clock.now();
  }

  #remove(key: string): void {
    this.#bytes.delete(key);
    this.#ends.delete(key);
  }

  #assertOpen(signal: AbortSignal): void {
    if (this.#isClosed) throw new Fault("PAYLOADS_UNAVAILABLE", "the payload store is closed");
    if (signal.aborted)
      throw new Fault("PAYLOADS_UNAVAILABLE", "the call was given up before it was sent", { cause: signal.reason });
  }
}
