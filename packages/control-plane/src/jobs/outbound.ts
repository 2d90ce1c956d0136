// Dispatches that somebody heard and that this process vouches for.
// Owns:          which dispatches were heard and not yet answered.
// Must not know: State, Bus.
// V1. A dispatch that was heard is vouched for in its record before its doorbell alarm is due; then the alarm finds nothing to do. A job
//     that ends within seconds costs no write for it. V2. What this process never heard of (it crashed, the bus was away) rings again.

import type { EpochMs, Ms } from "../ports/time.ts";

export interface HeardDispatch {
  readonly jobId: string;
  readonly dispatchId: string;
}

export class Outbound {
  readonly #heard = new Map<string, { readonly dispatchId: string; readonly at: EpochMs }>();

  noteHeard(jobId: string, dispatchId: string, now: EpochMs): void {
    this.#heard.set(jobId, { dispatchId, at: now });
  }

  /** Has this process heard that the dispatch arrived, and no answer since? */
  vouchesFor(jobId: string, dispatchId: string): boolean {
    return this.#heard.get(jobId)?.dispatchId === dispatchId;
  }

  forget(jobId: string): void {
    this.#heard.delete(jobId);
  }

  /** Takes out what has been unanswered for longer than `olderThanMs`; oldest first. */
  takeUnanswered(now: EpochMs, olderThanMs: Ms): readonly HeardDispatch[] {
    const due: HeardDispatch[] = [];
    for (const [jobId, { dispatchId, at }] of this.#heard) {
      if (now - at < olderThanMs) break;
      due.push({ jobId, dispatchId });
      this.#heard.delete(jobId);
    }
    return due;
  }

  get size(): number {
    return this.#heard.size;
  }
}
