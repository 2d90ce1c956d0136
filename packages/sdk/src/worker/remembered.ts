// Remembered: how recent jobs ended, so that a doubled delivery is answered and not run again.
// Owns:          a bounded memory by job and attempt, oldest out first.
// Must not know: packets.

import type { Outcome } from "./outcome.ts";

export interface Ended {
  readonly outcome: Outcome;
  readonly executionMs: number;
}

export class RememberedResults {
  readonly #max: number;
  readonly #byRun = new Map<string, Ended>();

  constructor(max: number) {
    this.#max = max;
  }

  find(jobId: string, attempt: number): Ended | undefined {
    return this.#byRun.get(runKey(jobId, attempt));
  }

  remember(jobId: string, attempt: number, ended: Ended): void {
    const key = runKey(jobId, attempt);
    this.#byRun.delete(key);
    this.#byRun.set(key, ended);
    if (this.#byRun.size <= this.#max) return;
    const oldest = this.#byRun.keys().next();
    if (!oldest.done) this.#byRun.delete(oldest.value);
  }
}

/** Job ids hold no blanks. */
function runKey(jobId: string, attempt: number): string {
  return `${attempt} ${jobId}`;
}
