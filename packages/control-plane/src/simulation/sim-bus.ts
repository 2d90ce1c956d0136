// The bus of a simulated world.
// Owns:          who listens; the way of a message from a publish to each subscriber's door, where a fate of its own waits.
// Must not know: which fate that is; what is in a packet.
// Order, lanes, limits and repetition inside a process are the production's (adapters/bus/mailbox.ts).
// U0. While the bus is away nothing is sent and nothing arrives; whoever listened still does when it is back, and hears that there was a gap.
// U1. "heard" says that somebody listened when it was sent; the message may still be lost. U2. An ended life hears nothing.

import { Mailbox } from "../adapters/bus/mailbox.ts";
import { parsePattern } from "../adapters/bus/subject.ts";
import { type Member, Routes } from "../adapters/inprocess/route.ts";
import type { Bus, Handle, Subject, Subscription, SubscriptionSpec, Verdict } from "../ports/bus.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/telemetry.ts";
import type { CallAbout, CallQueue } from "./calls.ts";
import type { Life } from "./process.ts";

interface Subscriber extends Member {
  readonly life: Life;
  readonly mailbox: Mailbox;
}

export type OnPublish = (subject: Subject, bytes: Uint8Array, who: string) => void;
/** Hears what a subscriber that answers for its messages said about one of them. */
export type OnVerdict = (subject: Subject, bytes: Uint8Array, verdict: Verdict, who: string) => void;

const PACKET_BYTES_MAX = 1_048_576;
const WAITING_MAX = 65_536;

export class SimBus {
  readonly #queue: CallQueue;
  readonly #onPublish: OnPublish;
  readonly #onVerdict: OnVerdict;
  isConnected = true;
  reconnects = 0;
  readonly #routes = new Routes<Subscriber>();

  constructor(queue: CallQueue, onPublish: OnPublish, onVerdict: OnVerdict) {
    this.#queue = queue;
    this.#onPublish = onPublish;
    this.#onVerdict = onVerdict;
  }

  forget(life: Life): void {
    for (const subscriber of [...this.#routes.members]) if (subscriber.life === life) this.#routes.remove(subscriber);
  }

  connect(life: Life, parts: { readonly clock: Clock; readonly log: Log }): Bus {
    const about = (method: string, key: string): CallAbout => ({ life, port: "bus", method, kind: "send", key });
    const subscribe: Bus["subscribe"] = (spec, handle) =>
      this.#queue.enqueue({ ...about("subscribe", spec.subject), kind: "read" }, undefined, async () =>
        this.#subscribe(life, spec, handle, parts),
      );
    return {
      traits: { keepsMessages: false, shared: true, packetBytesMax: PACKET_BYTES_MAX },
      publish: (subject, bytes, signal) =>
        this.#queue.enqueue(about("publish", subject), signal, async () => void this.#send(subject, bytes, life)),
      deliver: (subject, bytes, signal) =>
        this.#queue.enqueue({ ...about("deliver", subject), kind: "deliver" }, signal, async () =>
          this.#send(subject, bytes, life) ? "heard" : "nobody",
        ),
      subscribe,
      answer: (subject, reply) =>
        subscribe({ subject, group: "answer", keep: false, inFlightMax: 64 }, async (bytes) => {
          await reply(bytes);
          return { kind: "ack" };
        }),
      status: () => ({ connected: this.isConnected, reconnects: this.reconnects }),
      drain: async (signal) => {
        const mine = [...this.#routes.members].filter((subscriber) => subscriber.life === life);
        this.forget(life);
        await Promise.all(mine.map(({ mailbox }) => mailbox.drain(signal)));
      },
    };
  }

  #send(subject: Subject, bytes: Uint8Array, from: Life): boolean {
    const chosen = this.#routes.choose(subject) ?? [];
    this.#onPublish(subject, bytes, from.label);
    for (const { life, mailbox } of chosen) {
      const about: CallAbout = { life, port: "bus", method: "arrive", kind: "arrive", key: subject };
      void this.#queue.enqueue(about, undefined, async () => {
        if (life.isAlive) mailbox.accept(subject, bytes);
      });
    }
    return chosen.length > 0;
  }

  #watched(handle: Handle, life: Life): Handle {
    return async (bytes, about, signal) => {
      const verdict = await handle(bytes, about, signal);
      if (life.isAlive) this.#onVerdict(about.subject, bytes, verdict, life.label);
      return verdict;
    };
  }

  #subscribe(
    life: Life,
    spec: SubscriptionSpec,
    handle: Handle,
    parts: { readonly clock: Clock; readonly log: Log },
  ): Subscription {
    const mailbox = new Mailbox({
      spec,
      handle: spec.keep ? this.#watched(handle, life) : handle,
      waitingMax: WAITING_MAX,
      ...parts,
      nextTurn: queueMicrotask,
    });
    const subscriber: Subscriber = {
      pattern: parsePattern(spec.subject),
      group: spec.group,
      isFull: false,
      life,
      mailbox,
    };
    if (life.isAlive) this.#routes.add(subscriber); // U2: the call may come through after the crash
    return {
      drain: (signal) => {
        this.#routes.remove(subscriber);
        return mailbox.drain(signal);
      },
    };
  }
}
