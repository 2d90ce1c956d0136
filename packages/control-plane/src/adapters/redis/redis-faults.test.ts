import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { conformanceLayout, faultOf, never, newCommitId, put, Scene } from "../../conformance/state-scene.ts";
import type { State } from "../../ports/state.ts";
import { cuttingProxy } from "../../testing/cutting-proxy.ts";
import { emptyServers, openStage } from "../../testing/redis-stage.ts";
import { freePort, type RedisServer, startRedis, startRedisCluster } from "../../testing/servers.ts";
import { systemClock } from "../system/clock.ts";
import type { RedisOptions } from "./open-redis.ts";

/** Short where nobody answers, long where a busy machine does. */
const LIMITS = { callMsMax: 1_500, silenceMsMax: 500 } as const;

/** The rejection of an opening, as "code: sentence". */
async function refusal(options: Partial<RedisOptions>): Promise<string> {
  try {
    await (await openStage(options)).close();
    return "opened";
  } catch (error) {
    return error instanceof Error && "code" in error ? `${error.code}: ${error.message}` : String(error);
  }
}

function sceneOf(state: State): Scene {
  return new Scene({ state, pass: async () => undefined }, 0);
}

describe("redis refuses to start", () => {
  it("where memory pressure would delete jobs", async () => {
    await using server = await startRedis({ args: ["--maxmemory-policy", "allkeys-lru"] });
    expect(await refusal({ url: server.url })).toMatch(
      /^STATE_MISCONFIGURED: .*"allkeys-lru", which deletes jobs.*maxmemory-policy noeviction/,
    );
  });

  it("on a Redis before 7.0", async () => {
    await using server = await startRedis();
    await using proxy = await cuttingProxy(server.port);
    const url = `redis://127.0.0.1:${proxy.port}`;
    expect(await refusal({ url })).toBe("opened");
    const admin = server.admin();
    const version = /redis_version:(\d)/.exec(await admin.info("server"))?.[1] ?? "";
    admin.disconnect();
    proxy.rewriteAnswers(`redis_version:${version}`, "redis_version:6");
    expect(await refusal({ url })).toMatch(
      /^STATE_MISCONFIGURED: .*is version "6\..*use Redis 7\.0 or later, or Valkey/,
    );
  });

  it("when its clock jumps against ours", async () => {
    await using server = await startRedis();
    const clock = systemClock();
    let stepsMs = 0;
    const mono = (): number => {
      stepsMs += 5_000;
      return clock.mono() + stepsMs;
    };
    const jumping = { ...clock, mono };
    expect(await refusal({ url: server.url, clock: jumping })).toMatch(
      /^STATE_MISCONFIGURED: the clock of .* jumped by -\d+ ms/,
    );
  });

  it("where nobody answers", async () => {
    const url = `redis://127.0.0.1:${await freePort()}`;
    expect(await refusal({ url, limits: LIMITS })).toMatch(/^STATE_UNAVAILABLE: Redis does not answer at 127\.0\.0\.1/);
  });

  it("with another number of partitions than the store was begun with", async () => {
    await using server = await startRedis();
    expect(await refusal({ url: server.url, partitions: 4 })).toBe("opened");
    expect(await refusal({ url: server.url, partitions: 5 })).toMatch(
      /^STATE_MISCONFIGURED: .*"partitions":4.*"partitions":5/,
    );
    expect(await refusal({ url: server.url, partitions: 4 })).toBe("opened");
    expect(await refusal({ url: server.url, partitions: 0 })).toMatch(/^STATE_MISCONFIGURED/);
  });

  it("with a store of another format", async () => {
    await using server = await startRedis();
    const admin = server.admin();
    await admin.set("cordum:store", '{"format":0,"partitions":1}');
    admin.disconnect();
    expect(await refusal({ url: server.url })).toMatch(/^STATE_MISCONFIGURED: .*"format":0.*reads format 1 alone/);
  });

  it("with a password that is missing or wrong, without repeating it", async () => {
    await using server = await startRedis({ args: ["--requirepass", "right"] });
    expect(await refusal({ url: server.url, limits: LIMITS })).toMatch(/^STATE_UNAVAILABLE/);
    const wrong = `redis://:wrong-one@127.0.0.1:${server.port}`;
    expect(await refusal({ url: wrong, limits: LIMITS })).not.toContain("wrong-one");
    expect(await refusal({ url: `redis://:right@127.0.0.1:${server.port}` })).toBe("opened");
  });

  it("on a replica", async () => {
    await using master = await startRedis();
    await using replica = await startRedis({ args: ["--replicaof", "127.0.0.1", String(master.port)] });
    expect(await refusal({ url: replica.url })).toMatch(/^STATE_MISCONFIGURED: .* is a replica; name its master/);
  });

  it("with cluster addresses that lead to a single Redis", async () => {
    await using server = await startRedis();
    const clusterAddresses = [`127.0.0.1:${server.port}`];
    expect(await refusal({ clusterAddresses })).toMatch(/^STATE_MISCONFIGURED: .* is no cluster/);
  });
});

describe("redis under faults", () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await startRedis({ args: ["--repl-diskless-sync-delay", "0"] });
  });
  afterAll(() => server.stop());

  it("S10: carries nothing out that lay in its buffers until its time was over, whatever became of who sent it", async () => {
    await emptyServers([server]);
    const opened = await openStage({ url: server.url, limits: LIMITS });
    await sceneOf(opened.state).create("before");
    const admin = server.admin();
    const pid = Number(/process_id:(\d+)/.exec(await admin.info("server"))?.[1]);
    process.kill(pid, "SIGSTOP");
    try {
      expect(await faultOf(sceneOf(opened.state).create("late"))).toBe("STATE_OUTCOME_UNKNOWN");
      await opened.close();
    } finally {
      process.kill(pid, "SIGCONT");
    }
    expect(await admin.ping()).toBe("PONG");
    admin.disconnect();
    const again = await openStage({ url: server.url, limits: LIMITS });
    const keys = ["before", "late"].map((id) => sceneOf(again.state).key(id));
    expect((await again.state.get(keys, never)).map((stored) => stored !== undefined)).toEqual([true, false]);
    await sceneOf(again.state).create("late");
    await again.close();
  });

  it("S1: says STATE_OUTCOME_UNKNOWN when the answer does not come in time, and STATE_UNAVAILABLE when nothing was sent", async () => {
    await emptyServers([server]);
    await using proxy = await cuttingProxy(server.port);
    const opened = await openStage({ url: `redis://127.0.0.1:${proxy.port}`, limits: LIMITS });
    const scene = sceneOf(opened.state);
    await scene.create("before");
    proxy.pause();
    expect(await faultOf(scene.create("silent"))).toBe("STATE_OUTCOME_UNKNOWN");
    proxy.resume();
    proxy.refuse();
    expect(await faultOf(scene.get("before"))).toBe("STATE_UNAVAILABLE");
    expect(await faultOf(scene.create("refused"))).toBe("STATE_UNAVAILABLE");
    expect(await faultOf(opened.payloads.put("ctx:a", Buffer.from("a"), 1000, never))).toBe("PAYLOADS_UNAVAILABLE");
    proxy.accept();
    while ((await faultOf(scene.get("before"))) !== "no fault");
    await scene.create("after");
    expect(await scene.get("refused")).toBeUndefined();
    await opened.close();
  });

  it("a signal that fires while a commit is under way ends it soon, as unknown", async () => {
    await using proxy = await cuttingProxy(server.port);
    const opened = await openStage({ url: `redis://127.0.0.1:${proxy.port}` });
    const scene = sceneOf(opened.state);
    proxy.pause();
    const controller = new AbortController();
    const key = scene.key(newCommitId());
    const told = faultOf(opened.state.commit(scene.batch([{ is: "absent", key }], [put(key, 1)]), controller.signal));
    const read = faultOf(opened.state.get([key], controller.signal));
    queueMicrotask(() => queueMicrotask(() => controller.abort()));
    expect(["STATE_OUTCOME_UNKNOWN", "STATE_UNAVAILABLE"]).toContain(await told);
    expect(await read).toBe("STATE_UNAVAILABLE");
    proxy.resume();
    await opened.close();
  });

  it("T4: what waits is bounded", async () => {
    await using proxy = await cuttingProxy(server.port);
    const limits = { ...LIMITS, waitingMax: 10 };
    const opened = await openStage({ url: `redis://127.0.0.1:${proxy.port}`, limits });
    const scene = sceneOf(opened.state);
    proxy.pause();
    const told = await Promise.all(Array.from({ length: 30 }, () => faultOf(scene.create(newCommitId()))));
    expect(told.filter((fault) => fault === "STATE_UNAVAILABLE").length).toBeGreaterThanOrEqual(20);
    proxy.resume();
    await scene.create(newCommitId());
    await opened.close();
  });

  it("goes on after the server has forgotten its scripts", async () => {
    const opened = await openStage({ url: server.url });
    const scene = sceneOf(opened.state);
    await scene.create(newCommitId());
    const admin = server.admin();
    await admin.script("FLUSH");
    await Promise.all(Array.from({ length: 300 }, () => scene.create(newCommitId())));
    await admin.script("FLUSH");
    expect(await scene.count(scene.index("rank"))).toBe(0);
    admin.disconnect();
    await opened.close();
  });

  it("does nothing and says why when Redis is out of memory", async () => {
    await using full = await startRedis();
    const opened = await openStage({ url: full.url });
    const scene = sceneOf(opened.state);
    await scene.create("before");
    const admin = full.admin();
    await admin.config("SET", "maxmemory", "1mb");
    const failed = scene.create("after");
    await expect(failed).rejects.toThrow(/maxmemory/);
    expect(await faultOf(failed)).toBe("STATE_UNAVAILABLE");
    await admin.config("SET", "maxmemory", "0");
    expect(await scene.get("after")).toBeUndefined();
    await scene.create("after");
    admin.disconnect();
    await opened.close();
  });

  it("with WAIT, a commit that no replica has is unknown", async () => {
    const opened = await openStage({ url: server.url, durability: { wait: 1, waitMsMax: 50 } });
    const scene = sceneOf(opened.state);
    const key = scene.key(newCommitId());
    const batch = scene.batch([{ is: "absent", key }], [put(key, 1)]);
    expect(await faultOf(opened.state.commit(batch, never))).toBe("STATE_OUTCOME_UNKNOWN");
    await using replica = await startRedis({ args: ["--replicaof", "127.0.0.1", String(server.port)] });
    const admin = replica.admin();
    while (!String(await admin.info("replication")).includes("master_link_status:up"));
    admin.disconnect();
    let outcome: unknown;
    while (outcome === undefined) outcome = await opened.state.commit(batch, never).catch(() => undefined);
    expect(outcome).toEqual({ kind: "committed", sizes: [] });
    await opened.close();
  });
});

describe("redis with appendfsync always", () => {
  it("loses nothing that was acknowledged when it is killed under load", async () => {
    await using server = await startRedis({ appendonly: "always" });
    const opened = await openStage({ url: server.url });
    expect(opened.state.traits.survives).toBe("power");
    const scene = sceneOf(opened.state);
    const committed: string[] = [];
    let isOver = false;
    const load = async (lane: number): Promise<void> => {
      for (let n = 0; !isOver; n++) {
        const id = `l${lane}-${n}`;
        const key = scene.key(id);
        const changes = [put(key, n), { do: "enter", index: scene.index("rank"), member: id, score: n }] as const;
        const outcome = await opened.state.commit(scene.batch([{ is: "absent", key }], changes), never);
        if (outcome.kind !== "committed") throw new Error(`${id} was told ${outcome.kind}`);
        committed.push(id);
      }
    };
    const loads = Array.from({ length: 64 }, (_, lane) => load(lane));
    for (let crash = 1; crash <= 3; crash++) {
      const until = committed.length + 2_000;
      while (committed.length < until) await opened.state.now(never);
      await server.kill();
      await server.restart();
    }
    isOver = true;
    await Promise.all(loads);
    const found = await opened.state.get(
      committed.map((id) => scene.key(id)),
      never,
    );
    expect(found.filter((stored) => stored === undefined)).toEqual([]);
    expect(await scene.count(scene.index("rank"))).toBe(committed.length);
    await opened.close();
  });
});

describe("redis cluster under faults", () => {
  it("follows a slot to another master while commits go on", async () => {
    await using cluster = await startRedisCluster(3);
    const opened = await openStage({ clusterAddresses: cluster.addresses, partitions: 1, layout: conformanceLayout });
    const scene = sceneOf(opened.state);
    await scene.create("before");
    const admins = cluster.servers.map((server) => server.admin());
    const ids = await Promise.all(admins.map(async (admin) => String(await admin.call("CLUSTER", "MYID"))));
    const slot = Number(await admins[0]?.call("CLUSTER", "KEYSLOT", "{0}"));
    const from = Math.floor(slot / (16_384 / 3));
    const to = (from + 1) % 3;
    const told: Promise<unknown>[] = [];
    await admins[to]?.call("CLUSTER", "SETSLOT", slot, "IMPORTING", String(ids[from]));
    await admins[from]?.call("CLUSTER", "SETSLOT", slot, "MIGRATING", String(ids[to]));
    told.push(scene.create("during"));
    const keys = (await admins[from]?.call("CLUSTER", "GETKEYSINSLOT", slot, 100)) as string[];
    const target = cluster.servers[to];
    await admins[from]?.call("MIGRATE", "127.0.0.1", target?.port ?? 0, "", 0, 5000, "KEYS", ...keys);
    told.push(scene.create("after the keys"));
    for (const admin of [admins[to], admins[from]])
      await admin?.call("CLUSTER", "SETSLOT", slot, "NODE", String(ids[to]));
    told.push(scene.create("after"));
    await Promise.all(told);
    for (const id of ["before", "during", "after the keys", "after"])
      expect((await scene.get(id))?.value).toEqual({ id });
    for (const admin of admins) admin.disconnect();
    await opened.close();
  });

  it("goes on after a master was killed and came back", async () => {
    await using cluster = await startRedisCluster(3, { appendonly: "always" });
    const opened = await openStage({ clusterAddresses: cluster.addresses, limits: { callMsMax: 15_000 } });
    const { state } = opened;
    const scenes = Array.from(
      { length: 16 },
      (_, partition) => new Scene({ state, pass: async () => undefined }, partition),
    );
    await Promise.all(scenes.map((scene) => scene.create("before")));
    await cluster.servers[1]?.kill();
    const during = scenes.map((scene) => scene.create("during"));
    await cluster.servers[1]?.restart();
    await Promise.all(during);
    const keys = scenes.flatMap((scene) => [scene.key("before"), scene.key("during")]);
    expect((await state.get(keys, never)).filter((stored) => stored === undefined)).toEqual([]);
    await opened.close();
  });

  it("loses nothing in a failover that was ordered, and goes on with the new master", async () => {
    await using cluster = await startRedisCluster(3);
    const replica = await cluster.addReplica(0);
    const opened = await openStage({ clusterAddresses: cluster.addresses, limits: { callMsMax: 15_000 } });
    const { state } = opened;
    const committed: { partition: number; kind: string; id: string }[] = [];
    let isOver = false;
    const load = async (partition: number): Promise<void> => {
      const scene = new Scene({ state, pass: async () => undefined }, partition);
      for (let n = 0; !isOver; n++) committed.push((await scene.create(`n${n}`)).key);
    };
    const loads = Array.from({ length: 16 }, (_, partition) => load(partition));
    const admin = replica.admin();
    await admin.call("CLUSTER", "FAILOVER");
    while (!String(await admin.info("replication")).includes("role:master"));
    const until = committed.length + 500;
    while (committed.length < until) await state.now(never);
    isOver = true;
    await Promise.all(loads);
    expect((await state.get(committed, never)).filter((stored) => stored === undefined)).toEqual([]);
    expect(await admin.dbsize()).toBeGreaterThan(0);
    admin.disconnect();
    await opened.close();
  });
});
