import { Redis } from "ioredis";
import { describe, expect, it } from "vitest";
import { cuttingProxy } from "./cutting-proxy.ts";
import { startRedis, startRedisCluster } from "./servers.ts";

describe("servers for tests", () => {
  it("starts a Redis that survives a crash with its file, and ends it", async () => {
    await using server = await startRedis({ appendonly: "always" });
    const admin = server.admin();
    await admin.set("k", "v");
    await server.kill();
    await server.restart();
    expect(await admin.get("k")).toBe("v");
    admin.disconnect();
  });

  it("says in the server's own words why it does not start", async () => {
    await expect(startRedis({ args: ["--no-such-setting", "1"] })).rejects.toThrow(
      /did not start[\s\S]*no-such-setting/,
    );
  });

  it("starts a cluster in which every master has its slots", async () => {
    await using cluster = await startRedisCluster(3);
    const admins = cluster.servers.map((server) => server.admin());
    const moved = await Promise.all(
      admins.map((admin) => admin.set("{3}:k", "v").catch((error: Error) => error.message)),
    );
    expect(moved.filter((answer) => answer === "OK")).toHaveLength(1);
    for (const admin of admins) admin.disconnect();
  });

  it("cuts a connection after the request was carried out and before its answer arrives", async () => {
    await using server = await startRedis();
    await using proxy = await cuttingProxy(server.port);
    const options = { retryStrategy: () => null, maxRetriesPerRequest: 0 };
    const through = new Redis(proxy.port, "127.0.0.1", options);
    through.on("error", () => undefined);
    await through.ping();
    const cut = proxy.cutNextAnswer();
    await expect(through.incr("n")).rejects.toThrow();
    await cut;
    const admin = server.admin();
    expect(await admin.get("n")).toBe("1");
    admin.disconnect();
  });

  it("keeps answers in order when their delay ends, and leads new connections elsewhere", async () => {
    await using server = await startRedis();
    await using other = await startRedis();
    await using proxy = await cuttingProxy(server.port);
    const through = new Redis(proxy.port, "127.0.0.1", { retryStrategy: () => 1 });
    await through.set("n", "here");
    proxy.delayAnswers(200);
    const late = through.incr("m");
    const admin = server.admin();
    await expect.poll(() => admin.get("m")).toBe("1");
    admin.disconnect();
    proxy.delayAnswers(0);
    expect(await Promise.all([late, through.incr("m"), through.incr("m")])).toEqual([1, 2, 3]);
    proxy.retarget(other.port);
    expect(await through.get("n")).toBe("here");
    proxy.refuse();
    proxy.accept();
    await expect.poll(() => through.get("n").catch(() => "away")).toBeNull();
    through.disconnect();
  });
});
