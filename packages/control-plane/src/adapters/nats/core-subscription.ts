// A subscription on core NATS.
// Owns:          what happens between the socket and the handlers, and when too much waits there.
// Must not know: streams; what is in a packet.
// Lanes, the limit of running handlers, repetition and delays are a mailbox' (adapters/bus/mailbox.ts): on core NATS a "later"
// lives in this process and dies with it (B3).
// O1. Waiting, running and postponed messages together are at most `waitingMax`, their bytes at most `waitingBytesMax`.
// O2. NATS has no way to hold messages back. At seven eighths of either limit the subscription leaves the subject, so that the other
//     members of its group get what follows; below three quarters it comes back. What arrives at a full subscription is dropped,
//     counted and logged. Either way the bus' listeners are told ("overflowed") when it is back, as after a reconnect: they read
//     again what they could have missed (B4). Since handlers never run out of work meanwhile, nothing is lost that could have been
//     handled; and what must not be lost has a record and an alarm.

import type { Msg, Subscription as NatsSubscription } from "@nats-io/transport-node";
import type { Handle, Subscription, SubscriptionSpec } from "../../ports/bus.ts";
import { DELIVERIES_MAX, Mailbox } from "../bus/mailbox.ts";
import { nextTurn } from "../system/turn.ts";
import type { NatsLink } from "./nats-link.ts";
import { bytesOf } from "./payload-bytes.ts";
import { unlessAborted } from "./until.ts";

export interface IntakeLimits {
  readonly waitingMax: number;
  readonly waitingBytesMax: number;
}
export interface CoreParts {
  readonly link: NatsLink;
  readonly limits: IntakeLimits;
  /** Messages may have been lost. */
  onOverflow(subject: string): void;
}

const LEAVE_AT = 7 / 8;
const RETURN_AT = 3 / 4;
const RETURN_RETRY_MS = 1_000;

/** Resolves when the server has the subscription. */
export async function subscribeCore(spec: SubscriptionSpec, handle: Handle, parts: CoreParts): Promise<Subscription> {
  const subscription = new CoreSubscription(spec, handle, parts);
  await subscription.enter();
  return subscription;
}

class CoreSubscription implements Subscription {
  readonly #spec: SubscriptionSpec;
  readonly #handle: Handle;
  readonly #parts: CoreParts;
  readonly #mailbox: Mailbox;
  readonly #draining = new AbortController();
  #subscription: NatsSubscription | undefined;
  #leaving: Promise<void> | undefined;
  #onRoom: (() => void) | undefined;
  #held = 0;
  #heldBytes = 0;
  #dropped = 0;

  constructor(spec: SubscriptionSpec, handle: Handle, parts: CoreParts) {
    const { clock, log } = parts.link.parts;
    this.#spec = spec;
    this.#handle = handle;
    this.#parts = parts;
    this.#mailbox = new Mailbox({
      spec,
      handle: (bytes, about, signal) => this.#run(bytes, about, signal),
      waitingMax: parts.limits.waitingMax,
      clock,
      log,
      nextTurn,
    });
  }

  async enter(): Promise<void> {
    const { subject, group } = this.#spec;
    this.#subscription = await this.#parts.link.subscribe(subject, group, (message) => this.#accept(message));
  }

  async drain(signal: AbortSignal): Promise<void> {
    this.#draining.abort();
    this.#onRoom?.();
    await this.#bounded(this.#leaving ?? Promise.resolve(), signal);
    await this.#leave(signal);
    await this.#mailbox.drain(signal);
  }

  #accept(message: Msg): void {
    const bytes = bytesOf(message);
    if (this.#fillWith({ messages: 1, bytes: bytes.byteLength }) > 1) {
      this.#dropped++;
      this.#overflow();
      return;
    }
    this.#held++;
    this.#heldBytes += bytes.byteLength;
    this.#mailbox.accept(message.subject, bytes);
    if (this.#fill >= LEAVE_AT) this.#overflow();
  }

  async #run(...[bytes, about, signal]: Parameters<Handle>): ReturnType<Handle> {
    try {
      const verdict = await this.#handle(bytes, about, signal);
      if (verdict.kind !== "later") this.#release(bytes);
      return verdict;
    } catch (error) {
      if (about.delivery >= DELIVERIES_MAX) this.#release(bytes); // the mailbox refuses it (B5)
      throw error;
    }
  }

  #release(bytes: Uint8Array): void {
    this.#held--;
    this.#heldBytes -= bytes.byteLength;
    if (this.#fill <= RETURN_AT) this.#onRoom?.();
  }

  /** 1 = full, by count or by bytes, whichever is nearer. */
  get #fill(): number {
    return this.#fillWith({ messages: 0, bytes: 0 });
  }

  #fillWith(more: { readonly messages: number; readonly bytes: number }): number {
    const { waitingMax, waitingBytesMax } = this.#parts.limits;
    return Math.max((this.#held + more.messages) / waitingMax, (this.#heldBytes + more.bytes) / waitingBytesMax);
  }

  #overflow(): void {
    if (this.#draining.signal.aborted) return;
    this.#leaving ??= this.#leaveForAWhile().finally(() => {
      this.#leaving = undefined;
    });
  }

  async #leaveForAWhile(): Promise<void> {
    const { clock, log } = this.#parts.link.parts;
    const { subject, group } = this.#spec;
    const since = clock.mono();
    log.warn("bus.subscription_paused", { subject, group, messages: this.#held, bytes: this.#heldBytes });
    await this.#leave(this.#parts.link.closing);
    const stop = this.#draining.signal;
    await this.#room();
    while (!stop.aborted && !this.#parts.link.closing.aborted) {
      try {
        await this.enter();
        break;
      } catch (error) {
        log.error("bus.subscription_not_resumed", error, { subject, group });
        await clock.sleep(RETURN_RETRY_MS, stop);
      }
    }
    const dropped = this.#dropped;
    this.#dropped = 0;
    log.warn("bus.subscription_resumed", { subject, group, dropped, pausedMs: Math.round(clock.mono() - since) });
    this.#parts.onOverflow(subject);
  }

  async #room(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onRoom = resolve;
    if (this.#fill <= RETURN_AT || this.#draining.signal.aborted) resolve();
    await promise;
    this.#onRoom = undefined;
  }

  /** What the server sent before it heard of this still arrives. */
  async #leave(signal: AbortSignal): Promise<void> {
    const subscription = this.#subscription;
    this.#subscription = undefined;
    if (subscription === undefined || subscription.isClosed() || this.#parts.link.closing.aborted) return;
    await this.#bounded(subscription.drain(), signal);
  }

  async #bounded(leaving: Promise<void>, signal: AbortSignal): Promise<void> {
    const { subject } = this.#spec;
    await unlessAborted(leaving, signal, `leaving ${subject}`).catch((error: unknown) =>
      this.#parts.link.parts.log.error("bus.subscription_not_left", error, { subject }),
    );
  }
}
