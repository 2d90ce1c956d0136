// Kept packets: those that must be on the server before their sender goes on.
// Owns:          which packets are not confirmed yet, their order and their bound.
// Must not know: NATS; what is in a packet.
// K1. A packet counts as sent when a flush that followed it was answered. Packets of one turn share a flush.
// K2. While there is no connection packets are kept; `resume` sends all of them, the oldest first. What was under way when the
//     connection broke may have arrived: it is sent once more, and receivers know results by job and attempt.
// K3. The same bytes handed over again while they are kept are the same packet: their sender lost patience, not the packet.

export interface KeptLimits {
  readonly packetsMax: number;
  readonly bytesMax: number;
}

export interface Carrier {
  /** Throws for what can never be sent. */
  publish(subject: string, bytes: Uint8Array): void;
  /** Resolves when the server has everything published before; rejects when the connection broke. */
  flush(): Promise<void>;
}

interface Kept {
  readonly subject: string;
  readonly bytes: Uint8Array;
  readonly sent: PromiseWithResolvers<void>;
}

export class KeptPackets {
  readonly #carrier: Carrier;
  readonly #limits: KeptLimits;
  readonly #kept = new Map<Uint8Array, Kept>();
  readonly #underWay = new Set<Kept>();
  #next: Kept[] = [];
  #bytes = 0;
  #isConnected = true;
  #isScheduled = false;
  #closedBy: Error | undefined;
  #onEmpty: (() => void)[] = [];

  constructor(carrier: Carrier, limits: KeptLimits) {
    this.#carrier = carrier;
    this.#limits = limits;
  }

  get size(): number {
    return this.#kept.size;
  }

  /** Resolves when the server has it. Rejects when there is no room, when it can never be sent, or with `close`. */
  send(subject: string, bytes: Uint8Array): Promise<void> {
    const known = this.#kept.get(bytes);
    if (known !== undefined) return known.sent.promise;
    if (this.#closedBy !== undefined) return Promise.reject(this.#closedBy);
    const { packetsMax, bytesMax } = this.#limits;
    if (this.#kept.size >= packetsMax || this.#bytes + bytes.length > bytesMax)
      return Promise.reject(new Error(`${this.#kept.size} packets (${this.#bytes} bytes) wait for NATS already`));
    const kept: Kept = { subject, bytes, sent: Promise.withResolvers() };
    this.#kept.set(bytes, kept);
    this.#bytes += bytes.length;
    this.#next.push(kept);
    this.#schedule();
    return kept.sent.promise;
  }

  /** The connection broke. */
  pause(): void {
    this.#isConnected = false;
  }

  /** The connection is back. */
  resume(): void {
    this.#isConnected = true;
    this.#next = [...this.#kept.values()].filter((kept) => !this.#underWay.has(kept));
    this.#schedule();
  }

  /** The server takes nothing on this subject: waiting would not help. */
  refuse(subject: string, why: Error): void {
    for (const kept of [...this.#kept.values()])
      if (kept.subject === subject) this.#settle(kept, () => kept.sent.reject(why));
  }

  /** Resolves when nothing is kept. */
  async empty(): Promise<void> {
    while (this.#kept.size > 0) await new Promise<void>((resolve) => this.#onEmpty.push(resolve));
  }

  /** Nothing is sent any more; what is kept is lost, and its senders hear it. */
  close(why: Error): void {
    this.#closedBy ??= why;
    for (const kept of [...this.#kept.values()]) this.#settle(kept, () => kept.sent.reject(why));
  }

  #schedule(): void {
    if (!this.#isConnected || this.#isScheduled || this.#next.length === 0) return;
    this.#isScheduled = true;
    queueMicrotask(() => {
      this.#isScheduled = false;
      void this.#sendNext();
    });
  }

  /** Never rejects. */
  async #sendNext(): Promise<void> {
    if (!this.#isConnected) return;
    const batch = this.#next.filter((kept) => this.#kept.has(kept.bytes) && this.#publish(kept));
    this.#next = [];
    if (batch.length === 0) return;
    try {
      await this.#carrier.flush();
    } catch {
      // Nobody knows what arrived. `resume` follows, or `close`: both look at all that is kept.
      for (const kept of batch) this.#underWay.delete(kept);
      return;
    }
    for (const kept of batch) this.#settle(kept, kept.sent.resolve);
  }

  #publish(kept: Kept): boolean {
    try {
      this.#carrier.publish(kept.subject, kept.bytes);
      this.#underWay.add(kept);
      return true;
    } catch (error) {
      this.#settle(kept, () => kept.sent.reject(error));
      return false;
    }
  }

  #settle(kept: Kept, how: () => void): void {
    if (!this.#kept.delete(kept.bytes)) return;
    this.#underWay.delete(kept);
    this.#bytes -= kept.bytes.length;
    how();
    if (this.#kept.size > 0) return;
    const waiters = this.#onEmpty;
    this.#onEmpty = [];
    for (const resolve of waiters) resolve();
  }
}
