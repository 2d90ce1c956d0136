// Hints that a slot of a limit came free.
// Owns:          leading the hint from whoever gave the slot back to whoever serves the jobs that wait.
// Must not know: what either does. A hint may be lost: a job that is held back looks for itself after half a minute.

export class LimitHints {
  #listener: (limitId: string) => void = () => undefined;

  listen(listener: (limitId: string) => void): void {
    this.#listener = listener;
  }

  tell(limitId: string): void {
    this.#listener(limitId);
  }
}
