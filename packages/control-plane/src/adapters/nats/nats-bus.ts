// The bus on NATS.
// Owns:          which way a subject takes: core, or the stream.
// Must not know: settings' names, what is in a packet.
// B1 to B5 are the port's (ports/bus.ts). Besides:
// P1. In JetStream mode the durable subjects (subjects.ts) are published to the stream and acknowledged by it; a group that asks to
//     `keep` them has a durable consumer. Everything else, and every subscription without a group, is core NATS.
// P2. A publish resolves when the server, or the stream, has it. Otherwise it rejects and may have arrived all the same.
// P3. Publishes under way are bounded by number and bytes; the one above is BUS_UNAVAILABLE at once.

import type { JetStreamManager } from "@nats-io/jetstream";
import type { Bus, BusTraits, Handle, Subject, Subscription, SubscriptionSpec } from "../../ports/bus.ts";
import { Fault } from "../../ports/fault.ts";
import type { Ms } from "../../ports/time.ts";
import { parsePattern, parseSubject } from "../bus/subject.ts";
import { answerOn } from "./answers.ts";
import { type IntakeLimits, subscribeCore } from "./core-subscription.ts";
import { DurableSubscription } from "./durable-subscription.ts";
import { watchDurable } from "./durable-watch.ts";
import { type DurableSettings, type DurableWish, ensureDurable } from "./durables.ts";
import type { Inbox } from "./inbox.ts";
import { messageId } from "./message-id.ts";
import type { NatsLink } from "./nats-link.ts";
import { DURABLE_SUBJECTS, hearsAllWorkers } from "./subjects.ts";
import { givenUp, unlessAborted } from "./until.ts";

/** Why messages may have been missed: the connection was away, or a subscription was full. */
export type Gap = { readonly kind: "reconnected" } | { readonly kind: "overflowed"; readonly subject: Subject };
export type OnGap = (gap: Gap) => void | Promise<void>;

export interface NatsBus extends Bus {
  /** Calls `listener` after every reconnect, when all subscriptions are there again, and after every overflow: read again what may have
   *  been missed (B4). What it throws is logged. Returns how to stop. */
  onReconnect(listener: OnGap): () => void;
  /** Asks who answers on `subject`. Rejects with BUS_UNAVAILABLE when nobody does. */
  ask(subject: Subject, bytes: Uint8Array, signal: AbortSignal): Promise<Uint8Array>;
}

/** The parts that exist in JetStream mode. */
export interface Durability {
  readonly jsm: JetStreamManager;
  readonly settings: DurableSettings;
  readonly watchEveryMs: Ms;
  restoreStream(): Promise<void>;
}
export interface NatsBusParts {
  readonly link: NatsLink;
  readonly inbox: Inbox;
  readonly durability: Durability | undefined;
  readonly limits: IntakeLimits & { readonly outgoingMax: number; readonly outgoingBytesMax: number };
}

/** Room for the message id of a durable publish. */
const HEADER_BYTES_MAX = 2_048;

export class CordumNatsBus implements NatsBus {
  readonly #parts: NatsBusParts;
  readonly #gapListeners = new Set<OnGap>();
  readonly #subscriptions = new Set<Subscription>();
  #outgoing = 0;
  #outgoingBytes = 0;
  #isDraining = false;

  constructor(parts: NatsBusParts) {
    this.#parts = parts;
    parts.link.listen({ lost: () => undefined, restored: () => this.#tell({ kind: "reconnected" }) });
  }

  get traits(): BusTraits {
    const keepsMessages = this.#parts.durability !== undefined;
    const room = keepsMessages ? HEADER_BYTES_MAX : 0;
    return { keepsMessages, shared: true, packetBytesMax: this.#parts.link.packetBytesMax - room };
  }

  async publish(subject: Subject, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    await this.#sending(subject, bytes, signal, async () => {
      if (this.#isDurable(subject)) return this.#store(subject, bytes, signal);
      const { link } = this.#parts;
      const sent = link.send(subject, bytes);
      await unlessAborted(link.flushed(), signal, `publish to ${subject}`);
      link.requireAllowed(subject, sent);
    });
  }

  async deliver(subject: Subject, bytes: Uint8Array, signal: AbortSignal): Promise<"heard" | "nobody"> {
    return this.#sending(subject, bytes, signal, async () => {
      if (!this.#isDurable(subject)) return this.#parts.inbox.deliver(subject, bytes, signal);
      await this.#store(subject, bytes, signal);
      return "heard"; // by the stream, which delivers it to whoever comes
    });
  }

  async ask(subject: Subject, bytes: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    return this.#sending(subject, bytes, signal, () => this.#parts.inbox.ask({ subject, bytes, signal }));
  }

  async subscribe(spec: SubscriptionSpec, handle: Handle): Promise<Subscription> {
    parsePattern(spec.subject);
    this.#requireOpen();
    const { durability, link, limits } = this.#parts;
    const { group } = spec;
    if (group !== undefined) requireGroup(group);
    if (hearsAllWorkers(spec.subject)) {
      throw new Fault(
        "INVALID_REQUEST",
        `nobody may listen to ${spec.subject}: every delivery to a worker would look heard`,
      );
    }
    if (durability !== undefined && group !== undefined && spec.keep && this.#isDurable(spec.subject)) {
      return this.#track(await this.#subscribeDurable(spec, handle, group, durability));
    }
    const onOverflow = (subject: string): void => this.#tell({ kind: "overflowed", subject });
    return this.#track(await subscribeCore(spec, handle, { link, limits, onOverflow }));
  }

  async answer(subject: Subject, reply: (bytes: Uint8Array) => Promise<Uint8Array>): Promise<Subscription> {
    parsePattern(subject);
    this.#requireOpen();
    return this.#track(await answerOn(subject, reply, this.#parts.link));
  }

  status(): { readonly connected: boolean; readonly reconnects: number } {
    const { link } = this.#parts;
    return { connected: link.isConnected && !this.#isDraining, reconnects: link.reconnects };
  }

  onReconnect(listener: OnGap): () => void {
    this.#gapListeners.add(listener);
    return () => void this.#gapListeners.delete(listener);
  }

  /** Handlers may publish until the last of them has ended; then everything that was sent is flushed. */
  async drain(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#subscriptions].map((subscription) => subscription.drain(signal)));
    this.#isDraining = true;
    await this.#parts.link.close(signal);
  }

  #isDurable(subject: Subject): boolean {
    return this.#parts.durability !== undefined && DURABLE_SUBJECTS.includes(subject);
  }

  async #store(subject: Subject, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    const answer = await this.#parts.inbox.ask({ subject, bytes, messageId: messageId(subject, bytes), signal });
    requireStored(subject, answer);
  }

  async #sending<T>(subject: Subject, bytes: Uint8Array, signal: AbortSignal, send: () => Promise<T>): Promise<T> {
    this.#admit(subject, bytes, signal);
    this.#outgoing++;
    this.#outgoingBytes += bytes.byteLength;
    try {
      return await send();
    } finally {
      this.#outgoing--;
      this.#outgoingBytes -= bytes.byteLength;
    }
  }

  #admit(subject: Subject, bytes: Uint8Array, signal: AbortSignal): void {
    parseSubject(subject);
    this.#requireOpen();
    if (signal.aborted) throw givenUp(`publish to ${subject}`, signal);
    const { packetBytesMax } = this.traits;
    if (bytes.byteLength > packetBytesMax) {
      throw new Fault(
        "PAYLOAD_TOO_LARGE",
        `a packet may have ${packetBytesMax} bytes, this one has ${bytes.byteLength}`,
      );
    }
    const { outgoingMax, outgoingBytesMax } = this.#parts.limits;
    if (this.#outgoing < outgoingMax && this.#outgoingBytes + bytes.byteLength <= outgoingBytesMax) return;
    throw new Fault("BUS_UNAVAILABLE", "too many publishes wait for the server");
  }

  async #subscribeDurable(
    spec: SubscriptionSpec,
    handle: Handle,
    group: string,
    durability: Durability,
  ): Promise<Subscription> {
    const { link } = this.#parts;
    const { jsm, settings, watchEveryMs, restoreStream } = durability;
    const wish: DurableWish = { subject: spec.subject, group, settings };
    const deliverSubject = await ensureDurable(jsm, wish, link.parts.log);
    const subscription = new DurableSubscription(spec, handle, { link, settings });
    await subscription.enter(deliverSubject);
    void watchDurable({ jsm, link, wish, subscription, everyMs: watchEveryMs, restoreStream });
    return subscription;
  }

  #track(subscription: Subscription): Subscription {
    this.#subscriptions.add(subscription);
    return {
      drain: async (signal) => {
        await subscription.drain(signal);
        this.#subscriptions.delete(subscription);
      },
    };
  }

  #requireOpen(): void {
    const { link } = this.#parts;
    if (this.#isDraining || !link.isConnected) throw link.unavailable();
  }

  #tell(gap: Gap): void {
    for (const listener of this.#gapListeners) {
      Promise.try(listener, gap).catch((error: unknown) =>
        this.#parts.link.parts.log.error("bus.gap_listener_failed", error, { gap: gap.kind }),
      );
    }
  }
}

/** A group stands in a line of NATS' protocol, and in the name of a consumer. */
function requireGroup(group: string): void {
  if (/^[!-)+-=?-~]{1,256}$/.test(group)) return;
  throw new Fault("INVALID_REQUEST", `not a queue group: ${JSON.stringify(group.slice(0, 80))}`);
}

/** The stream's answer to a publish: {"stream", "seq", "duplicate"} or {"error"}. A duplicate is stored already. */
function requireStored(subject: string, answer: Uint8Array): void {
  const text = new TextDecoder().decode(answer);
  let ack: unknown;
  try {
    ack = JSON.parse(text);
  } catch (cause) {
    throw new Fault("BUS_UNAVAILABLE", `the stream's answer to ${subject} cannot be read`, { cause });
  }
  if (typeof ack === "object" && ack !== null && "seq" in ack && typeof ack.seq === "number" && ack.seq > 0) return;
  throw new Fault("BUS_UNAVAILABLE", `the stream did not store what was published to ${subject}`, {
    cause: new Error(text.slice(0, 300)),
  });
}
