// Connection: what a worker needs of the outside.
// Owns:          the contract between a worker and whatever carries its packets and payloads.
// Must not know: NATS, Redis, WebSocket, the control plane. Each of them can give one; so can a test in thirty lines.
// N1. Every call may reject; the worker tries again where that is safe and reports where it is not.
// N2. `subscribe` resolves when messages are flowing. Members of one group share the messages of a subject, without a group
//     everybody gets each. `handle` never throws and never makes the connection wait.
// N3. After `close` of a subscription has resolved, its handle is not called any more.
// N4. A result's `publish` resolves when whoever carries it has it; the worker goes on to other work then. The same bytes published again
//     while the first call is open may be taken as the same packet.

export interface WorkerSubscription {
  close(): Promise<void>;
}

/** Rejected with by a connection that bounds payloads: to try again would be of no use. */
export class PayloadTooLarge extends Error {
  constructor(message: string) {
    super(message);
    this.name = "PayloadTooLarge";
  }
}

export interface WorkerConnection {
  publish(subject: string, bytes: Uint8Array): Promise<void>;
  subscribe(
    subject: string,
    group: string | undefined,
    handle: (bytes: Uint8Array, subject: string) => void,
  ): Promise<WorkerSubscription>;
  /** The bytes behind a key such as `ctx:<job id>`; undefined when there are none. */
  loadPayload(key: string): Promise<Uint8Array | undefined>;
  storePayload(key: string, bytes: Uint8Array, ttlMs: number): Promise<void>;
  /** Calls `listener` each time the connection is back after it was lost, when subscriptions are back too: the worker then says at once
   *  that it is there. Returns what takes the listener away. Absent where nothing can be lost. */
  onReconnect?(listener: () => void): () => void;
  /** For whoever opened it: a worker that was given a connection does not close it. */
  close(): Promise<void>;
}
