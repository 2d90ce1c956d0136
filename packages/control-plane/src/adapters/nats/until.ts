// Waiting that ends with a signal.
// Owns:          turning a signal that fires into a fault.
// Must not know: what is waited for.

import { Fault } from "../../ports/fault.ts";

/** The promise, or BUS_UNAVAILABLE as soon as `signal` fires. The promise itself goes on; when it then rejects nobody is bothered. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const giveUp = (): void => reject(givenUp(what, signal));
    const settled = (): void => signal.removeEventListener("abort", giveUp);
    promise.then(resolve, reject).finally(settled);
    if (signal.aborted) giveUp();
    else signal.addEventListener("abort", giveUp, { once: true });
  });
}

export function givenUp(what: string, signal: AbortSignal): Fault {
  return new Fault("BUS_UNAVAILABLE", `${what} was given up: no answer of the bus in time`, { cause: signal.reason });
}
