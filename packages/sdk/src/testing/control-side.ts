// The other side of a worker, by hand: packets on a NATS client, payloads on a Redis client.
// Owns:          what a control plane sends and hears, and nothing of what it decides.
// Must not know: the worker's connection.

import {
  type BusPacket,
  type BusPacketPayload,
  decodePacket,
  encodePacket,
  type Init,
  type JobRequest,
} from "@cordum/protocol";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { Redis } from "ioredis";
import type { PayloadOf } from "./memory-connection.ts";

type Kind = BusPacketPayload["kind"];
export type Seal = (packet: Init<BusPacket>) => Uint8Array;

export interface ControlSide extends AsyncDisposable {
  readonly nats: NatsConnection;
  readonly redis: Redis;
  /** Stores the context and publishes the request, on its topic unless told otherwise. */
  dispatch(
    job: Partial<Init<JobRequest>> & { readonly jobId: string },
    more?: { readonly context?: unknown; readonly on?: string; readonly seal?: Seal },
  ): Promise<void>;
  /** The bytes of a request. */
  request(job: Init<JobRequest>): Uint8Array;
  cancel(jobId: string, more?: { readonly on?: string; readonly seal?: Seal }): Promise<void>;
  /** Everything of a kind that was heard so far, in order. */
  all<K extends Kind>(kind: K): readonly PayloadOf<K>[];
  packets(kind: Kind): readonly BusPacket[];
  /** Resolves when at least `count` of a kind that fit were heard. */
  heard<K extends Kind>(
    kind: K,
    count?: number,
    fits?: (payload: PayloadOf<K>) => boolean,
  ): Promise<readonly PayloadOf<K>[]>;
  /** What is stored as the result of a job. */
  stored(jobId: string): Promise<unknown>;
  /** Resolves after the next reconnect. */
  reconnected(): Promise<void>;
}

export const TOPIC = "job.test.echo";
export const SCHEDULER = "cordum-scheduler";

export async function startControlSide(places: {
  readonly nats: string;
  readonly redis: string;
}): Promise<ControlSide> {
  const { nats, redis } = await open(places);
  const packets: BusPacket[] = [];
  const listeners = new Set<() => void>();
  nats.subscribe("sys.>", {
    callback: (_error, message) => {
      packets.push(decodePacket(message.data));
      for (const listener of listeners) listener();
    },
  });
  await nats.flush();
  const all = <K extends Kind>(kind: K) => packets.flatMap(({ payload }) => payloadsOf(payload, kind));
  const send = async (on: string, payload: Init<BusPacketPayload>, seal: Seal = encodePacket) => {
    nats.publish(on, seal(packetOf(payload)));
    await nats.flush();
  };
  return {
    nats,
    redis,
    all,
    request: (value) => encodePacket(packetOf({ kind: "jobRequest", value })),
    packets: (kind) => packets.filter(({ payload }) => payload?.kind === kind),
    async dispatch(job, more = {}) {
      if (more.context !== undefined) await redis.set(`ctx:${job.jobId}`, JSON.stringify(more.context), "EX", 60);
      const contextPtr = more.context === undefined ? "" : `redis://ctx:${job.jobId}`;
      const value = { topic: TOPIC, tenantId: "acme", contextPtr, ...job };
      await send(more.on ?? value.topic ?? TOPIC, { kind: "jobRequest", value }, more.seal);
    },
    cancel: (jobId, more = {}) =>
      send(
        more.on ?? "sys.job.cancel",
        { kind: "jobCancel", value: { jobId, reason: "not needed", requestedBy: "ada" } },
        more.seal,
      ),
    async heard(kind, count = 1, fits = () => true) {
      for (;;) {
        const found = all(kind).filter(fits);
        if (found.length >= count) return found;
        await new Promise<void>((resolve) => {
          const listener = () => {
            listeners.delete(listener);
            resolve();
          };
          listeners.add(listener);
        });
      }
    },
    async stored(jobId) {
      const text = await redis.get(`res:${jobId}`);
      return text === null ? undefined : JSON.parse(text);
    },
    async reconnected() {
      for await (const status of nats.status()) if (status.type === "reconnect") return;
    },
    async [Symbol.asyncDispose]() {
      redis.disconnect();
      await nats.close();
    },
  };
}

async function open(places: { readonly nats: string; readonly redis: string }) {
  const servers = places.nats;
  const nats = await connect({ servers, maxReconnectAttempts: -1, reconnectTimeWait: 20, reconnectJitter: 0 });
  const redis = new Redis(places.redis, { maxRetriesPerRequest: null });
  // Without a listener the client writes every failed dial to the console.
  redis.on("error", () => undefined);
  return { nats, redis };
}

function packetOf(payload: Init<BusPacketPayload>): Init<BusPacket> {
  return { traceId: "trace-1", senderId: SCHEDULER, protocolVersion: 1, payload };
}

function payloadsOf<K extends Kind>(payload: BusPacket["payload"], kind: K): readonly PayloadOf<K>[] {
  return payload?.kind === kind ? [payload.value as PayloadOf<K>] : [];
}
