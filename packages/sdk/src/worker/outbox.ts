// Outbox: packets on their way out.
// Owns:          repeating what the connection did not take; the order of packets about one job; thinning out progress.
// Must not know: what is in a packet.
// O1. Packets of one job leave one after the other: the claim before progress, progress before the result.
// O2. A result is tried `RESULT_TRIES` times with growing waits; a claim or a progress once: the result says more anyway.
// O3. At most one progress of a job is waiting; a newer one takes its place.

import { backoffMs } from "../backoff.ts";
import type { Runtime } from "../runtime.ts";
import type { WorkerConnection } from "./connection.ts";
import type { Deadlines } from "./deadlines.ts";
import { messageOf, type WorkerLog } from "./log.ts";

const RESULT_TRIES = 10;
const BACKOFF = { baseMs: 200, capMs: 10_000 };

export interface OutboxParts {
  readonly connection: WorkerConnection;
  readonly runtime: Runtime;
  readonly deadlines: Deadlines;
  readonly log: WorkerLog;
  readonly ioTimeoutMs: number;
}

export class Outbox {
  readonly #parts: OutboxParts;

  constructor(parts: OutboxParts) {
    this.#parts = parts;
  }

  /** Sends once. Rejects when the connection does, or after the I/O deadline. */
  send(subject: string, bytes: Uint8Array): Promise<void> {
    const { connection, deadlines, ioTimeoutMs } = this.#parts;
    return deadlines.within(ioTimeoutMs, `publish on ${subject}`, () => connection.publish(subject, bytes));
  }

  /** True once it is sent. False, logged, when the connection never took it. Never rejects. */
  async sendSurely(subject: string, bytes: Uint8Array, stopped: AbortSignal): Promise<boolean> {
    const { runtime, log } = this.#parts;
    for (let attempt = 1; ; attempt++) {
      try {
        await this.send(subject, bytes);
        return true;
      } catch (error) {
        log.error("packet.not_sent", error, { subject, attempt });
        if (attempt === RESULT_TRIES) return false;
        if (!(await runtime.sleep(backoffMs(attempt, BACKOFF, runtime.random()), stopped))) return false;
      }
    }
  }

  forJob(): JobOutbox {
    return new JobOutbox(this, this.#parts.log);
  }
}

/** The packets of one run, in order. */
export class JobOutbox {
  readonly #outbox: Outbox;
  readonly #log: WorkerLog;
  /** Settles when the packets before have left; undefined while there were none. */
  #last: Promise<void> | undefined;
  #waiting: (() => Uint8Array) | undefined;
  #isClosed = false;

  constructor(outbox: Outbox, log: WorkerLog) {
    this.#outbox = outbox;
    this.#log = log;
  }

  /** Sends what `write` gives when its turn has come, unless a newer one has taken its place. */
  progress(subject: string, write: () => Uint8Array): void {
    if (this.#isClosed) return;
    const alreadyQueued = this.#waiting !== undefined;
    this.#waiting = write;
    if (alreadyQueued) return;
    this.#last = (this.#last ?? Promise.resolve()).then(() => this.#sendNewest(subject));
  }

  /** The last packet: nothing leaves after it. */
  result(subject: string, bytes: Uint8Array, stopped: AbortSignal): Promise<boolean> {
    this.#isClosed = true;
    const send = () => this.#outbox.sendSurely(subject, bytes, stopped);
    return this.#last === undefined ? send() : this.#last.then(send);
  }

  /** No packet leaves any more. */
  close(): void {
    this.#isClosed = true;
    this.#waiting = undefined;
  }

  async #sendNewest(subject: string): Promise<void> {
    const newest = this.#waiting;
    this.#waiting = undefined;
    if (newest === undefined) return;
    try {
      await this.#outbox.send(subject, newest());
    } catch (error) {
      this.#log.warn("progress.not_sent", { subject, reason: messageOf(error) });
    }
  }
}
