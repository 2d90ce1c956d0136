// Bus: CAP packets on subjects. State is the truth, the bus is the doorbell: a lost, late or doubled message may cost time, never a job.
// Owns:          the contract of delivery.
// Must not know: what is in a packet.
// B1. `deliver` tells whether anybody listens on the subject: "heard" is a hint, the alarm is the guarantee.
//     Nobody of the control plane ever subscribes to `worker.>`.
// B2. Members of one group share the messages of a subject; without a group everybody gets each.
// B3. `later` is a wish where `keepsMessages` is false; what must not be lost has a record, hence an alarm.
//     At most `inFlightMax` handlers of a subscription run at once; when that is full the subscription waits, it does not drop.
// B4. Messages with the same lane are handled one after the other, in order, inside one process.
// B5. A handler that throws is a "later" with a growing delay, logged; after 10 deliveries the message is refused.

import type { Ms } from "./time.ts";

/** Dot-separated tokens; in subscriptions `*` stands for one token and a last `>` for one or more. */
export type Subject = string;

export interface BusTraits {
  readonly keepsMessages: boolean;
  readonly shared: boolean;
  readonly packetBytesMax: number;
}

export type Verdict =
  | { readonly kind: "ack" }
  | { readonly kind: "later"; readonly inMs: Ms }
  /** Recorded, acknowledged, never looped. */
  | { readonly kind: "refuse"; readonly reason: string };

export interface About {
  /** 1 = first delivery. */
  readonly delivery: number;
  readonly subject: Subject;
}
export type Handle = (bytes: Uint8Array, about: About, signal: AbortSignal) => Promise<Verdict>;

export interface SubscriptionSpec {
  readonly subject: Subject;
  readonly group?: string;
  /** Ask the bus to keep messages while nobody is there, where it can. */
  readonly keep: boolean;
  readonly inFlightMax: number;
  laneOf?(bytes: Uint8Array): string;
}

export interface Subscription {
  /** No new messages; ends when running handlers have ended or `signal` fires. */
  drain(signal: AbortSignal): Promise<void>;
}

export interface Bus {
  readonly traits: BusTraits;
  /** Resolves when the server has it. Rejects with BUS_UNAVAILABLE. */
  publish(subject: Subject, bytes: Uint8Array, signal: AbortSignal): Promise<void>;
  deliver(subject: Subject, bytes: Uint8Array, signal: AbortSignal): Promise<"heard" | "nobody">;
  subscribe(spec: SubscriptionSpec, handle: Handle): Promise<Subscription>;
  answer(subject: Subject, reply: (bytes: Uint8Array) => Promise<Uint8Array>): Promise<Subscription>;
  status(): { readonly connected: boolean; readonly reconnects: number };
  drain(signal: AbortSignal): Promise<void>;
}
