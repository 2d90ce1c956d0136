// The managed keys that this process has met.
// Owns:          a bounded picture of State by key id: what is fresh, what may be used while State is away, what is read again.
// Must not know: what a caller presents, what a key allows (`derive` turns a record into whatever the owner checks against).
// N1. What is fresh is answered from memory. A key in use is read again before it goes stale, so that no request waits for that.
// N2. A change is seen everywhere after FRESH_MS at the latest, and at once where the news of it arrives (`forget`).
// N3. While State does not answer, a key that was seen within STALE_MS goes on; one that was not is STATE_UNAVAILABLE, never "unknown".
//     A key of which news came is not gone on with: it may have been revoked.
// N4. Ids that do not exist are remembered apart from those that do, so that a flood of guesses pushes out no key; and only so many reads for
//     strangers run at once.

import type { Clock } from "../ports/clock.ts";
import { Fault, messageOf } from "../ports/fault.ts";
import type { Log } from "../ports/telemetry.ts";
import type { Ms } from "../ports/time.ts";
import { putNewest } from "../records/newest.ts";
import type { KeyStore } from "./key-store.ts";
import type { ManagedKey } from "./managed-key.ts";

export const FRESH_MS: Ms = 10_000;
/** From this age on a key in use is read again behind the request. */
const REFRESH_MS: Ms = 5_000;
export const STALE_MS: Ms = 300_000;
const ABSENT_MS: Ms = 5_000;
/** After a read that failed, State is left alone for so long. */
const PAUSE_MS: Ms = 1_000;
const READ_MS: Ms = 2_000;
const KNOWN_MAX = 10_000;
const READS_MAX = 256;

interface Known<T> {
  readonly value: T;
  readonly at: Ms;
  /** News may have been missed. */
  readonly isDoubted: boolean;
}

interface Reading<T> {
  readonly value: Promise<T | undefined>;
  /** News came meanwhile: what is read may be older than the news. */
  isOverruled: boolean;
}

export interface KnownKeysParts {
  readonly keys: Pick<KeyStore, "load">;
  readonly clock: Clock;
  readonly log: Log;
}

export class KnownKeys<T> {
  readonly #parts: KnownKeysParts;
  readonly #derive: (key: ManagedKey) => T;
  readonly #signal: AbortSignal;
  readonly #present = new Map<string, Known<T>>();
  readonly #absent = new Map<string, Ms>();
  readonly #reading = new Map<string, Reading<T>>();
  #awayUntil: Ms = 0;

  /** Reads end when `signal` fires. */
  constructor(parts: KnownKeysParts, derive: (key: ManagedKey) => T, signal: AbortSignal) {
    this.#parts = parts;
    this.#derive = derive;
    this.#signal = signal;
  }

  /** From memory: the key, "absent", or undefined when State has to be asked. */
  recall(id: string): T | "absent" | undefined {
    const known = this.#present.get(id);
    const mono = this.#parts.clock.mono();
    if (known !== undefined) {
      const age = mono - known.at;
      if (age < REFRESH_MS && !known.isDoubted) return known.value;
      if (mono < this.#awayUntil) return age < STALE_MS ? known.value : undefined;
      if (age >= FRESH_MS || known.isDoubted) return undefined;
      void this.#read(id).value.catch(() => undefined); // its failure is logged there; the key is still fresh
      return known.value;
    }
    const absentAt = this.#absent.get(id);
    return absentAt !== undefined && mono - absentAt < ABSENT_MS ? "absent" : undefined;
  }

  /** Undefined: there is no such key. Fault STATE_UNAVAILABLE. */
  async load(id: string): Promise<T | undefined> {
    const recalled = this.recall(id);
    if (recalled !== undefined) return recalled === "absent" ? undefined : recalled;
    const { clock } = this.#parts;
    if (clock.mono() < this.#awayUntil) return this.#stale(id);
    const isStranger = !this.#present.has(id) && !this.#reading.has(id);
    if (isStranger && this.#reading.size >= READS_MAX)
      throw new Fault("STATE_UNAVAILABLE", "too many unknown keys are being looked up at once");
    for (let reading = this.#read(id); ; reading = this.#read(id)) {
      try {
        const value = await reading.value;
        if (!reading.isOverruled) return value;
      } catch (cause) {
        if (!(cause instanceof Fault)) throw cause;
        return this.#stale(id, cause);
      }
    }
  }

  /** What is known of the key is what State said FRESH_MS ago or later. False for one that is gone on with (N3). */
  isFresh(id: string): boolean {
    const known = this.#present.get(id);
    return known !== undefined && !known.isDoubted && this.#parts.clock.mono() - known.at < FRESH_MS;
  }

  /** The key has changed: what is known of it counts no more. */
  forget(id: string): void {
    this.#present.delete(id);
    this.#absent.delete(id);
    const reading = this.#reading.get(id);
    if (reading === undefined) return;
    reading.isOverruled = true;
    this.#reading.delete(id);
  }

  /** News may have been missed: all that is known is read again at its next use, and stays usable while State is away. */
  doubt(): void {
    this.#absent.clear();
    for (const [id, known] of this.#present) this.#present.set(id, { ...known, isDoubted: true });
    for (const reading of this.#reading.values()) reading.isOverruled = true;
    this.#reading.clear();
  }

  get size(): number {
    return this.#present.size + this.#absent.size;
  }

  #stale(id: string, cause?: Fault): T {
    const known = this.#present.get(id);
    if (known !== undefined && this.#parts.clock.mono() - known.at < STALE_MS) return known.value;
    throw new Fault("STATE_UNAVAILABLE", "keys cannot be looked up at the moment", { cause });
  }

  #read(id: string): Reading<T> {
    const running = this.#reading.get(id);
    if (running !== undefined) return running;
    const reading: Reading<T> = { value: this.#readNow(id, () => reading.isOverruled), isOverruled: false };
    this.#reading.set(id, reading);
    const done = (): void => {
      if (this.#reading.get(id) === reading) this.#reading.delete(id);
    };
    reading.value.then(done, done);
    return reading;
  }

  async #readNow(id: string, isOverruled: () => boolean): Promise<T | undefined> {
    const { keys, clock, log } = this.#parts;
    const at = clock.mono();
    try {
      const seen = await keys.load(id, clock.deadline(this.#signal, READ_MS));
      const value = seen === undefined ? undefined : this.#derive(seen.record);
      if (!isOverruled()) this.#remember(id, value, at);
      return value;
    } catch (error) {
      if (error instanceof Fault) this.#awayUntil = clock.mono() + PAUSE_MS;
      log.warn("keys.not_read", { reason: messageOf(error) });
      throw error;
    }
  }

  #remember(id: string, value: T | undefined, at: Ms): void {
    (value === undefined ? this.#present : this.#absent).delete(id);
    if (value === undefined) putNewest(this.#absent, id, at, KNOWN_MAX);
    else putNewest(this.#present, id, { value, at, isDoubted: false }, KNOWN_MAX);
  }
}
