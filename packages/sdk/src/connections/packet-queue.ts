// Packet queue: between a worker and its connection to NATS.
// Owns:          which packets are not written yet, which not confirmed, their order and their bounds.
// Must not know: NATS; what is in a packet.
// K1. What is handed over in one turn of the event loop is written in one go, in the order in which it came.
// K2. A packet that is to arrive (`send`) counts as sent when a flush that followed it was answered; all of one turn share a flush.
// K3. Without connection such packets are kept; `resume` sends all of them, the oldest first. What was under way when the connection broke
//     may have arrived: it is sent once more, and receivers know results by job and attempt.
// K4. The same bytes handed over again while they are kept are the same packet: their sender lost patience, not the packet.
// K5. A packet that may be lost (`sendLight`) counts as sent when it is written, unless too much has been written since the last answer:
//     then its sender waits for one. Without connection it is refused.

export interface QueueLimits {
  /** Of what is to arrive, together. */
  readonly packetsMax: number;
  readonly bytesMax: number;
  /** Bytes written without an answer after which senders of light packets wait. */
  readonly unansweredBytesMax: number;
}

export interface Carrier {
  /** Throws for what can never be sent. */
  publish(subject: string, bytes: Uint8Array): void;
  /** Resolves when the server has everything published before; rejects when the connection broke. */
  flush(): Promise<void>;
}

interface Queued {
  readonly subject: string;
  readonly bytes: Uint8Array;
  readonly isLight: boolean;
  readonly sent: PromiseWithResolvers<void>;
  /** Written, not confirmed. */
  isUnderWay: boolean;
}

export class PacketQueue {
  readonly #carrier: Carrier;
  readonly #limits: QueueLimits;
  readonly #kept = new Map<Uint8Array, Queued>();
  #next: Queued[] = [];
  #keptBytes = 0;
  #unansweredBytes = 0;
  #isConnected = true;
  #isScheduled = false;
  #closedBy: Error | undefined;
  #onEmpty: (() => void)[] = [];

  constructor(carrier: Carrier, limits: QueueLimits) {
    this.#carrier = carrier;
    this.#limits = limits;
  }

  /** Packets that are to arrive and of which nobody knows yet whether they did. */
  get keptPackets(): number {
    return this.#kept.size;
  }

  /** Resolves when the server has it. Rejects when there is no room, when it can never be sent, or with `close`. */
  send(subject: string, bytes: Uint8Array): Promise<void> {
    const known = this.#kept.get(bytes);
    if (known !== undefined) return known.sent.promise;
    if (this.#closedBy !== undefined) return Promise.reject(this.#closedBy);
    const { packetsMax, bytesMax } = this.#limits;
    if (this.#kept.size >= packetsMax || this.#keptBytes + bytes.length > bytesMax)
      return Promise.reject(new Error(`${this.#kept.size} packets (${this.#keptBytes} bytes) wait for NATS already`));
    const kept: Queued = { subject, bytes, isLight: false, sent: Promise.withResolvers(), isUnderWay: false };
    this.#kept.set(bytes, kept);
    this.#keptBytes += bytes.length;
    return this.#enqueue(kept);
  }

  /** Resolves when it is written. Rejects at once when there is no connection. */
  sendLight(subject: string, bytes: Uint8Array): Promise<void> {
    if (this.#closedBy !== undefined) return Promise.reject(this.#closedBy);
    if (!this.#isConnected) return Promise.reject(noConnection());
    return this.#enqueue({ subject, bytes, isLight: true, sent: Promise.withResolvers(), isUnderWay: false });
  }

  /** The connection broke. */
  pause(): void {
    this.#isConnected = false;
  }

  /** The connection is back. */
  resume(): void {
    this.#isConnected = true;
    this.#unansweredBytes = 0;
    const kept = [...this.#kept.values()].filter(({ isUnderWay }) => !isUnderWay);
    this.#next = [...kept, ...this.#next.filter(({ isLight }) => isLight)];
    this.#schedule();
  }

  /** The server takes nothing on this subject: waiting would not help. */
  refuse(subject: string, why: Error): void {
    for (const kept of [...this.#kept.values()]) if (kept.subject === subject) this.#settle(kept, why);
  }

  /** Resolves when nothing is kept. */
  async empty(): Promise<void> {
    while (this.#kept.size > 0) await new Promise<void>((resolve) => this.#onEmpty.push(resolve));
  }

  /** Nothing is sent any more; what is kept is lost, and its senders hear it. */
  close(why: Error): void {
    this.#closedBy ??= why;
    for (const packet of [...this.#kept.values(), ...this.#next]) this.#settle(packet, why);
    this.#next = [];
  }

  #enqueue(packet: Queued): Promise<void> {
    this.#next.push(packet);
    this.#schedule();
    return packet.sent.promise;
  }

  /** A tick comes after all promises of the turn that can go on have gone on. */
  #schedule(): void {
    if (!this.#isConnected || this.#isScheduled || this.#next.length === 0) return;
    this.#isScheduled = true;
    process.nextTick(() => {
      this.#isScheduled = false;
      void this.#sendNext();
    });
  }

  /** Never rejects. */
  async #sendNext(): Promise<void> {
    const next = this.#next;
    this.#next = [];
    if (!this.#isConnected) {
      refuseLight(next);
      return;
    }
    const written = next.filter((packet) => this.#write(packet));
    const isTooMuch = this.#unansweredBytes > this.#limits.unansweredBytesMax;
    const unanswered = isTooMuch ? written : written.filter(({ isLight }) => !isLight);
    if (!isTooMuch) for (const packet of written) if (packet.isLight) packet.sent.resolve();
    if (unanswered.length > 0) await this.#confirm(unanswered);
  }

  async #confirm(packets: readonly Queued[]): Promise<void> {
    try {
      await this.#carrier.flush();
      this.#unansweredBytes = 0;
      for (const packet of packets) this.#settle(packet);
    } catch {
      // Nobody knows what arrived. While the break is not noticed, or noticed and over, it is sent again now; else by `resume`.
      for (const packet of packets) packet.isUnderWay = false;
      refuseLight(packets);
      if (!this.#isConnected) return;
      this.#next.unshift(...packets.filter(({ isLight }) => !isLight));
      this.#schedule();
    }
  }

  /** False when there is nothing to wait for. */
  #write(packet: Queued): boolean {
    if (!packet.isLight && !this.#kept.has(packet.bytes)) return false;
    try {
      this.#carrier.publish(packet.subject, packet.bytes);
    } catch (error) {
      this.#settle(packet, error);
      return false;
    }
    packet.isUnderWay = !packet.isLight;
    this.#unansweredBytes += packet.bytes.length;
    return true;
  }

  #settle(packet: Queued, problem?: unknown): void {
    if (problem === undefined) packet.sent.resolve();
    else packet.sent.reject(problem);
    if (packet.isLight || !this.#kept.delete(packet.bytes)) return;
    packet.isUnderWay = false;
    this.#keptBytes -= packet.bytes.length;
    if (this.#kept.size > 0) return;
    const waiters = this.#onEmpty;
    this.#onEmpty = [];
    for (const resolve of waiters) resolve();
  }
}

function refuseLight(packets: readonly Queued[]): void {
  for (const packet of packets) if (packet.isLight) packet.sent.reject(noConnection());
}

function noConnection(): Error {
  return new Error("there is no connection to NATS at the moment");
}
