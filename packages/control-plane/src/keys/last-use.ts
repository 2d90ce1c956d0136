// When managed keys were last used.
// Owns:          a record beside each key, written now and then for many keys at once.
// Must not know: who uses a key, and for what.
// L1. `note` is memory alone: no request waits for a write. L2. A key's record is written at most once a minute, by whichever process comes
//     first; one that is lost with its process costs a minute of knowledge. L3. The record is apart from the key's, so that using a key never
//     conflicts with rotating it.

import type { Clock } from "../ports/clock.ts";
import { messageOf } from "../ports/fault.ts";
import { partitionOf } from "../ports/partition.ts";
import type { RecordKey, State, Stored } from "../ports/state.ts";
import type { Log } from "../ports/telemetry.ts";
import type { EpochMs, Ms } from "../ports/time.ts";

export const KEY_USE_KIND = "keyuse";
export const KEY_USE_SHAPE = 1;
export const USE_EVERY_MS: Ms = 60_000;
const KEEP_MS: Ms = 400 * 86_400_000;
const NOTED_MAX = 10_000;
const AT_ONCE = 100;
const CALL_MS: Ms = 5_000;

export interface LastUseParts {
  readonly state: State;
  readonly clock: Clock;
  readonly log: Log;
}

export class LastUse {
  readonly #parts: LastUseParts;
  #noted = new Map<string, EpochMs>();

  constructor(parts: LastUseParts) {
    this.#parts = parts;
  }

  note(keyId: string, at: EpochMs): void {
    if (this.#noted.size < NOTED_MAX || this.#noted.has(keyId)) this.#noted.set(keyId, at);
  }

  /** Writes what was noted. What cannot be written is forgotten: a key in use is noted again. */
  async flush(signal: AbortSignal): Promise<void> {
    const noted = [...this.#noted];
    this.#noted = new Map();
    for (let at = 0; at < noted.length; at += AT_ONCE) {
      try {
        await this.#write(noted.slice(at, at + AT_ONCE), this.#parts.clock.deadline(signal, CALL_MS));
      } catch (error) {
        this.#parts.log.warn("key.use_not_written", {
          count: noted.length - at,
          reason: messageOf(error),
        });
        return;
      }
    }
  }

  /** Flushes every minute until `signal` fires. */
  async run(signal: AbortSignal): Promise<void> {
    while (await this.#parts.clock.sleep(USE_EVERY_MS, signal)) await this.flush(signal);
  }

  async #write(uses: readonly (readonly [string, EpochMs])[], signal: AbortSignal): Promise<void> {
    const { state, clock } = this.#parts;
    const keys = uses.map(([id]) => keyOf(id, state));
    const found = await state.get(keys, signal);
    await Promise.all(
      uses.map(async ([, at], index) => {
        const [key, stored] = [keys[index], found[index]];
        if (key === undefined || (stored !== undefined && at < useOf(stored) + USE_EVERY_MS)) return;
        const check =
          stored === undefined
            ? ({ is: "absent", key } as const)
            : ({ is: "at", key, version: stored.version } as const);
        const value = { shape: KEY_USE_SHAPE, at };
        const changes = [{ do: "put", key, value, keepMs: KEEP_MS, wakeAt: "never" } as const];
        // Who loses the race was as late as who won it: there is nothing to repeat.
        await state.commit({ id: clock.id(), partition: key.partition, checks: [check], changes }, signal);
      }),
    );
  }
}

/** In the order of `ids`; undefined for keys that were not used. */
export async function lastUses(
  ids: readonly string[],
  state: State,
  signal: AbortSignal,
): Promise<readonly (EpochMs | undefined)[]> {
  if (ids.length === 0) return [];
  const found = await state.get(
    ids.map((id) => keyOf(id, state)),
    signal,
  );
  return found.map((stored) => (stored === undefined ? undefined : useOf(stored)));
}

function keyOf(id: string, state: State): RecordKey {
  return { partition: partitionOf(id, state.traits.partitions), kind: KEY_USE_KIND, id };
}

function useOf({ value }: Stored): EpochMs {
  const at = value !== null && typeof value === "object" && !Array.isArray(value) && "at" in value ? value.at : 0;
  return typeof at === "number" ? at : 0;
}
