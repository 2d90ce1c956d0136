import { describe, expect, it } from "vitest";
import { openStage } from "../../testing/redis-stage.ts";
import { startRedis, startRedisCluster } from "../../testing/servers.ts";
import type { RedisOptions } from "./open-redis.ts";

async function partitionsOf(options: Partial<RedisOptions>): Promise<number> {
  const { state, close } = await openStage(options);
  await close();
  return state.traits.partitions;
}

describe("the number of partitions", () => {
  it("is that of the store, where nothing else is asked", async () => {
    await using server = await startRedis();
    expect(await partitionsOf({ url: server.url, partitions: 7 })).toBe(7);
    expect(await partitionsOf({ url: server.url })).toBe(7);
  });

  it("is one in a new store on a single Redis, and sixteen on a cluster", async () => {
    await using server = await startRedis();
    expect(await partitionsOf({ url: server.url })).toBe(1);
    await using cluster = await startRedisCluster(3);
    expect(await partitionsOf({ clusterAddresses: cluster.addresses })).toBe(16);
  });
});
