// Payloads in Redis, under the keys that CAP workers use.
// Owns:          P1–P4 of the port in terms of commands.
// Must not know: who reads them; which server holds a key (redis-link.ts).
// Y1. Shares its connection with State: what is put in the same turn as a commit leaves before it, in the same write.
// Y2. Bytes under way are bounded by `underWayBytesMax`. Y3. Keeps travel together, also those of several turns.

import { Fault } from "../../ports/fault.ts";
import {
  type Inspected,
  type InspectLimits,
  type Payloads,
  type PayloadTraits,
  tooLargeToShow,
} from "../../ports/payloads.ts";
import type { Ms } from "../../ports/time.ts";
import { Gather } from "./gather.ts";
import { INSPECT, inspectedReply } from "./inspect-payload.ts";
import { slotOf } from "./keys.ts";
import { type Command, type RedisLink, script, scriptCommand } from "./redis-link.ts";
import type { Reply } from "./redis-node.ts";

export interface RedisPayloadsOptions {
  /** Largest payload. */
  readonly bytesMax: number;
  /** Bytes of puts that may be under way; default 64 MiB. */
  readonly underWayBytesMax?: number;
  readonly survives: PayloadTraits["survives"];
}

const UNDER_WAY_BYTES_MAX = 67_108_864;

/** KEYS: payloads. ARGV: a time to live for each. PTTL: -2 means no such key, -1 a key without an end, which gets one here (P3). */
const KEEP = script(`
local found = {}
for i, key in ipairs(KEYS) do
  local left = redis.call('PTTL', key)
  if left == -1 or left >= 0 and left < tonumber(ARGV[i]) then redis.call('PEXPIRE', key, ARGV[i]) end
  found[i] = left == -2 and 0 or 1
end
return found
`);
const KEEPS_PER_CALL_MAX = 500;
const KEEPS_WAITING_MAX = 20_000;
/** Nobody waits for a keep: half a call a job is saved by letting them gather. */
const KEEPS_COLLECT_MS: Ms = 20;

/** Payloads on the servers of `link`, which is closed with the last that uses it. */
export function redisPayloads(link: RedisLink, options: RedisPayloadsOptions): Payloads {
  return new RedisPayloads(link, options);
}

class RedisPayloads implements Payloads {
  readonly traits: PayloadTraits;
  readonly #link: RedisLink;
  readonly #keeps: Gather<{ readonly key: string; readonly ttlMs: Ms }>;
  readonly #underWayBytesMax: number;
  #underWayBytes = 0;
  #isClosed = false;

  constructor(link: RedisLink, options: RedisPayloadsOptions) {
    this.traits = { bytesMax: options.bytesMax, survives: options.survives, shared: true };
    this.#underWayBytesMax = options.underWayBytesMax ?? UNDER_WAY_BYTES_MAX;
    this.#link = link;
    this.#keeps = new Gather(link, {
      code: "PAYLOADS_UNAVAILABLE",
      waitingMax: KEEPS_WAITING_MAX,
      weightMax: KEEPS_PER_CALL_MAX,
      weightOf: () => 1,
      collectMs: KEEPS_COLLECT_MS,
      commandFor: (asked) =>
        scriptCommand(
          KEEP,
          asked.map(({ key }) => key),
          asked.map(({ ttlMs }) => wholeMs(ttlMs)),
        ),
    });
    link.hold();
  }

  async put(key: string, bytes: Uint8Array, ttlMs: Ms, signal: AbortSignal): Promise<void> {
    const { bytesMax } = this.traits;
    if (bytes.length > bytesMax) throw new Fault("PAYLOAD_TOO_LARGE", `a payload has at most ${bytesMax} bytes`);
    if (this.#underWayBytes + bytes.length > this.#underWayBytesMax) {
      throw new Fault("PAYLOADS_UNAVAILABLE", `${this.#underWayBytes} bytes of payloads wait for Redis already`);
    }
    this.#underWayBytes += bytes.length;
    try {
      // A copy: the caller may change its bytes, and a put may be sent again.
      await this.#run(key, { name: "SET", args: [key, Buffer.from(bytes), "PX", wholeMs(ttlMs)] }, signal);
    } finally {
      this.#underWayBytes -= bytes.length;
    }
  }

  async get(key: string, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const found = await this.#run(key, { name: "GET", args: [key], isForBytes: true }, signal);
    return Buffer.isBuffer(found) ? found : undefined;
  }

  async inspect(key: string, limits: InspectLimits, signal: AbortSignal): Promise<Inspected | undefined> {
    const command = scriptCommand(INSPECT, [key], [limits.itemsMax, limits.bytesMax]);
    const found = inspectedReply(await this.#run(key, { ...command, isForBytes: true }, signal));
    if (found?.kind === "too_large") throw tooLargeToShow(found.length, limits.bytesMax);
    return found;
  }

  async keep(key: string, ttlMs: Ms, signal: AbortSignal): Promise<boolean> {
    this.#requireOpen(signal);
    const [found] = await this.#keeps.ask([[this.#slotOf(key), { key, ttlMs }]], signal);
    return found === 1;
  }

  async delete(key: string, signal: AbortSignal): Promise<void> {
    await this.#run(key, { name: "DEL", args: [key] }, signal);
  }

  /** Redis removes what has expired by itself. */
  async sweep(_budget: number, signal: AbortSignal): Promise<{ readonly removed: number; readonly done: boolean }> {
    this.#requireOpen(signal);
    return { removed: 0, done: true };
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#link.release();
  }

  #run(key: string, command: Command, signal: AbortSignal): Promise<Reply> {
    this.#requireOpen(signal);
    return this.#link.run(this.#slotOf(key), command, { signal, code: "PAYLOADS_UNAVAILABLE" });
  }

  #slotOf(key: string): number {
    return this.#link.isCluster ? slotOf(key) : 0;
  }

  #requireOpen(signal: AbortSignal): void {
    if (this.#isClosed) throw new Fault("PAYLOADS_UNAVAILABLE", "the payload store is closed");
    if (signal.aborted) throw new Fault("PAYLOADS_UNAVAILABLE", "the call was given up before it was sent");
  }
}

/** Redis takes whole milliseconds from 1 on. */
function wholeMs(ms: Ms): number {
  return Math.max(1, Math.ceil(ms));
}
