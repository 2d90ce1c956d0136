// What the cases of the conformance suite of Bus are given.
// Owns:          a bus under test, words for messages and subscriptions.
// Must not know: which bus it is, what a case tries.

import type { Bus, SubscriptionSpec, Verdict } from "../ports/bus.ts";
import type { Ms } from "../ports/time.ts";

export interface BusUnderTest {
  /** On a bus of one process always the same one. */
  connect(): Promise<Bus>;
  /** True as soon as `condition` holds, false when it did not within `limitMs` of the bus' clock. */
  until(condition: () => boolean, limitMs: Ms): Promise<boolean>;
  close(): Promise<void>;
}

export interface World extends BusUnderTest {
  /** A subject that no other test uses. */
  subject(...tokens: string[]): string;
}
export type Case = (name: string, run: (world: World) => Promise<void>) => void;

export const never = new AbortController().signal;
export const ack: Verdict = { kind: "ack" };

/** A bus of one process, whose clock only moves when `until` waits. */
export function onVirtualTime(bus: Bus, clock: { now(): Ms; advance(byMs: Ms): Promise<unknown> }): BusUnderTest {
  return {
    connect: async () => bus,
    async until(condition, limitMs) {
      const end = clock.now() + limitMs;
      while (!condition() && clock.now() < end) await clock.advance(Math.max(10, limitMs / 1_000));
      return condition();
    },
    close: () => bus.drain(AbortSignal.abort()),
  };
}

export function spec(subject: string, more: Partial<SubscriptionSpec> = {}): SubscriptionSpec {
  return { subject, keep: false, inFlightMax: 16, ...more };
}

export function bytes(message: string): Uint8Array {
  return new TextEncoder().encode(message);
}

export function text(message: Uint8Array): string {
  return new TextDecoder().decode(message);
}
