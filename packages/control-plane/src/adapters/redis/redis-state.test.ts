import { afterAll, beforeAll, describe } from "vitest";
import { payloadsConformance } from "../../conformance/payloads-conformance.ts";
import {
  type OpenedState,
  passRealTime,
  type StoreSpec,
  stateConformance,
} from "../../conformance/state-conformance.ts";
import { conformanceLayout } from "../../conformance/state-scene.ts";
import type { Log } from "../../ports/telemetry.ts";
import { type RedisCluster, type RedisServer, startRedis, startRedisCluster } from "../../testing/servers.ts";
import { systemClock } from "../system/clock.ts";
import type { RedisEndpoint } from "./endpoint.ts";
import { openRedis } from "./open-redis.ts";

const quiet: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

async function opened(endpoint: RedisEndpoint, spec: StoreSpec): Promise<OpenedState> {
  const { state, payloads, calls } = await openRedis({ ...endpoint, ...spec, clock: systemClock() }, quiet);
  await payloads.close();
  return {
    state,
    calls,
    pass: (ms) => passRealTime(state, ms),
    reopen: (again) => opened(endpoint, again),
  };
}

async function flush(servers: readonly RedisServer[]): Promise<void> {
  for (const server of servers) {
    const admin = server.admin();
    await admin.flushall();
    admin.disconnect();
  }
}

describe("a single Redis", () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server.stop());
  stateConformance("redis", async (spec) => {
    await flush([server]);
    return opened({ url: server.url }, spec);
  });
  payloadsConformance("redis", async () => {
    await flush([server]);
    const { state, payloads } = await openRedis(
      { url: server.url, layout: conformanceLayout, clock: systemClock() },
      quiet,
    );
    return { payloads, pass: (ms) => passRealTime(state, ms), dispose: () => state.close() };
  });
});

describe("a Redis Cluster", () => {
  let cluster: RedisCluster;
  beforeAll(async () => {
    cluster = await startRedisCluster(3);
  });
  afterAll(() => cluster.stop());
  stateConformance("redis cluster", async (spec) => {
    await flush(cluster.servers);
    return opened({ clusterAddresses: cluster.addresses }, spec);
  });
  payloadsConformance("redis cluster", async () => {
    await flush(cluster.servers);
    const endpoint = { clusterAddresses: cluster.addresses };
    const { state, payloads } = await openRedis(
      { ...endpoint, layout: conformanceLayout, clock: systemClock() },
      quiet,
    );
    return { payloads, pass: (ms) => passRealTime(state, ms), dispose: () => state.close() };
  });
});
