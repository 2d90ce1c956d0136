// The servers under a test's control plane.
// Owns:          starting Redis, a Redis Cluster, NATS or JetStream as a test asks; the settings and the worker's target that lead there.
// Must not know: which processes use them.

import { type NatsServer, startNats } from "@cordum/control-plane/testing/nats-servers";
import { startRedis, startRedisCluster } from "@cordum/control-plane/testing/servers";
import type { ConnectionTarget } from "@cordum/sdk";

export type StateServer = "memory" | "SQLite" | "Redis" | "Redis Cluster";
export type BusServer = "none" | "NATS" | "JetStream";

export interface Servers extends AsyncDisposable {
  /** Settings of every process of the control plane. */
  readonly env: Readonly<Record<string, string>>;
  /** For workers of other processes; undefined where there are none. */
  readonly target: ConnectionTarget | undefined;
  /** To take away; undefined without NATS. */
  readonly nats: NatsServer | undefined;
}

/** `folder`: for what lies in files. */
export async function startServers(
  wanted: { readonly state: StateServer; readonly bus: BusServer },
  folder: string,
): Promise<Servers> {
  await using started = new AsyncDisposableStack();
  const state = await startState(wanted.state, folder, started);
  const bus = await startBus(wanted.bus, started);
  const owned = started.move();
  return {
    env: { ...state.env, ...bus.env },
    target:
      state.redis === undefined || bus.server === undefined ? undefined : { redis: state.redis, nats: bus.server.url },
    nats: bus.server,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

interface StartedState {
  readonly env: Readonly<Record<string, string>>;
  readonly redis?: ConnectionTarget["redis"];
}

async function startState(kind: StateServer, folder: string, started: AsyncDisposableStack): Promise<StartedState> {
  switch (kind) {
    case "memory":
      return { env: { CORDUM_STATE: "memory", CORDUM_PARTITIONS: "3" } };
    case "SQLite":
      return { env: { CORDUM_STATE: "sqlite", CORDUM_DATA_DIR: folder } };
    case "Redis": {
      const { url } = started.use(await startRedis());
      return { env: { CORDUM_STATE: "redis", REDIS_URL: url }, redis: url };
    }
    case "Redis Cluster": {
      const clusterAddresses = started.use(await startRedisCluster(3)).addresses;
      const env = { CORDUM_STATE: "redis", REDIS_CLUSTER_ADDRESSES: clusterAddresses.join(",") };
      return { env, redis: { clusterAddresses } };
    }
  }
}

async function startBus(
  kind: BusServer,
  started: AsyncDisposableStack,
): Promise<{ readonly env: Readonly<Record<string, string>>; readonly server?: NatsServer }> {
  if (kind === "none") return { env: {} };
  const server = started.use(await startNats({ jetstream: kind === "JetStream" }));
  return { env: { NATS_URL: server.url, NATS_USE_JETSTREAM: String(kind === "JetStream") }, server };
}
