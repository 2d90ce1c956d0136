// Positions of engines that number the entries of their logs.
// Owns:          reading one that a caller hands back.
// Must not know: engines.

import { Fault } from "../../ports/fault.ts";

/** 0 (before everything) for undefined. STATE_REFUSED when it is no position of ours. */
export function parseLogPosition(at: string | undefined): number {
  if (at === undefined) return 0;
  if (!/^[0-9]{1,15}$/.test(at)) throw new Fault("STATE_REFUSED", "no position of a log");
  return Number(at);
}
