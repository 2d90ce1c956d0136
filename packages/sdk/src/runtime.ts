// Runtime: time, waiting, chance and the name of this process.
// Owns:          the interface through which the whole SDK asks for them, and the one that uses the real machine.
// Must not know: workers, jobs, HTTP.
// R1. Nothing else in this package reads a clock, starts a timer, rolls dice or looks at the process.
// R2. The control plane's Clock fits the interface, so a simulation can run workers on its own time.

import { randomBytes } from "node:crypto";
import { hostname } from "node:os";

export interface Runtime {
  /** Whole milliseconds since 1970-01-01T00:00:00Z. */
  now(): number;
  /** Milliseconds from an arbitrary start, never backwards. */
  mono(): number;
  /** True after `ms`; false as soon as `signal` fires. Never rejects, leaves no timer behind. */
  sleep(ms: number, signal: AbortSignal): Promise<boolean>;
  /** Evenly spread over [0, 1). Not for secrets. */
  random(): number;
  /** `bytes` random bytes as base64url (default 9: twelve characters). */
  id(bytes?: number): string;
}

/** Node's timers wrap above this and fire at once; a longer wait is cut to it (24.8 days). */
const TIMER_MS_MAX = 2_147_483_647;

export const systemRuntime: Runtime = {
  now: () => Date.now(),
  mono: () => performance.now(),
  random: () => Math.random(),
  id: (bytes = 9) => randomBytes(bytes).toString("base64url"),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal.aborted) return resolve(false);
      const end = (elapsed: boolean) => {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
        resolve(elapsed);
      };
      const onAbort = () => end(false);
      const timer = setTimeout(end, Math.min(Math.max(ms, 0), TIMER_MS_MAX), true);
      signal.addEventListener("abort", onAbort, { once: true });
    }),
};

/** A name that no other process has, fit for a worker id: `<host>-<pid>-<random>`, at most 64 characters of [A-Za-z0-9_-]. */
export function newWorkerId(runtime: Runtime): string {
  const tail = `-${process.pid}-${runtime.id(6)}`;
  const host = hostname()
    .replace(/[^A-Za-z0-9_-]/g, "-")
    .slice(0, 64 - tail.length);
  return `${host === "" ? "worker" : host}${tail}`;
}

/** What the environment says under `name`, without blanks around it; undefined when that is nothing. */
export function environmentValue(name: string): string | undefined {
  return process.env[name]?.trim() || undefined;
}

/** One line to standard error. */
export function writeLine(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Launchers such as npm pass on a Ctrl-C that the process has heard already. */
const TWIN_SIGNAL_MS = 300;

/** Calls `stop` on the first SIGTERM or SIGINT; what follows within 300 ms is its twin. A later one ends the process, as always.
 *  Gives back what takes the listeners away again. */
export function onFirstStopSignal(stop: (signal: string) => void): () => void {
  const names = ["SIGTERM", "SIGINT"] as const;
  const forget = () => {
    for (const name of names) process.removeListener(name, heard);
  };
  let isHeard = false;
  const heard = (name: string) => {
    if (isHeard) return;
    isHeard = true;
    setTimeout(forget, TWIN_SIGNAL_MS).unref();
    stop(name);
  };
  for (const name of names) process.on(name, heard);
  return forget;
}
