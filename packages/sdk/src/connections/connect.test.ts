// What a connection refuses, whom it tells who it is, and what it does on a cluster.

import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { nkeys } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type NatsServer, startNats } from "../../../control-plane/src/testing/nats-servers.ts";
import { type RedisServer, startRedis, startRedisCluster } from "../../../control-plane/src/testing/servers.ts";
import { notedLog } from "../testing/fleet.ts";
import { worker } from "../worker/definition.ts";
import { connect } from "./connect.ts";

const log = notedLog();
let nats: NatsServer;
let redis: RedisServer;
let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "cordum-connect-"));
  nats = await startNats();
  redis = await startRedis();
});
afterAll(async () => {
  await nats.stop();
  await redis.stop();
  await rm(folder, { recursive: true });
});

describe("connect refuses", () => {
  it("what cannot be right, before it dials", async () => {
    await expect(connect("ws://gateway:8081/api", { log })).rejects.toThrow(TypeError);
    await expect(worker("job.a", () => 1).start("nats://a", { log })).rejects.toThrow("no redis://");
    await expect(connect("nats://a,redis://b", { log, ioTimeoutMs: Number.NaN })).rejects.toThrow(
      "ioTimeoutMs must be",
    );
  });

  it("servers that are not there, and says where and why", async () => {
    const at = (target: { readonly nats: string; readonly redis: string }) =>
      connect(target, { log, connectTimeoutMs: 500 });
    await expect(at({ nats: nats.url, redis: "redis://u:secret@127.0.0.1:1" })).rejects.toThrow(
      "Redis cannot be reached at 127.0.0.1:1: connect ECONNREFUSED 127.0.0.1:1",
    );
    await expect(at({ nats: "nats://u:secret@127.0.0.1:1", redis: redis.url })).rejects.toThrow(
      /^NATS cannot be reached at 127\.0\.0\.1:1: connection refused$/,
    );
    await expect(at({ nats: redis.url.replace("redis", "nats"), redis: redis.url })).rejects.toThrow(
      "NATS cannot be reached",
    );
    await expect(at({ nats: nats.url, redis: nats.url.replace("nats", "redis") })).rejects.toThrow(
      "Redis cannot be reached",
    );
  });

  it("a cluster's addresses that lead to no cluster", async () => {
    const clusterAddresses = [`127.0.0.1:${redis.port}`];
    await expect(connect({ nats: nats.url, redis: { clusterAddresses } }, { log })).rejects.toThrow(
      /cluster support disabled/,
    );
  });

  it("TLS with files that are no use, and TLS that the server does not speak", async () => {
    const notPem = join(folder, "not.pem");
    await writeFile(notPem, "nothing");
    const withTls = (tls: object) => connect({ nats: { servers: nats.url, tls }, redis: redis.url }, { log });
    await expect(withTls({ caFile: join(folder, "absent.pem") })).rejects.toThrow(
      /^TLS of NATS: caFile cannot be read: ENOENT/,
    );
    await expect(withTls({ caFile: folder })).rejects.toThrow(/^TLS of NATS: caFile cannot be read: EISDIR/);
    await expect(withTls({ caFile: notPem })).rejects.toThrow("holds no PEM");
    await expect(withTls({ certFile: notPem })).rejects.toThrow("come together");
    await expect(withTls({})).rejects.toThrow(/does not support 'tls'/);
    const redisTls = { url: redis.url, tls: { caFile: join(folder, "absent.pem") } };
    await expect(connect({ nats: nats.url, redis: redisTls }, { log })).rejects.toThrow(
      "TLS of Redis: caFile cannot be read",
    );
  });

  it.each([
    ["@nats-io/transport-node", "nats://127.0.0.1:1"],
    ["ioredis", "nats://127.0.0.1:1"],
  ])("to go on without %s, and says what to install", async (missing) => {
    const hooks = `import { registerHooks } from "node:module";
registerHooks({ resolve(name, context, next) {
  if (name === ${JSON.stringify(missing)}) throw Object.assign(new Error("Cannot find package '" + name + "' imported from x"), { code: "ERR_MODULE_NOT_FOUND" });
  return next(name, context);
} });`;
    const program = `import { connect } from ${JSON.stringify(join(import.meta.dirname, "connect.ts"))};
await connect({ nats: ${JSON.stringify(nats.url)}, redis: ${JSON.stringify(redis.url)} }).catch((error) => console.log(error.message));`;
    const hooksFile = join(folder, "hooks.mjs");
    await writeFile(hooksFile, hooks);
    const args = ["--conditions=source", "--import", hooksFile, "--input-type=module", "--eval", program];
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: import.meta.dirname });
    expect(stdout).toBe(
      `a worker that connects by URL needs the package ${missing}; install it: npm install ${missing}\n`,
    );
  });
});

describe("connect tells who it is", () => {
  async function withNats(args: readonly string[], work: (server: NatsServer) => Promise<void>) {
    await using server = await startNats({ args });
    await work(server);
  }
  const opens = async (target: Parameters<typeof connect>[0]) => (await connect(target, { log })).close();

  it("by user and password, in the URL or beside it", async () => {
    await withNats(["--user", "ada", "--pass", "p@ss"], async (server) => {
      await opens({ nats: server.url.replace("//", "//ada:p%40ss@"), redis: redis.url });
      await opens({ nats: { servers: server.url, username: "ada", password: "p@ss" }, redis: redis.url });
      const wrong = { nats: { servers: server.url, username: "ada", password: "secret" }, redis: redis.url };
      await expect(connect(wrong, { log })).rejects.toThrow(/NATS cannot be reached .*: Authorization Violation/i);
    });
  });

  it("by token", async () => {
    await withNats(["--auth", "t0ken"], async (server) => {
      await opens(`${server.url.replace("//", "//t0ken@")},${redis.url}`);
      await opens({ nats: { servers: server.url, token: "t0ken" }, redis: redis.url });
    });
  });

  it("by NKey", async () => {
    const user = nkeys.createUser();
    const nkeySeed = new TextDecoder().decode(user.getSeed());
    const config = join(folder, "nkey.conf");
    await writeFile(config, `authorization { users = [ { nkey: ${user.getPublicKey()} } ] }`);
    await withNats(["-c", config], async (server) => {
      await opens({ nats: { servers: server.url, nkeySeed }, redis: redis.url });
      const wrong = { nats: { servers: server.url, nkeySeed: "secret" }, redis: redis.url };
      await expect(connect(wrong, { log })).rejects.toThrow("NKey seed cannot be read");
    });
  });

  it("to Redis, by password", async () => {
    await using locked = await startRedis({ args: ["--requirepass", "p@ss"] });
    await opens({ nats: nats.url, redis: locked.url.replace("//", "//:p%40ss@") });
    const wrong = { nats: nats.url, redis: locked.url.replace("//", "//:secret@") };
    await expect(connect(wrong, { log })).rejects.toThrow(/Redis cannot be reached .*WRONGPASS/);
    await expect(connect({ nats: nats.url, redis: locked.url }, { log })).rejects.toThrow(/NOAUTH/);
  });
});

describe("a connection", () => {
  it("hears when the server does not let it listen or speak", async () => {
    const config = join(folder, "permissions.conf");
    await writeFile(
      config,
      `authorization { users = [ { user: w, password: w, permissions: { publish: ["sys.>", "_INBOX.>"], subscribe: ["sys.>", "_INBOX.>"] } } ] }`,
    );
    await using server = await startNats({ args: ["-c", config] });
    const noted = notedLog();
    const connection = await connect({ nats: server.url.replace("//", "//w:w@"), redis: redis.url }, { log: noted });
    await expect(connection.subscribe("job.secret", "job.secret", () => undefined)).rejects.toThrow(
      "does not let us listen on job.secret",
    );
    await connection.publish("job.secret", new Uint8Array(1)).catch(() => undefined);
    await noted.noted("nats.error");
    await expect(connection.publish("job.secret", new Uint8Array(1))).rejects.toThrow(
      "does not let us publish on job.secret",
    );
    await connection.publish("sys.job.result", new Uint8Array(1));
    await expect(connection.publish("sys.job.result", new Uint8Array(2_000_000))).rejects.toThrow("max_payload");
    await connection.close();
  });

  it("keeps payloads on a Redis Cluster, whichever node has them, and goes on when one went away", async () => {
    await using cluster = await startRedisCluster(3);
    const noted = notedLog();
    const connection = await connect(
      { nats: nats.url, redis: { clusterAddresses: cluster.addresses.slice(0, 1) } },
      { log: noted },
    );
    const keys = Array.from({ length: 60 }, (_, n) => `res:job-${n}`);
    const storeAll = () => Promise.all(keys.map((key) => connection.storePayload(key, Buffer.from(key), 60_000)));
    const loadAll = () =>
      Promise.all(keys.map(async (key) => Buffer.from((await connection.loadPayload(key)) ?? []).toString()));
    await storeAll();
    expect(await loadAll()).toEqual(keys);
    await cluster.servers[1]?.kill();
    const isStored = storeAll();
    await cluster.servers[1]?.restart();
    await isStored;
    expect(await loadAll()).toEqual(keys);
    expect(await connection.loadPayload("res:nobody")).toBeUndefined();
    await connection.close();
    const alone = await connect({ nats: nats.url, redis: cluster.servers[0]?.url ?? "" }, { log: noted });
    const loads = Promise.all(keys.map((key) => alone.loadPayload(key)));
    await expect(loads).rejects.toThrow("this Redis belongs to a cluster");
    await alone.close();
  });
});
