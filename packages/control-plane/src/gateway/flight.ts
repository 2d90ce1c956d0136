// Requests in hand.
// Owns:          how many handlers run, and waiting until none does.
// Must not know: what they do.

export class Flight {
  #running = 0;
  #isLanding = false;
  readonly #waiting = new Set<() => void>();

  get isLanding(): boolean {
    return this.#isLanding;
  }

  get running(): number {
    return this.#running;
  }

  enter(): void {
    this.#running += 1;
  }

  leave(): void {
    this.#running -= 1;
    if (this.#running === 0) for (const wake of this.#waiting) wake();
  }

  /** From now on `isLanding`. Resolves when nothing runs any more, or when `signal` fires: true in the first case. */
  async land(signal: AbortSignal): Promise<boolean> {
    this.#isLanding = true;
    if (this.#running > 0 && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#waiting.delete(wake);
          signal.removeEventListener("abort", wake);
          resolve();
        };
        this.#waiting.add(wake);
        signal.addEventListener("abort", wake, { once: true });
      });
    }
    return this.#running === 0;
  }
}
