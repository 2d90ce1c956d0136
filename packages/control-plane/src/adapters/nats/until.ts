// Waiting that ends with a signal.
// Owns:          turning a signal that fires into a fault.
// Must not know: what is waited for.
// U1. However many wait for a signal, it has one listener: adding one of n costs Node a walk over n, and ten thousand calls share the
//     signal of a deadline or of a process.

import { Fault } from "../../ports/fault.ts";

const waiting = new WeakMap<AbortSignal, Set<() => void>>();

/** Calls `run` when `signal` fires; now, if it has. Returns how to call that off. */
export function onAbort(signal: AbortSignal, run: () => void): () => void {
  if (signal.aborted) {
    run();
    return () => undefined;
  }
  const known = waiting.get(signal);
  const runs = known ?? new Set<() => void>();
  if (known === undefined) {
    waiting.set(signal, runs);
    signal.addEventListener("abort", () => fire(runs), { once: true });
  }
  runs.add(run);
  return () => void runs.delete(run);
}

function fire(runs: Set<() => void>): void {
  for (const run of runs) run();
  runs.clear();
}

/** The promise, or BUS_UNAVAILABLE as soon as `signal` fires. The promise itself goes on; when it then rejects nobody is bothered. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const callOff = onAbort(signal, () => reject(givenUp(what, signal)));
    promise.then(resolve, reject).finally(callOff);
  });
}

export function givenUp(what: string, signal: AbortSignal): Fault {
  return new Fault("BUS_UNAVAILABLE", `${what} was given up: no answer of the bus in time`, { cause: signal.reason });
}
