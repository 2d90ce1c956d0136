// Answers to what this process sends.
// Owns:          one inbox for all of them, and who waits for which answer.
// Must not know: streams, what an answer means.
// N1. `deliver` knows its verdict at the flush: the server says "no responders" before it answers the flush (B1). Many share a flush.
//     It is "heard" wherever something listens that is no worker: a wiretap on the subject, a stream that captures it, and, across
//     gateways of a super-cluster, until interest is known. The alarm of the job is the guarantee.
// N2. A question ends with its answer, "nobody", its signal, `callMsMax`, or the connection.

import { headers, type Msg, type MsgHdrs } from "@nats-io/transport-node";
import { Fault } from "../../ports/fault.ts";
import type { NatsLink } from "./nats-link.ts";
import { bytesOf } from "./payload-bytes.ts";
import { givenUp, onAbort, unlessAborted } from "./until.ts";

interface Question {
  readonly kind: "question";
  readonly subject: string;
  resolve(answer: Uint8Array): void;
  reject(fault: Fault): void;
}
interface Delivery {
  readonly kind: "delivery";
  isHeard: boolean;
}

const NO_RESPONDERS = 503;
/** Deliveries and questions under way at once. */
export const PENDING_MAX = 65_536;
const MESSAGE_ID_HEADER = "Nats-Msg-Id";

export class Inbox {
  readonly #link: NatsLink;
  readonly #prefix: string;
  readonly #pending = new Map<string, Question | Delivery>();
  #next = 0;

  private constructor(link: NatsLink) {
    this.#link = link;
    this.#prefix = `_INBOX.${link.parts.clock.id(16)}.`;
  }

  static async open(link: NatsLink): Promise<Inbox> {
    const inbox = new Inbox(link);
    await link.subscribe(`${inbox.#prefix}*`, undefined, (message) => inbox.#onMessage(message));
    link.listen({ lost: () => inbox.#onLost(), restored: () => undefined });
    return inbox;
  }

  async deliver(subject: string, bytes: Uint8Array, signal: AbortSignal): Promise<"heard" | "nobody"> {
    const delivery: Delivery = { kind: "delivery", isHeard: true };
    const token = this.#enter(delivery);
    try {
      const sent = this.#link.send(subject, bytes, { reply: this.#prefix + token });
      await unlessAborted(this.#link.flushed(), signal, `delivery to ${subject}`);
      this.#link.requireAllowed(subject, sent);
      return delivery.isHeard ? "heard" : "nobody";
    } finally {
      this.#pending.delete(token);
    }
  }

  /** The first answer. Rejects with BUS_UNAVAILABLE when nobody listens or no answer comes. */
  async ask(question: {
    readonly subject: string;
    readonly bytes: Uint8Array;
    readonly messageId?: string | undefined;
    readonly signal: AbortSignal;
  }): Promise<Uint8Array> {
    const { subject, bytes, messageId, signal } = question;
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    const token = this.#enter({ kind: "question", subject, resolve, reject });
    const giveUp = (by: AbortSignal) => (): void => reject(givenUp(`the answer on ${subject}`, by));
    let callsOff: readonly (() => void)[] = [];
    try {
      this.#link.send(subject, bytes, { reply: this.#prefix + token, ...headersOf(messageId) });
      callsOff = [signal, this.#link.deadline()].map((by) => onAbort(by, giveUp(by)));
      return await promise;
    } finally {
      for (const callOff of callsOff) callOff();
      this.#pending.delete(token);
    }
  }

  #enter(pending: Question | Delivery): string {
    if (this.#pending.size >= PENDING_MAX) throw new Fault("BUS_UNAVAILABLE", "too many publishes wait for the server");
    const token = (this.#next++).toString(36);
    this.#pending.set(token, pending);
    return token;
  }

  #onMessage(message: Msg): void {
    const pending = this.#pending.get(message.subject.slice(this.#prefix.length));
    if (pending === undefined) return; // too late, or a second answer
    const isNobody = message.headers?.code === NO_RESPONDERS && message.data.byteLength === 0;
    if (pending.kind === "delivery") {
      if (isNobody) pending.isHeard = false;
      return;
    }
    if (isNobody) pending.reject(new Fault("BUS_UNAVAILABLE", `nobody answers on ${pending.subject}`));
    else pending.resolve(bytesOf(message));
  }

  #onLost(): void {
    for (const pending of this.#pending.values()) {
      if (pending.kind === "question") pending.reject(this.#link.unavailable());
    }
  }
}

function headersOf(messageId: string | undefined): { readonly headers?: MsgHdrs } {
  if (messageId === undefined) return {};
  const made = headers();
  made.set(MESSAGE_ID_HEADER, messageId);
  return { headers: made };
}
