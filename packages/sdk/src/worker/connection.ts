// Connection: what a worker needs of the outside.
// Owns:          the contract between a worker and whatever carries its packets and payloads.
// Must not know: NATS, Redis, WebSocket, the control plane. Each of them can give one; so can a test in thirty lines.
// N1. Every call may reject; the worker tries again where that is safe and reports where it is not.
// N2. `subscribe` resolves when messages are flowing. Members of one group share the messages of a subject, without a group
//     everybody gets each. `handle` never throws and never makes the connection wait.
// N3. After `close` of a subscription has resolved, its handle is not called any more.

export interface WorkerSubscription {
  close(): Promise<void>;
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
  /** For whoever opened it: a worker that was given a connection does not close it. */
  close(): Promise<void>;
}
