// Payloads in Redis, under the keys that CAP workers use.
// Owns:          repeating what Redis did not answer; the bounds of what is read, written and under way.
// Must not know: what a payload means; which server holds it.
// P1. A call is repeated until its deadline: both commands may be repeated. Nothing begins after it, so that the result of an attempt
//     that was given up does not come up much later and overwrite that of the next one. The client ends an attempt that is not
//     answered (silenceMsMax), so none needs a deadline of its own.
// P2. Commands of one turn of the event loop leave in one write; none waits for the answer of another.
// P3. No more than `payloadBytesMax` bytes are read or written, whatever lies in Redis.

import { backoffMs } from "../backoff.ts";
import type { Runtime } from "../runtime.ts";
import { PayloadTooLarge } from "../worker/connection.ts";
import { messageOf } from "../worker/log.ts";
import type { Corkable, RedisClient } from "./redis-client.ts";

export interface PayloadParts {
  readonly runtime: Runtime;
  /** The longest a call may take, with all repeats. */
  readonly ioTimeoutMs: number;
  readonly payloadBytesMax: number;
}

const PAUSE = { baseMs: 20, capMs: 500 };
const CALLS_MAX = 10_000;
const STORED_BYTES_MAX = 67_108_864;
/** Answers after which the same command may succeed. Source: Redis documentation, error replies of a starting, failing over or moving server. */
const PASSING = /^(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|BUSY|NOREPLICAS) /;

export class RedisPayloads {
  readonly #client: RedisClient;
  readonly #parts: PayloadParts;
  readonly #closed = new AbortController();
  #calls = 0;
  #storedBytes = 0;
  #corked: readonly Corkable[] | undefined;

  constructor(client: RedisClient, parts: PayloadParts) {
    this.#client = client;
    this.#parts = parts;
  }

  /** Rejects with PayloadTooLarge, or when Redis did not answer in time. */
  async load(key: string): Promise<Uint8Array | undefined> {
    const { payloadBytesMax } = this.#parts;
    // One byte more than allowed tells that there is more; GET would bring all of it.
    const bytes = await this.#call(() => this.#client.getrange(key, 0, payloadBytesMax));
    if (bytes.length > payloadBytesMax) throw new PayloadTooLarge(`more than ${payloadBytesMax} bytes lie there`);
    if (bytes.length > 0) return bytes;
    const isThere = await this.#call(() => this.#client.exists(key));
    return isThere > 0 ? bytes : undefined;
  }

  /** `ttlMs`: from 1. Rejects with PayloadTooLarge, or when Redis did not answer in time. */
  async store(key: string, bytes: Uint8Array, ttlMs: number): Promise<void> {
    const { payloadBytesMax } = this.#parts;
    const { length } = bytes;
    if (length > payloadBytesMax)
      throw new PayloadTooLarge(`the payload has ${length} bytes, at most ${payloadBytesMax} are kept`);
    if (this.#storedBytes + length > STORED_BYTES_MAX)
      throw new Error(`${this.#storedBytes} bytes of payloads wait for Redis already`);
    this.#storedBytes += length;
    try {
      await this.#call(() => this.#client.set(key, bytes, Math.max(1, Math.ceil(ttlMs))));
    } finally {
      this.#storedBytes -= length;
    }
  }

  /** Calls under way reject. */
  async close(): Promise<void> {
    this.#closed.abort();
    await this.#client.close();
  }

  #call<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed.signal.aborted) return Promise.reject(new Error("the connection to Redis is closed"));
    if (this.#calls >= CALLS_MAX) return Promise.reject(new Error(`${this.#calls} calls wait for Redis already`));
    const endsAt = this.#parts.runtime.mono() + this.#parts.ioTimeoutMs;
    this.#calls++;
    return this.#send(work).then(
      (value) => {
        this.#calls--;
        return value;
      },
      (error: unknown) => this.#repeat(work, endsAt, error).finally(() => this.#calls--),
    );
  }

  /** `problem`: of the first attempt. */
  async #repeat<T>(work: () => Promise<T>, endsAt: number, problem: unknown): Promise<T> {
    const { runtime } = this.#parts;
    let error = problem;
    for (let attempt = 1; ; attempt++) {
      if (!mayPass(error)) throw hinted(error);
      const pauseMs = backoffMs(attempt, PAUSE, runtime.random());
      const inTime = runtime.mono() + pauseMs < endsAt && (await runtime.sleep(pauseMs, this.#closed.signal));
      if (!inTime) throw new Error(`Redis gave no answer, tries: ${attempt}: ${messageOf(error)}`, { cause: error });
      try {
        return await this.#send(work);
      } catch (next) {
        error = next;
      }
    }
  }

  #send<T>(work: () => Promise<T>): Promise<T> {
    try {
      this.#cork();
      return work();
    } catch (error) {
      // A client that throws counts as one that rejects.
      return Promise.reject(error);
    }
  }

  #cork(): void {
    if (this.#corked !== undefined) return;
    const streams = this.#client.streams();
    this.#corked = streams;
    for (const stream of streams) stream.cork();
    process.nextTick(() => {
      this.#corked = undefined;
      for (const stream of streams) stream.uncork();
    });
  }
}

/** May the same command succeed a moment later? A server's definite no may not; a connection that is away may. */
function mayPass(error: unknown): boolean {
  if (!(error instanceof Error) || error.name !== "ReplyError") return true;
  return PASSING.test(error.message);
}

function hinted(error: unknown): unknown {
  if (!(error instanceof Error) || !error.message.startsWith("MOVED ")) return error;
  const hint = "this Redis belongs to a cluster: name its nodes by clusterAddresses (REDIS_CLUSTER_ADDRESSES)";
  return new Error(hint, { cause: error });
}
