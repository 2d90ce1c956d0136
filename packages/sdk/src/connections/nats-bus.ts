// NATS as a worker's bus: core publishes and subscriptions.
// Owns:          the one connection, its reconnects, and when a packet counts as sent.
// Must not know: what is in a packet, who keeps payloads.
// B1. A publish resolves when the server has the packet. Heartbeats, handshakes and progress resolve when they are written: a lost one
//     is said again; without connection they are refused.
// B2. The connection comes back by itself for ever, with jittered pauses; subscriptions come back with it, before anybody is told.
// B3. Nothing piles up here: messages are handed over as they arrive, and what the worker cannot take it gives back (T3 in intake.ts).
//     Packets on their way out are bounded by packet-queue.ts.

import type { Authenticator, ConnectionOptions, NatsConnection, Status, Subscription } from "@nats-io/transport-node";
import type { Runtime } from "../runtime.ts";
import type { WorkerSubscription } from "../worker/connection.ts";
import { messageOf, type WorkerLog } from "../worker/log.ts";
import { SUBJECTS } from "../worker/wire.ts";
import { loadOptional } from "./optional-package.ts";
import { PacketQueue } from "./packet-queue.ts";
import type { NatsLogin, NatsPlace } from "./target.ts";
import { readTls } from "./tls.ts";

export interface NatsParts {
  /** How the server's monitoring names this client: the worker's id. */
  readonly name: string;
  readonly runtime: Runtime;
  readonly log: WorkerLog;
  readonly connectTimeoutMs: number;
  /** How often the server is asked whether it is there; it is given up when it has not answered two times. */
  readonly pingIntervalMs: number;
}

type Handle = (bytes: Uint8Array, subject: string) => void;
type Package = typeof import("@nats-io/transport-node");

const LIGHT: ReadonlySet<string> = new Set([SUBJECTS.heartbeat, SUBJECTS.handshake, SUBJECTS.progress]);
const QUEUE = { packetsMax: 10_000, bytesMax: 67_108_864, unansweredBytesMax: 1_048_576 };
/** The client adds the jitter. */
const RECONNECT = { reconnectTimeWait: 250, reconnectJitter: 500, reconnectJitterTLS: 1_000 };
const CLOSE_TIMEOUT_MS = 5_000;

/** Rejects with a sentence when no server can be reached or lets us in. */
export async function openNats(place: NatsPlace, parts: NatsParts): Promise<NatsBus> {
  const client = await loadOptional("@nats-io/transport-node", () => import("@nats-io/transport-node"));
  const options: ConnectionOptions = {
    servers: [...place.servers],
    name: parts.name,
    ...(place.tls === undefined ? {} : { tls: await readTls("NATS", place.tls) }),
    ...loginOptions(place.login, client),
    ...RECONNECT,
    maxReconnectAttempts: -1,
    // A password that changes on the server and comes back must not end the worker.
    ignoreAuthErrorAbort: true,
    pingInterval: parts.pingIntervalMs,
    maxPingOut: 2,
    timeout: parts.connectTimeoutMs,
    noAsyncTraces: true,
  };
  try {
    return new NatsBus(await client.connect(options), parts);
  } catch (cause) {
    throw new Error(`NATS cannot be reached at ${place.servers.join(", ")}: ${messageOf(cause)}`, { cause });
  }
}

function loginOptions(login: NatsLogin, client: Package): ConnectionOptions {
  switch (login.kind) {
    case "none":
      return {};
    case "password":
      return { user: login.username, pass: login.password };
    case "token":
      return { token: login.token };
    case "nkey":
      return { authenticator: nkeyOf(login.seed, client) };
  }
}

function nkeyOf(seed: string, client: Package): Authenticator {
  const authenticator = client.nkeyAuthenticator(new TextEncoder().encode(seed));
  try {
    authenticator("probe");
  } catch (cause) {
    throw new TypeError("nats: the NKey seed cannot be read; a user's begins with SU", { cause });
  }
  return authenticator;
}

export class NatsBus {
  readonly #nats: NatsConnection;
  readonly #parts: NatsParts;
  readonly #queue: PacketQueue;
  readonly #listeners = new Set<() => void>();
  /** What the server does not let us do, as "publish <subject>" and "subscription <subject>". */
  readonly #forbidden = new Map<string, Error>();
  readonly #watching: Promise<void>;
  #isConnected = true;
  #closing: Promise<void> | undefined;

  constructor(nats: NatsConnection, parts: NatsParts) {
    this.#nats = nats;
    this.#parts = parts;
    this.#queue = new PacketQueue(
      { publish: (to, bytes) => nats.publish(to, bytes), flush: () => nats.flush() },
      QUEUE,
    );
    this.#watching = this.#watch();
  }

  publish(subject: string, bytes: Uint8Array): Promise<void> {
    const forbidden = this.#forbidden.size === 0 ? undefined : this.#forbidden.get(`publish ${subject}`);
    if (forbidden !== undefined) return Promise.reject(forbidden);
    return LIGHT.has(subject) ? this.#queue.sendLight(subject, bytes) : this.#queue.send(subject, bytes);
  }

  /** Resolves when the server knows the subscription. Rejects when it does not allow it. */
  async subscribe(subject: string, group: string | undefined, handle: Handle): Promise<WorkerSubscription> {
    let isOpen = true;
    const subscription = this.#nats.subscribe(subject, {
      ...(group === undefined ? {} : { queue: group }),
      callback: (error, message) => {
        // Errors come by the status too, and there with all that is known about them.
        if (error === null && isOpen) handle(message.data, message.subject);
      },
    });
    const end = async () => {
      await this.#end(subscription);
      isOpen = false;
    };
    try {
      // The server says no before it answers the first flush, and the client's status has told it before the second is answered.
      this.#forbidden.delete(`subscription ${subject}`);
      await this.#nats.flush();
      await this.#nats.flush();
      const refusal = this.#forbidden.get(`subscription ${subject}`);
      if (refusal !== undefined) throw refusal;
    } catch (cause) {
      await end();
      throw cause;
    }
    return { close: end };
  }

  /** `listener` is called after each reconnect, when subscriptions are back. Returns what takes it away again. */
  onReconnect(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Sends what is kept, within five seconds, then ends the connection. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const late = new AbortController();
    const lateness = this.#parts.runtime.sleep(CLOSE_TIMEOUT_MS, late.signal);
    await Promise.race([this.#flushAll(), lateness]);
    late.abort();
    if (this.#queue.keptPackets > 0) this.#parts.log.warn("nats.packets_lost", { packets: this.#queue.keptPackets });
    this.#queue.close(new Error("the connection to NATS is closed"));
    await this.#nats.close();
    await this.#watching;
  }

  async #flushAll(): Promise<void> {
    await this.#queue.empty();
    try {
      if (this.#isConnected) await this.#nats.flush();
    } catch (error) {
      this.#parts.log.warn("nats.not_flushed", { reason: messageOf(error) });
    }
  }

  /** Messages that the server has sent already are still handed over. Without connection the client just forgets it. */
  async #end(subscription: Subscription): Promise<void> {
    if (subscription.isClosed() || this.#nats.isClosed()) return;
    if (this.#isConnected) await subscription.drain();
    else subscription.unsubscribe();
  }

  async #watch(): Promise<void> {
    for await (const status of this.#nats.status()) this.#notice(status);
    const why = await this.#nats.closed();
    this.#isConnected = false;
    if (this.#closing === undefined) this.#parts.log.error("nats.connection_ended", why ?? "without a reason");
    this.#queue.close(new Error("the connection to NATS has ended", why === undefined ? {} : { cause: why }));
  }

  #notice(status: Status): void {
    const { log } = this.#parts;
    switch (status.type) {
      case "disconnect":
        if (!this.#isConnected) return;
        this.#isConnected = false;
        this.#queue.pause();
        if (this.#closing === undefined) log.warn("nats.disconnected", { server: status.server });
        return;
      case "reconnect":
        this.#isConnected = true;
        this.#forbidden.clear();
        this.#queue.resume();
        log.info("nats.reconnected", { server: status.server, keptPackets: this.#queue.keptPackets });
        for (const listener of [...this.#listeners]) listener();
        return;
      case "error":
        log.error("nats.error", status.error);
        this.#noticeForbidden(status.error);
        return;
      case "staleConnection":
        log.warn("nats.silent");
        return;
      default:
        return;
    }
  }

  #noticeForbidden(error: Error): void {
    if (!("operation" in error && "subject" in error)) return;
    const { operation, subject } = error;
    if (typeof subject !== "string") return;
    const why = new Error(`NATS does not let us ${operation === "publish" ? "publish" : "listen"} on ${subject}`, {
      cause: error,
    });
    this.#forbidden.set(`${operation} ${subject}`, why);
    if (operation === "publish") this.#queue.refuse(subject, why);
  }
}
