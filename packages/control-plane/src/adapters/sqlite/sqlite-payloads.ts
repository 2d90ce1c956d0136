// Payloads on SQLite, in the thread and file of State: a payload that is put before its record's commit is called travels ahead of it.
// Owns:          what the port says, written on the tape.
// Must not know: SQL.

import { assert, Fault } from "../../ports/fault.ts";
import {
  type Inspected,
  type InspectLimits,
  inspectedBytes,
  type Payloads,
  type PayloadTraits,
} from "../../ports/payloads.ts";
import type { Ms } from "../../ports/time.ts";
import { CALL } from "./tape.ts";
import type { CallFaults, ThreadLink } from "./thread-link.ts";

// Putting, keeping and deleting may be repeated, so "perhaps done" needs no code of its own.
const FAULTS: CallFaults = { unsent: "PAYLOADS_UNAVAILABLE", unanswered: "PAYLOADS_UNAVAILABLE" };

export class SqlitePayloads implements Payloads {
  readonly traits: PayloadTraits;
  readonly #link: ThreadLink;
  #isClosed = false;

  constructor(link: ThreadLink, bytesMax: number) {
    this.traits = { bytesMax, survives: "power", shared: false };
    this.#link = link;
  }

  async put(key: string, bytes: Uint8Array, ttlMs: Ms, signal: AbortSignal): Promise<void> {
    this.#assertOpen();
    assert(Number.isSafeInteger(ttlMs) && ttlMs > 0, "a payload lives for whole milliseconds", { ttlMs });
    if (bytes.length > this.traits.bytesMax) {
      throw new Fault("PAYLOAD_TOO_LARGE", `a payload has at most ${this.traits.bytesMax} bytes`);
    }
    // The copy has a buffer of its own, which goes to the thread without being copied again.
    const copy = Uint8Array.from(bytes);
    await this.#link.call([CALL.putPayload, key, copy, ttlMs], FAULTS, signal, copy.buffer);
  }

  async get(key: string, signal: AbortSignal): Promise<Uint8Array | undefined> {
    this.#assertOpen();
    const answer = await this.#link.call([CALL.getPayload, key], FAULTS, signal);
    return answer.bytesOrNull() ?? undefined;
  }

  async inspect(key: string, limits: InspectLimits, signal: AbortSignal): Promise<Inspected | undefined> {
    return inspectedBytes(await this.get(key, signal), limits);
  }

  async keep(key: string, ttlMs: Ms, signal: AbortSignal): Promise<boolean> {
    this.#assertOpen();
    assert(Number.isSafeInteger(ttlMs) && ttlMs > 0, "a payload lives for whole milliseconds", { ttlMs });
    const answer = await this.#link.call([CALL.keepPayload, key, ttlMs], FAULTS, signal);
    return answer.number() === 1;
  }

  async delete(key: string, signal: AbortSignal): Promise<void> {
    this.#assertOpen();
    await this.#link.call([CALL.deletePayload, key], FAULTS, signal);
  }

  async sweep(budget: number, signal: AbortSignal): Promise<{ removed: number; done: boolean }> {
    this.#assertOpen();
    const answer = await this.#link.call([CALL.sweepPayloads, budget], FAULTS, signal);
    return { removed: answer.number(), done: answer.number() === 1 };
  }

  /** The file is State's to close. */
  async close(): Promise<void> {
    this.#isClosed = true;
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new Fault("PAYLOADS_UNAVAILABLE", "the payload store is closed");
  }
}
