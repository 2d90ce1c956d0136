// What a session of a worker works with.
// Owns:          the list of parts and limits, and the socket as a session sees it.
// Must not know: which socket it is.

import type { SessionLimits } from "@cordum/protocol";
import type { OutParts } from "../jobs/out-with-worker.ts";
import type { Bus } from "../ports/bus.ts";
import type { Fault } from "../ports/fault.ts";
import type { Payloads } from "../ports/payloads.ts";
import type { Log, Meter } from "../ports/telemetry.ts";
import type { Ms } from "../ports/time.ts";

export interface SessionParts extends OutParts {
  readonly bus: Bus;
  readonly payloads: Payloads;
  readonly log: Log;
  readonly meter: Meter;
  readonly limits: SessionSettings;
}

export interface SessionSettings extends SessionLimits {
  /** Time for the first frame. */
  readonly helloMs: Ms;
  /** A delivery that is not answered for so long ends the session. */
  readonly tookMs: Ms;
  /** Bytes of deliveries that are not answered. */
  readonly deliveryBytesMax: number;
  /** Jobs that were handed over and have not ended. */
  readonly heldMax: number;
  /** Loads under way at once: what bounds the memory of answers that nobody reads. */
  readonly loadsAtOnce: number;
  /** Of one process, and of one tenant in it. */
  readonly sessionsMax: number;
  readonly sessionsOfTenantMax: number;
}

export const DEFAULT_SESSION_SETTINGS: SessionSettings = {
  helloMs: 10_000,
  tookMs: 30_000,
  window: 256,
  requestsMax: 256,
  requestBytesMax: 8_388_608,
  packetBytesMax: 262_144,
  payloadBytesMax: 4_194_304,
  deliveryBytesMax: 4_194_304,
  heldMax: 1_000,
  loadsAtOnce: 2,
  sessionsMax: 1_000,
  sessionsOfTenantMax: 250,
};

export interface FrameSocket {
  /** Resolves when the socket has taken the frame, or when it has closed. Never rejects. */
  send(frame: Uint8Array): Promise<void>;
  /** Nothing is sent or received any more. */
  close(code: number, reason: string): void;
}

/** Told what a worker was not let do, for the record of refusals. */
export type OnRefused = (fault: Fault) => void;
