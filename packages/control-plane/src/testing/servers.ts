// Real servers for tests.
// Owns:          starting Redis and a Redis Cluster on free ports in folders of their own, and ending them in every case.
// Must not know: what a test does with them; where the program comes from (ensure-servers.ts).
// K1 and K2 are those of a server process (server-process.ts).

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { findRedis } from "./ensure-servers.ts";
import { freePort, type ServerProcess, START_TIMEOUT_MS, startOnFreePort, startProcess } from "./server-process.ts";

export { freePort };

export interface RedisOptions {
  readonly appendonly?: "no" | "everysec" | "always";
  /** More arguments for the server, such as ["--maxmemory", "10mb"]. */
  readonly args?: readonly string[];
}

export interface RedisServer extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
  /** One connection for the test's own questions. */
  admin(): Redis;
  /** SIGKILL, as a crash; the folder stays. */
  kill(): Promise<void>;
  /** Starts again on the same port and folder. */
  restart(): Promise<void>;
  /** Ends the server and removes its folder. */
  stop(): Promise<void>;
}

export interface RedisCluster extends AsyncDisposable {
  readonly servers: readonly RedisServer[];
  /** host:port of each, as REDIS_CLUSTER_ADDRESSES has them. */
  readonly addresses: readonly string[];
  /** Starts a server that follows `servers[of]`; resolves when it has everything. Ends with the cluster. */
  addReplica(of: number): Promise<RedisServer>;
  stop(): Promise<void>;
}

/** Starts a Redis on 127.0.0.1. Rejects with the server's own words when it does not come up. */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  return await startOnFreePort((port) => new Server(port, options));
}

/** Starts `masters` Redis servers that share all slots. */
export async function startRedisCluster(masters = 3, options: RedisOptions = {}): Promise<RedisCluster> {
  const servers: RedisServer[] = [];
  const replicas: RedisServer[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all([...servers, ...replicas].map((server) => server.stop()));
  };
  try {
    for (let i = 0; i < masters; i++) servers.push(await startClusterServer(options));
    await joinAll(servers);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    servers,
    addresses: servers.map((server) => `127.0.0.1:${server.port}`),
    async addReplica(of) {
      const replica = await startClusterServer({
        ...options,
        args: ["--repl-diskless-sync-delay", "0", ...(options.args ?? [])],
      });
      replicas.push(replica);
      await follow(servers[of], replica);
      return replica;
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

const SLOTS = 16_384;

async function startClusterServer(options: RedisOptions): Promise<RedisServer> {
  const busPort = String(await freePort());
  const cluster = [
    "--cluster-enabled",
    "yes",
    "--cluster-config-file",
    "nodes.conf",
    "--cluster-node-timeout",
    "2000",
    "--cluster-port",
    busPort,
  ];
  return await startRedis({ ...options, args: [...cluster, ...(options.args ?? [])] });
}

async function joinAll(servers: readonly RedisServer[]): Promise<void> {
  const admins = servers.map((server) => server.admin());
  try {
    await Promise.all(
      admins.map(async (admin, i) => {
        const [from, to] = [Math.floor((i * SLOTS) / admins.length), Math.floor(((i + 1) * SLOTS) / admins.length) - 1];
        await admin.call("CLUSTER", "ADDSLOTSRANGE", from, to);
        await admin.call("CLUSTER", "SET-CONFIG-EPOCH", i + 1);
      }),
    );
    for (const server of servers.slice(1)) await meet(admins[0], server);
    await Promise.all(admins.map(untilClusterIsWhole.bind(undefined, servers.length)));
  } finally {
    for (const admin of admins) admin.disconnect();
  }
}

async function meet(first: Redis | undefined, server: RedisServer): Promise<void> {
  const admin = server.admin();
  try {
    const [, busPort] = (await admin.config("GET", "cluster-port")) as string[];
    await first?.call("CLUSTER", "MEET", "127.0.0.1", server.port, busPort ?? "");
  } finally {
    admin.disconnect();
  }
}

async function follow(master: RedisServer | undefined, replica: RedisServer): Promise<void> {
  if (master === undefined) throw new Error("there is no such master");
  const [above, below] = [master.admin(), replica.admin()];
  const deadline = AbortSignal.timeout(START_TIMEOUT_MS);
  try {
    await meet(above, replica);
    const id = String(await above.call("CLUSTER", "MYID"));
    while (!String(await below.call("CLUSTER", "NODES")).includes(id)) deadline.throwIfAborted();
    await below.call("CLUSTER", "REPLICATE", id);
    while (!String(await below.info("replication")).includes("master_link_status:up")) deadline.throwIfAborted();
  } finally {
    above.disconnect();
    below.disconnect();
  }
}

async function untilClusterIsWhole(size: number, admin: Redis): Promise<void> {
  const deadline = AbortSignal.timeout(START_TIMEOUT_MS);
  for (;;) {
    deadline.throwIfAborted();
    const said = String(await admin.call("CLUSTER", "INFO"));
    if (said.includes("cluster_state:ok") && said.includes(`cluster_size:${size}\r`)) return;
  }
}

class Server implements RedisServer {
  readonly port: number;
  readonly url: string;
  readonly #folder = mkdtempSync(join(tmpdir(), "cordum-redis-"));
  readonly #options: RedisOptions;
  #process: ServerProcess | undefined;

  constructor(port: number, options: RedisOptions) {
    this.port = port;
    this.url = `redis://127.0.0.1:${port}`;
    this.#options = options;
  }

  admin(): Redis {
    return new Redis(this.port, "127.0.0.1", { maxRetriesPerRequest: 1 });
  }

  async restart(): Promise<void> {
    const ready = "Ready to accept connections";
    this.#process = await startProcess({ program: findRedis(), args: this.#args(), folder: this.#folder, ready });
  }

  async kill(): Promise<void> {
    await this.#process?.kill();
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #args(): string[] {
    const appendonly = this.#options.appendonly ?? "no";
    const durability =
      appendonly === "no" ? ["--appendonly", "no"] : ["--appendonly", "yes", "--appendfsync", appendonly];
    const where = [
      "--port",
      String(this.port),
      "--bind",
      "127.0.0.1",
      "--dir",
      this.#folder,
      "--save",
      "",
      "--daemonize",
      "no",
    ];
    return [
      ...where,
      ...durability,
      "--maxmemory-policy",
      "noeviction",
      "--enable-debug-command",
      "yes",
      ...(this.#options.args ?? []),
    ];
  }
}
