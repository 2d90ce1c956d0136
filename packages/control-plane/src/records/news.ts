// News that something in State has changed, for every process that keeps a picture of it.
// Owns:          how news are sent and heard: within which bounds, and that news that cannot be sent fail nobody.
// Must not know: what has changed, what a process does about it.
// N1. News say where to look, never what is true: whoever forges one costs a read.
// N2. Whoever keeps a picture reads again after a while without news too: news that are lost cost that time, never a change.

import type { Bus, Subscription } from "../ports/bus.ts";
import type { Clock } from "../ports/clock.ts";
import { messageOf } from "../ports/fault.ts";
import type { Log, LogFields } from "../ports/telemetry.ts";
import type { Ms } from "../ports/time.ts";

const SEND_MS: Ms = 2_000;
const IN_FLIGHT_MAX = 64;

export interface NewsParts {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
}

export interface News {
  readonly subject: string;
  readonly bytes: Uint8Array;
  /** What is logged when they cannot be sent. */
  readonly unsent: { readonly event: string; readonly fields?: LogFields };
}

/** Never fails: the change is made, and is found out without the news too (N2). */
export async function sendNews({ subject, bytes, unsent }: News, parts: NewsParts, signal: AbortSignal): Promise<void> {
  const { bus, clock, log } = parts;
  try {
    await bus.publish(subject, bytes, clock.deadline(signal, SEND_MS));
  } catch (error) {
    log.warn(unsent.event, { ...unsent.fields, reason: messageOf(error) });
  }
}

/** In every process. Fault: BUS_UNAVAILABLE. */
export function hearNews(bus: Bus, subject: string, hear: (bytes: Uint8Array) => unknown): Promise<Subscription> {
  return bus.subscribe({ subject, keep: false, inFlightMax: IN_FLIGHT_MAX }, async (bytes) => {
    await hear(bytes);
    return { kind: "ack" };
  });
}
