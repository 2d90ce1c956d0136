// What every call can be told, and how its parts are checked.
// Owns:          signal and deadline of a call; parts of paths; limits that cannot be right.
// Must not know: routes.

import type { Call } from "./http.ts";

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** Instead of the client's own. */
  readonly timeoutMs?: number;
}

export function sending(options: CallOptions): Pick<Call, "signal" | "timeoutMs"> {
  return {
    signal: options.signal,
    timeoutMs: options.timeoutMs === undefined ? undefined : positive("timeoutMs", options.timeoutMs),
  };
}

export function segment(id: string): string {
  if (id === "" || id === "." || id === "..") throw new TypeError(`"${id}" is not an id`);
  return encodeURIComponent(id);
}

export function positive(name: string, value: number): number {
  if (!(value > 0)) throw new TypeError(`${name} must be a positive number, got ${value}`);
  return value;
}

export function atLeastZero(name: string, value: number): number {
  if (!Number.isInteger(value) || value < 0) throw new TypeError(`${name} must be a whole number from 0, got ${value}`);
  return value;
}
