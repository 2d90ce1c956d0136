// The machine that the command runs on.
// Owns:          the only use of clock, timers, chance and signals in this package.
// Must not know: commands.
// R1. A launcher that forwards signals and a terminal that sends them to the whole group make two signals of one key press: what
//     comes within SAME_SIGNAL_MS is the same.

import { randomBytes } from "node:crypto";

export interface Runtime {
  /** Milliseconds since 1970-01-01T00:00:00Z. */
  now(): number;
  /** Milliseconds since this process began. */
  age(): number;
  /** True after `ms`; false as soon as `signal` fires. */
  sleep(ms: number, signal: AbortSignal): Promise<boolean>;
  /** `bytes` random bytes as base64url, fit for keys. */
  secret(bytes: number): string;
}

export const systemRuntime: Runtime = {
  now: () => Date.now(),
  age: () => performance.now(),
  secret: (bytes) => randomBytes(bytes).toString("base64url"),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal.aborted) return resolve(false);
      const end = (elapsed: boolean) => {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
        resolve(elapsed);
      };
      const onAbort = () => end(false);
      const timer = setTimeout(end, ms, true);
      signal.addEventListener("abort", onAbort, { once: true });
    }),
};

const SAME_SIGNAL_MS = 300;

export interface StopSignals {
  /** Fires on the first SIGINT or SIGTERM. */
  readonly first: AbortSignal;
  /** Gives the signals back to Node. */
  forget(): void;
}

/** The first signal fires `first`; the second calls `onSecond`. */
export function stopSignals(onSecond: () => void): StopSignals {
  const first = new AbortController();
  let firstAt = Number.NEGATIVE_INFINITY;
  const heard = (name: NodeJS.Signals) => {
    const at = performance.now();
    if (!first.signal.aborted) {
      firstAt = at;
      first.abort(name);
    } else if (at - firstAt > SAME_SIGNAL_MS) onSecond();
  };
  const names = ["SIGINT", "SIGTERM"] as const;
  for (const name of names) process.on(name, heard);
  return {
    first: first.signal,
    forget: () => {
      for (const name of names) process.removeListener(name, heard);
    },
  };
}

export function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
