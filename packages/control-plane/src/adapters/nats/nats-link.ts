// The connection to NATS.
// Owns:          connecting, reconnecting, flushing, what the client says about the connection.
// Must not know: streams, what a message means.
// L1. `send` works only while connected: what the client would keep for later is lost at the next attempt, so it is refused instead.
// L2. Everything sent until the promises that can go on have gone on leaves in one write, with one flush behind it where somebody waits.
//     A flush that settles is true for all of them: the server has read them, and whatever it has to say about them (nobody listens,
//     not permitted) has arrived.
// L3. The first connection fails loudly. Later ones are tried for ever, 100 ms to 5 s apart, spread by half.
// L4. Nothing waits longer than `callMsMax`, and nothing waits for a connection that is gone.

import {
  connect,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
  PermissionViolationError,
  type Status,
  type Subscription,
} from "@nats-io/transport-node";
import type { Clock } from "../../ports/clock.ts";
import { Fault, messageOf } from "../../ports/fault.ts";
import type { Log } from "../../ports/telemetry.ts";
import type { Ms } from "../../ports/time.ts";
import { turn } from "../system/turn.ts";
import type { Entrance } from "./endpoint.ts";
import { unlessAborted } from "./until.ts";

export interface LinkSettings {
  /** The first connection, and each attempt after it. */
  readonly connectMsMax: Ms;
  /** One flush, one question to the server. */
  readonly callMsMax: Ms;
  /** A connection on which nothing comes for two of these is given up. */
  readonly pingEveryMs: Ms;
}
export interface LinkParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly settings: LinkSettings;
}

interface Sending {
  readonly subject: string;
  readonly bytes: Uint8Array;
  readonly more: { readonly reply?: string; readonly headers?: MsgHdrs };
}

export type OnMessage = (message: Msg) => void;
/** Told in the order of events; must not throw. */
export interface LinkListener {
  lost(): void;
  restored(): void;
}

const CLIENT_NAME = "cordum-bus";
const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 5_000;
const PINGS_OUT_MAX = 2;
const DENIED_MAX = 1_000;

export class NatsLink {
  readonly parts: LinkParts;
  readonly #nc: NatsConnection;
  readonly #pace: ReconnectPace;
  readonly #servers: string;
  readonly #closing = new AbortController();
  readonly #listeners = new Set<LinkListener>();
  /** Subjects that the server refused lately, with the number of the last send before it said so. */
  readonly #denied = new Map<string, number>();
  #lost = new AbortController();
  #connected = true;
  #reconnects = 0;
  #sent = 0;
  #flush: PromiseWithResolvers<void> | undefined;
  #sending: Sending[] = [];
  #isWriting = false;

  private constructor(nc: NatsConnection, servers: string, pace: ReconnectPace, parts: LinkParts) {
    this.#nc = nc;
    this.#servers = servers;
    this.#pace = pace;
    this.parts = parts;
    this.#watch(nc.status()).catch((error: unknown) => parts.log.error("bus.status_unknown", error));
  }

  /** Rejects with BUS_UNAVAILABLE naming the address, or BUS_MISCONFIGURED when the credentials are refused. */
  static async open(entrance: Entrance, parts: LinkParts): Promise<NatsLink> {
    const { settings, clock } = parts;
    const pace = new ReconnectPace(clock);
    const servers = entrance.servers.join(", ");
    const connecting = connect({
      servers: [...entrance.servers],
      name: CLIENT_NAME,
      timeout: settings.connectMsMax,
      pingInterval: settings.pingEveryMs,
      maxPingOut: PINGS_OUT_MAX,
      maxReconnectAttempts: -1,
      ignoreAuthErrorAbort: true,
      reconnectDelayHandler: () => pace.delayMs(),
      noAsyncTraces: true,
      ...entrance.login,
      ...(entrance.tls === undefined ? {} : { tls: entrance.tls }),
    });
    const deadline = clock.deadline(NEVER, settings.connectMsMax * entrance.servers.length);
    try {
      const nc = await unlessAborted(connecting, deadline, "connecting");
      return new NatsLink(nc, servers, pace, parts);
    } catch (cause) {
      connecting.then((late) => late.close()).catch(() => undefined); // its failure is the one that is thrown here
      throw connectFault(servers, cause);
    }
  }

  get isConnected(): boolean {
    return this.#connected;
  }
  get reconnects(): number {
    return this.#reconnects;
  }
  /** Fires when `close` is called. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }
  /** For the JetStream API alone. */
  get connection(): NatsConnection {
    return this.#nc;
  }
  get packetBytesMax(): number {
    return this.#nc.info?.max_payload ?? 1_048_576;
  }

  listen(listener: LinkListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** A signal that fires after `callMsMax`, and when the link closes. */
  deadline(): AbortSignal {
    return this.parts.clock.deadline(this.closing, this.parts.settings.callMsMax);
  }

  /** Hands a message to the next write; what goes wrong there, `flushed` tells. Returns a number for `requireAllowed`. Throws
   *  BUS_UNAVAILABLE or PAYLOAD_TOO_LARGE. */
  send(subject: string, bytes: Uint8Array, more: Sending["more"] = {}): number {
    if (!this.#connected) throw this.unavailable();
    if (bytes.byteLength > this.packetBytesMax) {
      throw new Fault("PAYLOAD_TOO_LARGE", `the server takes packets of ${this.packetBytesMax} bytes at most`);
    }
    this.#sending.push({ subject, bytes, more });
    this.#writeSoon();
    return ++this.#sent;
  }

  /** Resolves when the server has read everything sent before this call. */
  flushed(): Promise<void> {
    this.#flush ??= Promise.withResolvers<void>();
    this.#writeSoon();
    return this.#flush.promise;
  }

  /** Throws BUS_MISCONFIGURED when the server has refused `subject` since the send with that number. */
  requireAllowed(subject: string, sent: number): void {
    const deniedAt = this.#denied.get(subject);
    if (deniedAt !== undefined && deniedAt >= sent) throw denied("publish to", subject);
  }

  /** The server has the subscription when this resolves. Rejects with BUS_UNAVAILABLE or BUS_MISCONFIGURED. */
  async subscribe(subject: string, group: string | undefined, onMessage: OnMessage): Promise<Subscription> {
    if (!this.#connected) throw this.unavailable();
    const { log } = this.parts;
    const subscription = this.#nc.subscribe(subject, {
      ...(group === undefined ? {} : { queue: group }),
      callback: (error, message) => {
        // What is thrown here would end the client's reading for good.
        try {
          if (error === null) onMessage(message);
          else log.error("bus.subscription_failed", error, { subject });
        } catch (thrown) {
          log.error("bus.message_failed", thrown, { subject });
        }
      },
    });
    try {
      await this.flushed();
      if (subscription.isClosed()) throw denied("subscribe to", subject);
      return subscription;
    } catch (error) {
      if (!subscription.isClosed()) subscription.unsubscribe();
      throw error;
    }
  }

  unavailable(): Fault {
    return new Fault("BUS_UNAVAILABLE", this.closing.aborted ? "the bus is closed" : `no connection to NATS`);
  }

  /** Nothing is sent afterwards. What was sent before reaches the server if `signal` does not fire first. */
  async close(signal: AbortSignal): Promise<void> {
    if (this.closing.aborted) return;
    if (this.#connected) {
      await unlessAborted(this.flushed(), signal, "the last flush").catch((error: unknown) =>
        this.parts.log.error("bus.last_flush_failed", error),
      );
    }
    this.#connected = false;
    this.#closing.abort();
    await this.#nc.close();
  }

  #writeSoon(): void {
    if (this.#isWriting) return;
    this.#isWriting = true;
    process.nextTick(() => this.#write());
  }

  #write(): void {
    this.#isWriting = false;
    const sending = this.#sending;
    const flush = this.#flush;
    this.#sending = [];
    this.#flush = undefined;
    try {
      if (!this.#connected) throw this.unavailable();
      for (const { subject, bytes, more } of sending) this.#nc.publish(subject, bytes, more);
    } catch (cause) {
      const fault = new Fault("BUS_UNAVAILABLE", `${sending.length} messages could not be written`, { cause });
      if (flush === undefined) this.parts.log.error("bus.not_written", fault);
      else flush.reject(fault);
      return;
    }
    if (flush !== undefined) this.#ping().then(flush.resolve, flush.reject);
  }

  async #ping(): Promise<void> {
    if (!this.#connected) throw this.unavailable();
    try {
      const pong = unlessAborted(this.#nc.flush(), this.deadline(), "the flush");
      await unlessAborted(pong, this.#lost.signal, "the flush");
      await turn(); // what the client tells about errors comes some microtasks after the PONG
    } catch (cause) {
      throw new Fault("BUS_UNAVAILABLE", "the server did not confirm what was sent", { cause });
    }
  }

  async #watch(statuses: AsyncIterable<Status>): Promise<void> {
    for await (const status of statuses) this.#onStatus(status);
    if (this.closing.aborted) return;
    this.#connected = false;
    this.#lost.abort();
    this.parts.log.error("bus.connection_closed", new Error("the client gave the connection up"));
  }

  #onStatus(status: Status): void {
    const { log } = this.parts;
    switch (status.type) {
      case "disconnect":
        this.#onLost();
        break;
      case "reconnecting":
        this.#pace.attempted();
        break;
      case "reconnect":
        this.#onRestored();
        break;
      case "error":
        this.#onError(status.error);
        break;
      case "ldm":
      case "staleConnection":
        log.warn("bus.server_leaving", { server: this.#servers, kind: status.type });
        break;
      default: // pings, cluster updates, and "close", after which the statuses end
        break;
    }
  }

  #onLost(): void {
    if (!this.#connected || this.closing.aborted) return;
    this.#connected = false;
    this.parts.log.warn("bus.connection_lost", { server: this.#servers });
    this.#lost.abort();
    for (const listener of this.#listeners) listener.lost();
  }

  #onRestored(): void {
    // After refused logins the client tells of one reconnect several times.
    if (this.#connected || this.closing.aborted) return;
    this.#connected = true;
    this.#lost = new AbortController();
    this.#reconnects++;
    this.#pace.connected();
    this.parts.log.info("bus.connection_restored", { server: this.#servers, reconnects: this.#reconnects });
    for (const listener of this.#listeners) listener.restored();
  }

  #onError(error: Error): void {
    this.parts.log.error("bus.server_error", error);
    if (!(error instanceof PermissionViolationError) || error.operation !== "publish") return;
    if (this.#denied.size >= DENIED_MAX) this.#denied.clear();
    this.#denied.set(error.subject, this.#sent);
  }
}

const NEVER = new AbortController().signal;

/** Times between attempts to reconnect. The client asks more than once per attempt. */
class ReconnectPace {
  readonly #clock: Clock;
  #attempts = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }
  attempted(): void {
    this.#attempts++;
  }
  connected(): void {
    this.#attempts = 0;
  }
  delayMs(): Ms {
    const growing = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(this.#attempts, 20));
    return growing * (0.5 + this.#clock.random() / 2);
  }
}

function connectFault(servers: string, cause: unknown): Fault {
  const why = messageOf(cause);
  if (/authorization|authentication|nkey/i.test(why)) {
    return new Fault("BUS_MISCONFIGURED", `NATS at ${servers} refuses the credentials; check user, token or nkey`, {
      cause,
    });
  }
  return new Fault("BUS_UNAVAILABLE", `NATS at ${servers} cannot be reached: ${why}`, { cause });
}

function denied(what: string, subject: string): Fault {
  return new Fault("BUS_MISCONFIGURED", `the NATS user may not ${what} ${subject}; give it that permission`);
}
