// The connection of a worker that runs in the control plane's own process.
// Owns:          how the SDK's connection lies on the Bus and Payloads ports; its shape is the SDK's, known here by structure alone.
// Must not know: what a worker does.

import type { Bus } from "../ports/bus.ts";
import type { Clock } from "../ports/clock.ts";
import type { Payloads } from "../ports/payloads.ts";

export interface InProcessConnection {
  publish(subject: string, bytes: Uint8Array): Promise<void>;
  subscribe(
    subject: string,
    group: string | undefined,
    handle: (bytes: Uint8Array, subject: string) => void,
  ): Promise<{ close(): Promise<void> }>;
  loadPayload(key: string): Promise<Uint8Array | undefined>;
  storePayload(key: string, bytes: Uint8Array, ttlMs: number): Promise<void>;
  close(): Promise<void>;
}

const CALL_TIMEOUT_MS = 5_000;
const IN_FLIGHT_MAX = 1_024;

export function inProcessConnection(parts: {
  readonly bus: Bus;
  readonly payloads: Payloads;
  readonly clock: Clock;
}): InProcessConnection {
  const { bus, payloads, clock } = parts;
  const closed = new AbortController();
  const until = (): AbortSignal => clock.deadline(closed.signal, CALL_TIMEOUT_MS);
  return {
    publish: (subject, bytes) => bus.publish(subject, bytes, until()),
    async subscribe(subject, group, handle) {
      const subscription = await bus.subscribe(
        { subject, keep: false, inFlightMax: IN_FLIGHT_MAX, ...(group === undefined ? {} : { group }) },
        async (bytes, about) => {
          handle(bytes, about.subject);
          return { kind: "ack" };
        },
      );
      return { close: () => subscription.drain(until()) };
    },
    loadPayload: (key) => payloads.get(key, until()),
    storePayload: (key, bytes, ttlMs) => payloads.put(key, bytes, ttlMs, until()),
    async close() {
      closed.abort();
    },
  };
}
