// A subscription of a durable consumer.
// Owns:          deliveries in the hands of this process, and what the server is told about each.
// Must not know: how the consumer came to be (durables.ts); what is in a packet.
// Lanes and the limit of running handlers are a mailbox' (adapters/bus/mailbox.ts). Besides:
// T1. A message comes until it is acknowledged or refused: "later" and what a handler throws go back to the server with a delay, so
//     that any member of the group may have it next. Of a message that comes twice, one is handled.
// T2. What waits here is renewed every third of AckWait; what runs has the rest of it, then another member gets it too.
// T3. Poison: a handler that throws at delivery 10 or later refuses the message (B5), except with a fault of status 503: a store that is
//     away is no fault of the message, and giving its result up would lose it. At delivery 500 nothing is run any more: whatever
//     comes back that often ends processes before they can throw.
// T4. Refused means logged with its place in the stream, where it stays until it expires, and never delivered again.
// T5. A drain gives back at once what has not begun; nothing waits for AckWait (nats-server #4627).
// T6. At most `ackPendingMax` messages are here: the server holds the rest.

import type { Msg, Subscription as NatsSubscription } from "@nats-io/transport-node";
import type { About, Handle, Subscription, SubscriptionSpec, Verdict } from "../../ports/bus.ts";
import { Fault, unreachable } from "../../ports/fault.ts";
import type { Ms } from "../../ports/time.ts";
import { DELIVERIES_MAX, Mailbox } from "../bus/mailbox.ts";
import { nextTurn } from "../system/turn.ts";
import type { DurableSettings } from "./durables.ts";
import type { NatsLink } from "./nats-link.ts";
import { bytesOf } from "./payload-bytes.ts";
import { SYS_STREAM } from "./streams.ts";
import { unlessAborted } from "./until.ts";

interface Place {
  readonly seq: number;
  readonly delivery: number;
  /** The same for every delivery of one message. */
  readonly message: string;
}
interface Held extends Place {
  /** Where the server listens for what becomes of it. */
  reply: string;
  hasBegun: boolean;
}
export interface DurableParts {
  readonly link: NatsLink;
  readonly settings: DurableSettings;
}

const CRASHES_MAX = 500;
const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 30_000;
const ACK: Verdict = { kind: "ack" };
const encoder = new TextEncoder();
const SAYS = { ack: encoder.encode("+ACK"), working: encoder.encode("+WPI"), term: encoder.encode("+TERM") } as const;

export class DurableSubscription implements Subscription {
  readonly #spec: SubscriptionSpec;
  readonly #handle: Handle;
  readonly #parts: DurableParts;
  readonly #mailbox: Mailbox;
  readonly #draining = new AbortController();
  readonly #held = new Map<Uint8Array, Held>();
  /** By place and time: a stream that is made again counts from one. */
  readonly #byMessage = new Map<string, Held>();
  #subscription: NatsSubscription | undefined;
  #received = 0;

  constructor(spec: SubscriptionSpec, handle: Handle, parts: DurableParts) {
    const { clock, log } = parts.link.parts;
    this.#spec = spec;
    this.#handle = handle;
    this.#parts = parts;
    const run: Handle = (bytes, about, signal) => this.#run(bytes, about, signal);
    this.#mailbox = new Mailbox({ spec, handle: run, waitingMax: Number.MAX_SAFE_INTEGER, clock, log, nextTurn });
    void this.#renew();
  }

  /** Messages that came so far. */
  get received(): number {
    return this.#received;
  }
  /** Fires when the drain begins. */
  get draining(): AbortSignal {
    return this.#draining.signal;
  }

  /** Listens where the consumer delivers; a second call replaces the first. */
  async enter(deliverSubject: string): Promise<void> {
    const before = this.#subscription;
    const accept = (message: Msg): void => this.#accept(message);
    const entered = await this.#parts.link.subscribe(deliverSubject, this.#spec.group, accept);
    if (this.draining.aborted) return entered.unsubscribe(); // the drain has not seen it
    this.#subscription = entered;
    if (before !== undefined && !before.isClosed()) await before.drain();
  }

  async drain(signal: AbortSignal): Promise<void> {
    const { link } = this.#parts;
    this.#draining.abort();
    const subscription = this.#subscription;
    if (subscription !== undefined && !subscription.isClosed() && !link.closing.aborted) {
      await unlessAborted(subscription.drain(), signal, `leaving ${this.#spec.subject}`).catch((error: unknown) =>
        link.parts.log.error("bus.subscription_not_left", error, { subject: this.#spec.subject }),
      );
    }
    await this.#mailbox.drain(signal);
    for (const [bytes, held] of this.#held) this.#settle(bytes, held, { kind: "later", inMs: 0 });
  }

  #accept(message: Msg): void {
    const { reply = "" } = message;
    const place = parseAckSubject(reply);
    if (place === undefined) {
      this.#parts.link.parts.log.warn("bus.stray_message", { subject: message.subject });
      return;
    }
    this.#received++;
    const known = this.#byMessage.get(place.message);
    if (known !== undefined) {
      known.reply = reply;
      return;
    }
    const held: Held = { ...place, reply, hasBegun: false };
    const bytes = bytesOf(message);
    this.#held.set(bytes, held);
    this.#byMessage.set(held.message, held);
    this.#mailbox.accept(message.subject, bytes);
  }

  async #run(bytes: Uint8Array, about: About, signal: AbortSignal): Promise<Verdict> {
    const held = this.#held.get(bytes);
    if (held !== undefined) {
      held.hasBegun = true;
      this.#settle(bytes, held, await this.#judge(bytes, { delivery: held.delivery, subject: about.subject }, signal));
    }
    return ACK; // to the mailbox: repetition is the server's
  }

  async #judge(bytes: Uint8Array, about: About, signal: AbortSignal): Promise<Verdict> {
    if (this.draining.aborted) return { kind: "later", inMs: 0 };
    if (about.delivery > CRASHES_MAX) return { kind: "refuse", reason: "too_many_deliveries" };
    try {
      return await this.#handle(bytes, about, signal);
    } catch (error) {
      const { log, clock } = this.#parts.link.parts;
      log.error("bus.handler_failed", error, { subject: about.subject, delivery: about.delivery });
      const isUnavailable = error instanceof Fault && error.spec.status === 503;
      if (about.delivery >= DELIVERIES_MAX && !isUnavailable) return { kind: "refuse", reason: "too_many_deliveries" };
      return { kind: "later", inMs: retryMs(about.delivery, clock.random()) };
    }
  }

  #settle(bytes: Uint8Array, held: Held, verdict: Verdict): void {
    this.#held.delete(bytes);
    this.#byMessage.delete(held.message);
    switch (verdict.kind) {
      case "ack":
        this.#say(held.reply, SAYS.ack);
        break;
      case "later":
        this.#say(held.reply, nak(verdict.inMs));
        break;
      case "refuse":
        this.#parts.link.parts.log.warn("bus.message_refused", {
          subject: this.#spec.subject,
          reason: verdict.reason,
          stream: SYS_STREAM,
          sequence: held.seq,
          delivery: held.delivery,
        });
        this.#say(held.reply, SAYS.term);
        break;
      default:
        unreachable(verdict);
    }
  }

  async #renew(): Promise<void> {
    const { link, settings } = this.#parts;
    while (await link.parts.clock.sleep(settings.ackWaitMs / 3, this.draining)) {
      for (const held of this.#held.values()) if (!held.hasBegun) this.#say(held.reply, SAYS.working);
    }
  }

  /** What cannot be said is as if the process had died here: the message comes again. */
  #say(reply: string, bytes: Uint8Array): void {
    const { link } = this.#parts;
    if (!link.isConnected) return;
    try {
      link.send(reply, bytes);
    } catch (error) {
      link.parts.log.error("bus.ack_failed", error, { subject: this.#spec.subject });
    }
  }
}

/** Wait before delivery `n` + 1 (ms): twice as long each time, spread by half. */
function retryMs(delivery: number, random: number): Ms {
  return Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(delivery - 1, 20)) * (0.5 + random / 2);
}

function nak(delayMs: Ms): Uint8Array {
  return encoder.encode(delayMs > 0 ? `-NAK {"delay":${Math.round(delayMs * 1e6)}}` : "-NAK");
}

/** Reads $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.… or, with two more parts for domain and account in
 *  front, its later form. Source: NATS ADR-15. */
export function parseAckSubject(reply: string): Place | undefined {
  const tokens = reply.split(".");
  if (tokens[0] !== "$JS" || tokens[1] !== "ACK" || tokens.length < 9) return undefined;
  const at = tokens.length === 9 ? 4 : 6;
  const [delivery, seq] = [Number(tokens[at]), Number(tokens[at + 1])];
  const isPlace = Number.isSafeInteger(delivery) && Number.isSafeInteger(seq) && delivery > 0 && seq > 0;
  return isPlace ? { seq, delivery, message: `${seq}@${tokens[at + 3]}` } : undefined;
}
