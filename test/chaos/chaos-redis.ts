// The Redis of a round, behind proxies, and what can happen to it.
// Owns:          one server, or a primary with its replica; crash, stall, full memory, and a failover as a sentinel would do it; when
//                writes may have been lost.
// Must not know: who uses it, what is stored.
// V1. Clients reach it through proxies that lead to whoever is primary; those that were connected to another one are cut.
// V2. Before a failover the replica has everything (WAIT says so); from that moment on the primary's writes do not reach it any more. So
//     what was written before is certain to survive, and what was written after is certain to be lost.

import { type CuttingProxy, cuttingProxy } from "@cordum/control-plane/testing/cutting-proxy";
import { type RedisServer, startRedis } from "@cordum/control-plane/testing/servers";
import type { Redis } from "ioredis";
import type { Loss } from "./ledger.ts";
import { sleep, until } from "./sleep.ts";

export interface RedisStyle {
  readonly appendfsync: "always" | "everysec";
  readonly replicated: boolean;
}

const IN_SYNC_MS_MAX = 30_000;
const ANSWER_MS_MAX = 30_000;
/** A write that was answered may lie in memory for so long when the disk is slow (design §5). */
const EVERYSEC_MS = 2_000;
/** Answers that were under way when the server died. */
const SLACK_MS = 1_000;

export class ChaosRedis implements AsyncDisposable {
  readonly #style: RedisStyle;
  readonly #links = new Set<CuttingProxy>();
  readonly #opened = new AsyncDisposableStack();
  #primary: RedisServer;
  #replica: RedisServer | undefined;
  /** The way of the primary's writes to its replica. */
  #replication: CuttingProxy | undefined;
  #admin: Redis;

  private constructor(style: RedisStyle, primary: RedisServer) {
    this.#style = style;
    this.#primary = this.#opened.use(primary);
    this.#admin = connected(primary);
  }

  static async start(style: RedisStyle): Promise<ChaosRedis> {
    const redis = new ChaosRedis(style, await startRedis({ appendonly: style.appendfsync }));
    if (style.replicated) {
      redis.#replica = redis.#opened.use(await startRedis({ appendonly: style.appendfsync }));
      await redis.#follow();
    }
    return redis;
  }

  /** A way for one process. */
  async link(): Promise<CuttingProxy> {
    const proxy = this.#opened.use(await cuttingProxy(this.#primary.port));
    this.#links.add(proxy);
    return proxy;
  }

  /** For questions to whoever is primary now. Not to be kept. */
  get admin(): Redis {
    return this.#admin;
  }

  /** kill -9, and again after a while. */
  async crash(downMs: number): Promise<Loss | undefined> {
    const at = Date.now();
    await this.#primary.kill();
    await sleep(downMs);
    await this.#primary.restart();
    await this.#answers();
    if (this.#style.appendfsync === "always") return undefined;
    return { from: at - EVERYSEC_MS - SLACK_MS, to: Date.now() + SLACK_MS, by: "Redis crash" };
  }

  /** It answers nobody for so long. */
  async stall(ms: number): Promise<void> {
    await this.#admin.call("DEBUG", "SLEEP", String(ms / 1_000)).catch(() => undefined);
  }

  /** It refuses every write that needs memory, as on a full machine. */
  async fill(ms: number): Promise<void> {
    await this.#admin.config("SET", "maxmemory", "1mb");
    await sleep(ms);
    await this.#admin.config("SET", "maxmemory", "0");
  }

  /** The primary dies with what its replica does not have; after a while the replica takes its place, and the dead one comes back as replica. */
  async failover(ms: { readonly lagMs: number; readonly detectMs: number }): Promise<Loss> {
    const [old, next] = [this.#primary, this.#replica];
    if (next === undefined || this.#replication === undefined) throw new Error("there is no replica");
    const from = Date.now() - SLACK_MS;
    await this.#caughtUp();
    this.#replication.pause();
    await sleep(ms.lagMs);
    await old.kill();
    await sleep(ms.detectMs);
    await this.#replication.close();
    this.#admin.disconnect();
    this.#admin = connected(next);
    await this.#admin.call("REPLICAOF", "NO", "ONE");
    [this.#primary, this.#replica] = [next, old];
    for (const link of this.#links) {
      link.retarget(next.port);
      link.refuse();
      link.accept();
    }
    const to = Date.now() + SLACK_MS;
    await old.restart();
    await this.#follow();
    return { from, to, by: "Redis failover" };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#admin.disconnect();
    await this.#opened.disposeAsync();
  }

  async #follow(): Promise<void> {
    if (this.#replica === undefined) return;
    this.#replication = this.#opened.use(await cuttingProxy(this.#primary.port));
    const admin = connected(this.#replica);
    try {
      await admin.call("REPLICAOF", "127.0.0.1", String(this.#replication.port));
      await until(async () => (await admin.info("replication")).includes("master_link_status:up"), {
        ms: IN_SYNC_MS_MAX,
        says: "the replica follows its primary",
      });
    } finally {
      admin.disconnect();
    }
  }

  /** WAIT is about the writes of this connection, and so about all before them. */
  async #caughtUp(): Promise<void> {
    await until(
      async () => {
        await this.#admin.set("chaos:mark", Date.now());
        return (await this.#admin.wait(1, 5_000)) >= 1;
      },
      { ms: IN_SYNC_MS_MAX, says: "the replica has what its primary has" },
    );
  }

  async #answers(): Promise<void> {
    await until(async () => (await this.#admin.ping().catch(() => "")) === "PONG", {
      ms: ANSWER_MS_MAX,
      says: "Redis answers again",
    });
  }
}

function connected(server: RedisServer): Redis {
  const admin = server.admin();
  // Its end is part of the play; whoever asks meanwhile is told.
  admin.on("error", () => undefined);
  return admin;
}
