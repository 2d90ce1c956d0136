import { afterAll, beforeAll, describe } from "vitest";
import { payloadsConformance } from "../../conformance/payloads-conformance.ts";
import { lostAnswerConformance, passRealTime, stateConformance } from "../../conformance/state-conformance.ts";
import { type CuttingProxy, cuttingProxy } from "../../testing/cutting-proxy.ts";
import { emptyServers, openedState, openStage } from "../../testing/redis-stage.ts";
import { type RedisCluster, type RedisServer, startRedis, startRedisCluster } from "../../testing/servers.ts";

describe("a single Redis", () => {
  let server: RedisServer;
  let proxy: CuttingProxy;
  beforeAll(async () => {
    server = await startRedis();
    proxy = await cuttingProxy(server.port);
  });
  afterAll(async () => {
    await proxy.close();
    await server.stop();
  });

  stateConformance(
    "redis",
    async (spec) => {
      await emptyServers([server]);
      return openedState({ url: server.url }, spec);
    },
    { partitions: [1, 3, 16] },
  );
  lostAnswerConformance("redis", async (spec) => {
    await emptyServers([server]);
    const opened = await openedState({ url: `redis://127.0.0.1:${proxy.port}` }, spec);
    let cuts = 0;
    const cutNextAnswer = (): void => void proxy.cutNextAnswer().then(() => cuts++);
    return { ...opened, cutNextAnswer, cuts: () => cuts };
  });
  payloadsConformance("redis", async () => {
    await emptyServers([server]);
    const { state, payloads } = await openStage({ url: server.url });
    return { payloads, pass: (ms) => passRealTime(state, ms), dispose: () => state.close() };
  });
});

describe("a Redis Cluster", () => {
  let cluster: RedisCluster;
  beforeAll(async () => {
    cluster = await startRedisCluster(3);
  });
  afterAll(() => cluster.stop());

  stateConformance(
    "redis cluster",
    async (spec) => {
      await emptyServers(cluster.servers);
      return openedState({ clusterAddresses: cluster.addresses }, spec);
    },
    { partitions: [1, 3, 16], modelRuns: 100 },
  );
  payloadsConformance("redis cluster", async () => {
    await emptyServers(cluster.servers);
    const { state, payloads } = await openStage({ clusterAddresses: cluster.addresses });
    return { payloads, pass: (ms) => passRealTime(state, ms), dispose: () => state.close() };
  });
});
