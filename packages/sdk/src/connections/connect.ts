// Connect: a worker's connection, over NATS and Redis or through a gateway, as the target says.
// Owns:          which of the two it is, opening and closing in order, the defaults.
// Must not know: jobs; how any of them is spoken to.
// O1. Both are there when `connect` resolves, or neither stays open.
// O2. Packets end before payloads: a result that is announced has been stored.

import { environmentValue, type Runtime, systemRuntime } from "../runtime.ts";
import type { WorkerConnection } from "../worker/connection.ts";
import { lineLog, type WorkerLog } from "../worker/log.ts";
import { isWorkerId } from "../worker/wire.ts";
import { targetFromEnvironment } from "./environment.ts";
import { openGateway } from "./gateway-bus.ts";
import { type GatewayTarget, isGatewayUrl, parseGateway } from "./gateway-target.ts";
import { openNats } from "./nats-bus.ts";
import { openRedisClient } from "./redis-client.ts";
import { RedisPayloads } from "./redis-payloads.ts";
import { type ConnectionTarget, parseTarget } from "./target.ts";

export interface ConnectionOptions {
  /** The worker's id: how NATS and Redis name this client in their monitoring, and for whom a gateway takes the connection. */
  readonly name?: string;
  /** JSON lines on standard error when absent. */
  readonly log?: WorkerLog;
  readonly runtime?: Runtime;
  /** One dial: 5 s. */
  readonly connectTimeoutMs?: number;
  /** A payload's load or store, repeats included: 10 s. */
  readonly ioTimeoutMs?: number;
  /** Largest payload that is read or written: 8 MiB. */
  readonly payloadBytesMax?: number;
}

/** Opens a connection for workers. `target`: "nats://host:4222,redis://host:6379", or the two apart; or "https://host" (wss, http, ws) of a
 *  gateway, for which an API key is all that a worker needs. Such a connection is one worker's, whose id is `name`.
 *  Rejects with TypeError for a target that cannot be right, and with a sentence when a server cannot be reached, a file cannot be read
 *  or a package is missing. Whoever opened it closes it, after the workers on it have drained. */
export async function connect(
  target: string | ConnectionTarget | GatewayTarget,
  options: ConnectionOptions = {},
): Promise<WorkerConnection> {
  if (typeof target === "string" && isGatewayUrl(target)) return connectToGateway({ gateway: target }, options);
  if (typeof target === "object" && "gateway" in target) return connectToGateway(target, options);
  const places = parseTarget(target);
  const runtime = options.runtime ?? systemRuntime;
  const { name = "cordum-worker" } = options;
  const connectTimeoutMs = whole("connectTimeoutMs", options.connectTimeoutMs ?? 5_000);
  const ioTimeoutMs = whole("ioTimeoutMs", options.ioTimeoutMs ?? 10_000);
  const payloadBytesMax = whole("payloadBytesMax", options.payloadBytesMax ?? 8_388_608);
  const parts = { name, runtime, log: options.log ?? lineLog(runtime), connectTimeoutMs };
  // Half of a call's time: what the silence of one connection takes leaves time for a try on the next.
  const halfMs = Math.max(1, Math.floor(ioTimeoutMs / 2));
  const client = await openRedisClient(places.redis, { ...parts, silenceMsMax: halfMs });
  const payloads = new RedisPayloads(client, { runtime, ioTimeoutMs, payloadBytesMax });
  const bus = await openNats(places.nats, { ...parts, pingIntervalMs: halfMs }).catch(async (error: unknown) => {
    await payloads.close();
    throw error;
  });
  return {
    publish: (subject, bytes) => bus.publish(subject, bytes),
    subscribe: (subject, group, handle) => bus.subscribe(subject, group, handle),
    onReconnect: (listener) => bus.onReconnect(listener),
    loadPayload: (key) => payloads.load(key),
    storePayload: (key, bytes, ttlMs) => payloads.store(key, bytes, ttlMs),
    async close() {
      await bus.close();
      await payloads.close();
    },
  };
}

async function connectToGateway(target: GatewayTarget, options: ConnectionOptions): Promise<WorkerConnection> {
  const place = parseGateway(target, environmentValue("CORDUM_API_KEY"));
  const { name, runtime = systemRuntime } = options;
  if (name === undefined) throw new TypeError("through a gateway a connection is one worker's: name is its id");
  if (!isWorkerId(name)) throw new TypeError(`name "${name}" is not of 1 to 64 letters, digits, _ and -`);
  return openGateway(place, {
    workerId: name,
    runtime,
    log: options.log ?? lineLog(runtime),
    connectTimeoutMs: whole("connectTimeoutMs", options.connectTimeoutMs ?? 5_000),
    ioTimeoutMs: whole("ioTimeoutMs", options.ioTimeoutMs ?? 10_000),
    payloadBytesMax: whole("payloadBytesMax", options.payloadBytesMax ?? 8_388_608),
  });
}

/** `connect` to what the environment names; the names are in the package's README. Rejects with one TypeError that lists all problems. */
export async function connectFromEnvironment(options: ConnectionOptions = {}): Promise<WorkerConnection> {
  return connect(targetFromEnvironment(environmentValue), options);
}

function whole(name: string, value: number): number {
  if (!Number.isSafeInteger(value) || value < 1)
    throw new TypeError(`${name} must be a whole number from 1, got ${value}`);
  return value;
}
