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
  readonly #sending = new Map<string, string>();
  readonly #heard = new Map<string, { readonly dispatchId: string; readonly at: EpochMs }>();

  noteSending(jobId: string, dispatchId: string): void {
    this.#sending.set(jobId, dispatchId);
  }

  /** Nothing happens when the answer was here before the bus said that somebody heard. */
  noteHeard(jobId: string, dispatchId: string, now: EpochMs): void {
    if (this.#sending.get(jobId) !== dispatchId) return;
    this.#sending.delete(jobId);
    this.#heard.delete(jobId); // so that the order stays that of the times
    this.#heard.set(jobId, { dispatchId, at: now });
  }

  noteNotHeard(jobId: string, dispatchId: string): void {
    if (this.#sending.get(jobId) === dispatchId) this.#sending.delete(jobId);
  }

  /** Has this process heard that the dispatch arrived, and no answer since? */
  vouchesFor(jobId: string, dispatchId: string): boolean {
    return this.#heard.get(jobId)?.dispatchId === dispatchId;
  }

  forget(jobId: string): void {
    this.#sending.delete(jobId);
    this.#heard.delete(jobId);
  }

  /** The dispatch is vouched for in its record: nothing is left to do for it. */
  noteVouched({ jobId, dispatchId }: HeardDispatch): void {
    if (this.vouchesFor(jobId, dispatchId)) this.#heard.delete(jobId);
  }

  /** What has been unanswered for longer than `olderThanMs`, oldest first, at most `limit`. It stays until it is vouched for or forgotten:
   *  while the store is slow or away this process goes on knowing that it was heard. */
  unanswered(now: EpochMs, olderThanMs: Ms, limit: number): readonly HeardDispatch[] {
    const due: HeardDispatch[] = [];
    for (const [jobId, { dispatchId, at }] of this.#heard) {
      if (now - at < olderThanMs || due.length === limit) break;
      due.push({ jobId, dispatchId });
    }
    return due;
  }

  get size(): number {
    return this.#heard.size;
  }
}
