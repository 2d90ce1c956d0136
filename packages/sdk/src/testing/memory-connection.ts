// A connection inside this process, for tests: packets and payloads in maps, failures on demand.
// Owns:          delivery to subscribers and queue groups; everything that was published, decoded.
// Must not know: workers.

import { type BusPacket, type BusPacketPayload, decodePacket } from "@cordum/protocol";
import type { WorkerConnection, WorkerSubscription } from "../worker/connection.ts";

interface Subscriber {
  readonly subject: string;
  readonly group: string | undefined;
  handle(bytes: Uint8Array, subject: string): void;
}
export interface Sent {
  readonly subject: string;
  readonly packet: BusPacket;
}
type Kind = BusPacketPayload["kind"];
type PayloadByKind = { readonly [P in BusPacketPayload as P["kind"]]: P["value"] };
export type PayloadOf<K extends Kind> = PayloadByKind[K];

export class MemoryConnection implements WorkerConnection {
  readonly sent: Sent[] = [];
  readonly payloads = new Map<string, { readonly bytes: Uint8Array; readonly ttlMs: number }>();
  readonly subscribers = new Set<Subscriber>();
  isClosed = false;
  /** Called before each operation; what it throws is what the operation rejects with, and a promise delays it. */
  before: (operation: "publish" | "subscribe" | "load" | "store", name: string) => void | Promise<void> = () =>
    undefined;
  #turn = 0;
  #listeners: (() => void)[] = [];

  async publish(subject: string, bytes: Uint8Array): Promise<void> {
    await this.before("publish", subject);
    this.sent.push({ subject, packet: decodePacket(bytes) });
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener();
    this.deliver(subject, bytes);
  }

  /** Hands bytes to whoever listens: one of each group, and all without a group. */
  deliver(subject: string, bytes: Uint8Array): void {
    const interested = [...this.subscribers].filter((subscriber) => subscriber.subject === subject);
    const groups = Map.groupBy(interested, ({ group }) => group);
    for (const [group, members] of groups) {
      const chosen = group === undefined ? members : members.slice(this.#turn++ % members.length).slice(0, 1);
      for (const member of chosen) member.handle(bytes, subject);
    }
  }

  async subscribe(
    subject: string,
    group: string | undefined,
    handle: (bytes: Uint8Array, subject: string) => void,
  ): Promise<WorkerSubscription> {
    await this.before("subscribe", subject);
    const subscriber = { subject, group, handle };
    this.subscribers.add(subscriber);
    return {
      close: async () => {
        this.subscribers.delete(subscriber);
      },
    };
  }

  async loadPayload(key: string): Promise<Uint8Array | undefined> {
    await this.before("load", key);
    return this.payloads.get(key)?.bytes;
  }

  async storePayload(key: string, bytes: Uint8Array, ttlMs: number): Promise<void> {
    await this.before("store", key);
    this.payloads.set(key, { bytes, ttlMs });
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }

  /** All payloads of a kind that were published so far, in order. */
  all<K extends Kind>(kind: K): readonly PayloadOf<K>[] {
    return this.sent.flatMap(({ packet }) => payloadsOf(packet, kind));
  }

  /** Resolves with the first payload of a kind that fits, published before or after the call. */
  async first<K extends Kind>(kind: K, fits: (payload: PayloadOf<K>) => boolean = () => true): Promise<PayloadOf<K>> {
    for (;;) {
      const found = this.all(kind).find(fits);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#listeners.push(resolve));
    }
  }
}

function payloadsOf<K extends Kind>({ payload }: BusPacket, kind: K): readonly PayloadOf<K>[] {
  return payload?.kind === kind ? [payload.value as PayloadOf<K>] : [];
}
