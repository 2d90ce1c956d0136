// One connection to one Redis server.
// Owns:          the only use of ioredis' connection: sending a command and saying what became of it.
// Must not know: slots, scripts, what a command does, when to try again.
// N1. A command is sent at most once. "not_sent" is certain; "lost" means that nobody knows whether it was carried out.
// N2. The connection comes back by itself, with growing pauses, until `close`.
// N3. Commands of one turn of the event loop leave in one write.

import type { ConnectionOptions } from "node:tls";
import { Command, Redis, ReplyError } from "ioredis";
import type { Log } from "../../ports/telemetry.ts";
import type { Ms } from "../../ports/time.ts";
import { type FlatArgument, FlatCommand } from "./flat-command.ts";

export type Reply = string | number | null | Buffer | readonly Reply[];
export type Argument = string | number | Buffer;

export type Answer =
  | { readonly kind: "reply"; readonly reply: Reply }
  /** Redis answered with an error; its own words. */
  | { readonly kind: "error"; readonly message: string }
  | { readonly kind: "not_sent" }
  | { readonly kind: "lost"; readonly cause: unknown };

export interface NodeOptions {
  readonly host: string;
  readonly port: number;
  readonly username?: string;
  readonly password?: string;
  readonly database?: number;
  readonly tls?: ConnectionOptions;
  /** A server that is silent for so long with commands under way is given up, and connected to anew. */
  readonly silenceMsMax: Ms;
}

const RECONNECT = { firstMs: 20, factor: 2, capMs: 500 } as const;
const CONNECT_TIMEOUT_MS = 3_000;

export class RedisNode {
  readonly host: string;
  readonly address: string;
  readonly #redis: Redis;
  #corked = false;
  #lastError: unknown;

  constructor(options: NodeOptions, log: Log) {
    this.host = options.host;
    this.address = `${options.host}:${options.port}`;
    const { host, port, username, password, database, tls } = options;
    this.#redis = new Redis({
      host,
      port,
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(tls === undefined ? {} : { tls }),
      db: database ?? 0,
      protocol: 2,
      connectionName: "cordum",
      disableClientInfo: true,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      connectTimeout: CONNECT_TIMEOUT_MS,
      socketTimeout: options.silenceMsMax,
      retryStrategy: (times) => Math.min(RECONNECT.firstMs * RECONNECT.factor ** (times - 1), RECONNECT.capMs),
    });
    this.#redis.on("error", (error: unknown) => {
      if (this.#lastError === undefined)
        log.warn("redis.connection_failed", { address: this.address, reason: String(error) });
      this.#lastError = error;
    });
    this.#redis.on("ready", () => {
      if (this.#lastError !== undefined) log.info("redis.connected", { address: this.address });
      this.#lastError = undefined;
    });
    this.#redis.on("close", () => log.debug("redis.connection_closed", { address: this.address }));
  }

  get isReady(): boolean {
    return this.#redis.status === "ready";
  }

  /** Why the connection is not there, for the cause of a fault. */
  get lastError(): unknown {
    return this.#lastError;
  }

  /** Replies are strings, numbers, null and arrays of these. */
  send(command: string, args: readonly Argument[]): Promise<Answer> {
    return this.#send(commandOf(command, args, "utf8"));
  }

  /** As `send`, with byte strings as they are. */
  sendForBytes(command: string, args: readonly Argument[]): Promise<Answer> {
    return this.#send(commandOf(command, args, null));
  }

  /** Cuts the connection and makes a new one: for a server that has changed its role. */
  reconnect(): void {
    if (this.isReady) this.#redis.disconnect(true);
  }

  close(): void {
    this.#redis.disconnect();
  }

  async #send(command: Command): Promise<Answer> {
    if (!this.isReady) return { kind: "not_sent" };
    this.#cork();
    try {
      return { kind: "reply", reply: (await this.#redis.sendCommand(command)) as Reply };
    } catch (error) {
      if (error instanceof ReplyError && error instanceof Error) return { kind: "error", message: error.message };
      if (error instanceof Error && error.message.startsWith("Stream isn't writeable")) return { kind: "not_sent" };
      return { kind: "lost", cause: error };
    }
  }

  #cork(): void {
    if (this.#corked) return;
    const { stream } = this.#redis;
    this.#corked = true;
    stream.cork();
    process.nextTick(() => {
      this.#corked = false;
      stream.uncork();
    });
  }
}

function commandOf(name: string, args: readonly Argument[], replyEncoding: BufferEncoding | null): Command {
  return args.every(isFlat)
    ? new FlatCommand(name, args, replyEncoding)
    : new Command(name, [...args], { replyEncoding });
}

function isFlat(arg: Argument): arg is FlatArgument {
  return typeof arg !== "object";
}
