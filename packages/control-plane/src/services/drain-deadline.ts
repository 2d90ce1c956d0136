// The one deadline of ending a process.
// Owns:          when the time for draining is over, and what then happens with what still closes.
// Must not know: what is closed.
// E1. The time begins once, with the first step of ending, and every step has what the others left of it.
// E2. What has not closed when it is over gets LAST_MS, and is then left behind and said in the log.

import type { Clock } from "../ports/clock.ts";
import { messageOf } from "../ports/fault.ts";
import type { Log } from "../ports/telemetry.ts";
import type { Ms } from "../ports/time.ts";

const LAST_MS = 250;
const NEVER = new AbortController().signal;

export class DrainDeadline {
  readonly #timeoutMs: Ms;
  readonly #clock: Clock;
  readonly #log: Log;
  #signal: AbortSignal | undefined;

  constructor(timeoutMs: Ms, { clock, log }: { readonly clock: Clock; readonly log: Log }) {
    this.#timeoutMs = timeoutMs;
    this.#clock = clock;
    this.#log = log;
  }

  /** E1. */
  begin(): AbortSignal {
    this.#signal ??= this.#clock.deadline(NEVER, this.#timeoutMs);
    return this.#signal;
  }

  /** E2. Rejects as `closing` does, while it is waited for. */
  async wait(part: string, closing: Promise<unknown>): Promise<void> {
    let isWaitedFor = true;
    const ended = closing.then(
      () => true,
      (error: unknown) => {
        if (isWaitedFor) throw error;
        this.#log.warn("process.not_closed", { part, reason: messageOf(error) });
        return true;
      },
    );
    const isEnded =
      (await Promise.race([ended, fired(this.begin())])) ||
      (await Promise.race([ended, fired(this.#clock.deadline(NEVER, LAST_MS))]));
    isWaitedFor = false;
    if (!isEnded) this.#log.warn("process.not_closed", { part, reason: "the time for draining is over" });
  }
}

function fired(signal: AbortSignal): Promise<false> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(false);
    else signal.addEventListener("abort", () => resolve(false), { once: true });
  });
}
