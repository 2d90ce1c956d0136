// The client of Redis: one server, or a Redis Cluster.
// Owns:          making it with the options that our repeating needs, and opening it.
// Must not know: what is stored; when a command is repeated.
// C1. The client itself queues and repeats nothing: a command is written now or refused. Only a cluster's client follows redirections,
//     for 1.6 s at most (its defaults: 16 of them, 100 ms apart).
// C2. The connection comes back by itself for ever.

import type { Cluster, Redis } from "ioredis";
import { backoffMs } from "../backoff.ts";
import type { Runtime } from "../runtime.ts";
import { messageOf, type WorkerLog } from "../worker/log.ts";
import { loadOptional } from "./optional-package.ts";
import { type RedisPlace, textOf } from "./target.ts";
import { readTls } from "./tls.ts";
import { type CommandMaker, commandMaker, head, request, requestWithBytes, textPart } from "./written-command.ts";

/** The three commands, alike on a server and on a cluster. */
export interface RedisClient {
  getrange(key: string, from: number, to: number): Promise<Buffer>;
  exists(key: string): Promise<number>;
  /** `bytes` are copied. */
  set(key: string, bytes: Uint8Array, ttlMs: number): Promise<unknown>;
  /** The sockets that are open now. */
  streams(): readonly Corkable[];
  /** Resolves when the server knows that we are gone, at the latest after three seconds. */
  close(): Promise<void>;
}

export interface Corkable {
  cork(): void;
  uncork(): void;
}

export interface ClientParts {
  readonly name: string;
  readonly runtime: Runtime;
  readonly log: WorkerLog;
  readonly connectTimeoutMs: number;
  /** A server that is silent for so long while answers are due is connected to anew. */
  readonly silenceMsMax: number;
}

const RECONNECT = { baseMs: 40, capMs: 1_000 };
const CLOSE_TIMEOUT_MS = 3_000;

/** Rejects with a sentence when Redis does not answer or does not let us in. */
export async function openRedisClient(place: RedisPlace, parts: ClientParts): Promise<RedisClient> {
  const client = await loadOptional("ioredis", () => import("ioredis"));
  const { Cluster, Redis } = client;
  const make = commandMaker(client);
  const tls = place.tls === undefined ? undefined : await readTls("Redis", place.tls);
  const options = {
    ...(place.username === undefined ? {} : { username: place.username }),
    ...(place.password === undefined ? {} : { password: place.password }),
    ...(tls === undefined ? {} : { tls }),
    protocol: 2 as const,
    connectionName: parts.name,
    disableClientInfo: true,
    connectTimeout: parts.connectTimeoutMs,
    socketTimeout: parts.silenceMsMax,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    // Behind a fixed address the server may have become a replica; a new connection leads to the new master.
    reconnectOnError: (error: Error) => error.message.startsWith("READONLY"),
  };
  const pause = (times: number) => backoffMs(times, RECONNECT, parts.runtime.random());
  if (!place.isCluster) {
    const [{ host, port }] = place.seeds;
    const alone = {
      host,
      port,
      db: place.database,
      enableOfflineQueue: false,
      retryStrategy: pause,
      lazyConnect: true,
    };
    const redis = await open(new Redis({ ...options, ...alone }), place, parts);
    return { ...commandsOf(redis, make), streams: () => [redis.stream], close: () => end(redis, parts.runtime) };
  }
  const cluster = new Cluster([...place.seeds], {
    redisOptions: options,
    enableOfflineQueue: false,
    clusterRetryStrategy: pause,
    lazyConnect: true,
    // Certificates carry names: addresses that were looked up would not match.
    ...(tls === undefined ? {} : { dnsLookup: (name, found) => found(null, name) }),
  });
  await open(cluster, place, parts);
  return {
    ...commandsOf(cluster, make),
    // A node that is not connected yet has no stream, whatever its type says.
    streams: () =>
      cluster.nodes("master").flatMap(({ stream }: { readonly stream: Corkable | undefined }) => stream ?? []),
    close: () => end(cluster, parts.runtime),
  };
}

async function open<T extends Redis | Cluster>(
  client: T,
  place: RedisPlace,
  { log, runtime }: ClientParts,
): Promise<T> {
  const at = place.seeds.map(textOf).join(", ");
  let problem: unknown;
  const notice = (error: unknown) => {
    if (problem === undefined) log.warn("redis.connection_lost", { at, reason: reasonOf(error) });
    problem = error;
  };
  client.on("error", notice);
  client.on("reconnecting", () => notice(problem ?? "the server closed the connection"));
  client.on("ready", () => {
    if (problem !== undefined) log.info("redis.reconnected", { at });
    problem = undefined;
  });
  try {
    await client.connect();
    return client;
  } catch (cause) {
    await end(client, runtime);
    throw new Error(`Redis cannot be reached at ${at}: ${reasonOf(problem ?? cause)}`, { cause: problem ?? cause });
  }
}

async function end(client: Redis | Cluster, runtime: Runtime): Promise<void> {
  // Between two dials nothing is open, and nobody tells the end.
  if (client.status === "end" || client.status === "reconnecting") {
    client.disconnect();
    return;
  }
  const late = new AbortController();
  const ended = new Promise((resolve) => client.once("end", resolve));
  client.disconnect();
  await Promise.race([ended, runtime.sleep(CLOSE_TIMEOUT_MS, late.signal)]);
  late.abort();
}

/** A cluster's error says that all nodes failed; why is in another member. */
function reasonOf(error: unknown): string {
  const inner = error instanceof Error && "lastNodeError" in error ? error.lastNodeError : undefined;
  return messageOf(inner ?? error);
}

function commandsOf(client: Redis | Cluster, make: CommandMaker): Omit<RedisClient, "streams" | "close"> {
  const send = <T>(name: string, key: string, written: string | Buffer) =>
    client.sendCommand(make(name, key, written)) as Promise<T>;
  return {
    getrange: (key, from, to) => send("getrange", key, request("getrange", key, String(from), String(to))),
    exists: (key) => send("exists", key, request("exists", key)),
    set: (key, bytes, ttlMs) => {
      const before = `${head(5)}${textPart("set")}${textPart(key)}`;
      return send("set", key, requestWithBytes(before, bytes, `${textPart("PX")}${textPart(String(ttlMs))}`));
    },
  };
}
