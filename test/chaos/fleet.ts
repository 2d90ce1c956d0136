// The processes of a round: two gateways, two schedulers, three workers, each with its own way to Redis and to NATS.
// Owns:          their settings, their ways, starting and ending them; where their logs are.
// Must not know: what is broken when, what is handed in.
// F1. Every way between two processes leads through a proxy of its own, so that one can be cut and the others stay.
// F2. The third worker has an API key and no other credentials: it comes through a gateway's door, as clients do.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type CuttingProxy, cuttingProxy } from "@cordum/control-plane/testing/cutting-proxy";
import { type NatsServer, startNats } from "@cordum/control-plane/testing/nats-servers";
import { freePort } from "@cordum/control-plane/testing/servers";
import { FleetProcess } from "../fleet/processes.ts";
import { ChaosRedis, type RedisStyle } from "./chaos-redis.ts";
import { POLICIES, TIMEOUTS } from "./house-rules.ts";

export const KEYS = {
  ada: { key: "chaos-key-ada-00000000", tenant: "acme", role: "operator" },
  bob: { key: "chaos-key-bob-00000000", tenant: "acme", role: "approver" },
  nan: { key: "chaos-key-nan-00000000", tenant: "narrow", role: "operator" },
  wes: { key: "chaos-key-wes-00000000", tenant: "acme", role: "worker" },
} as const;

export type Role = "gateway" | "scheduler" | "worker";
export interface Member {
  readonly name: string;
  readonly role: Role;
  readonly process: FleetProcess;
}
export interface Link {
  /** As "scheduler-0 → Redis". */
  readonly name: string;
  readonly to: "Redis" | "NATS" | "gateway";
  readonly proxy: CuttingProxy;
}

export interface Fleet extends AsyncDisposable {
  readonly members: readonly Member[];
  readonly links: readonly Link[];
  readonly redis: ChaosRedis;
  readonly nats: NatsServer;
  /** Of the gateways' doors. */
  readonly urls: readonly string[];
  readonly effectPaths: readonly string[];
  readonly policyPath: string;
}

const MAIN = "../../packages/cli/src/main.ts";
const READY_MS_MAX = 90_000;

/** `folder`: for logs, effects and the files of the house. */
export async function startFleet(style: RedisStyle, folder: string): Promise<Fleet> {
  await using opened = new AsyncDisposableStack();
  const redis = opened.use(await ChaosRedis.start(style));
  const nats = opened.use(await startNats({ jetstream: true }));
  const policyPath = join(folder, "policy.yaml");
  writeFileSync(policyPath, POLICIES[0].text);
  const builder = new Builder({ redis, nats, folder, policyPath, opened });
  for (const nth of [0, 1]) await builder.gateway(nth);
  for (const nth of [0, 1]) await builder.scheduler(nth);
  for (const nth of [0, 1]) await builder.workerOnBus(nth);
  builder.workerByKey(2);
  const { members, links, urls, effectPaths } = builder;
  // The first that comes makes the streams; the others find them.
  for (const { process } of members) await process.start();
  const owned = opened.move();
  const dispose = () => owned.disposeAsync();
  return { members, links, redis, nats, urls, effectPaths, policyPath, [Symbol.asyncDispose]: dispose };
}

interface BuilderParts {
  readonly redis: ChaosRedis;
  readonly nats: NatsServer;
  readonly folder: string;
  readonly policyPath: string;
  readonly opened: AsyncDisposableStack;
}

class Builder {
  readonly members: Member[] = [];
  readonly links: Link[] = [];
  readonly urls: string[] = [];
  readonly effectPaths: string[] = [];
  readonly #parts: BuilderParts;
  readonly #shared: Readonly<Record<string, string>>;

  constructor(parts: BuilderParts) {
    this.#parts = parts;
    const timeoutsPath = join(parts.folder, "timeouts.yaml");
    writeFileSync(timeoutsPath, TIMEOUTS);
    this.#shared = {
      CORDUM_STATE: "redis",
      NATS_USE_JETSTREAM: "true",
      SCHEDULER_METRICS_ADDR: "off",
      GATEWAY_METRICS_ADDR: "off",
      API_RATE_LIMIT_RPS: "100000",
      API_RATE_LIMIT_BURST: "100000",
      CORDUM_DRAIN_TIMEOUT: "5s",
      SAFETY_POLICY_PATH: parts.policyPath,
      SAFETY_POLICY_RELOAD_INTERVAL: "1s",
      TIMEOUT_CONFIG_PATH: timeoutsPath,
      CORDUM_API_KEYS: Object.entries(KEYS)
        .map(([name, { key, tenant, role }]) => `${tenant}:${key}:${role}:${name}`)
        .join(","),
    };
  }

  async gateway(nth: number): Promise<void> {
    const name = `gateway-${nth}`;
    const port = await freePort();
    const door = this.#parts.opened.use(await cuttingProxy(port));
    this.links.push({ name: `clients → ${name}`, to: "gateway", proxy: door });
    this.urls.push(`http://127.0.0.1:${door.port}`);
    const env = { ...this.#shared, ...(await this.#servers(name)), GATEWAY_HTTP_ADDR: `127.0.0.1:${port}` };
    this.#add("gateway", name, { file: MAIN, args: ["serve", "--roles", "gateway"], env });
  }

  async scheduler(nth: number): Promise<void> {
    const name = `scheduler-${nth}`;
    const env = { ...this.#shared, ...(await this.#servers(name)) };
    this.#add("scheduler", name, { file: MAIN, args: ["serve", "--roles", "scheduler"], env });
  }

  async workerOnBus(nth: number): Promise<void> {
    const name = `worker-${nth}`;
    this.#addWorker(name, await this.#servers(name));
  }

  workerByKey(nth: number): void {
    this.#addWorker(`worker-${nth}`, { CORDUM_API_URL: this.urls[0] ?? "", CORDUM_API_KEY: KEYS.wes.key });
  }

  #addWorker(name: string, to: Readonly<Record<string, string>>): void {
    const effects = join(this.#parts.folder, `effects-${name}.jsonl`);
    this.effectPaths.push(effects);
    const env = { ...to, WORKER_ID: name, EFFECTS_PATH: effects };
    this.#add("worker", name, { file: "../programs/chaos-worker.ts", args: [], env });
  }

  #add(
    role: Role,
    name: string,
    program: Pick<ConstructorParameters<typeof FleetProcess>[0], "file" | "args" | "env">,
  ): void {
    const logPath = join(this.#parts.folder, `${name}.log`);
    const process = this.#parts.opened.use(new FleetProcess({ ...program, name, logPath, readyMsMax: READY_MS_MAX }));
    this.members.push({ name, role, process });
  }

  async #servers(name: string): Promise<Readonly<Record<string, string>>> {
    const { redis, nats, opened } = this.#parts;
    const toRedis = await redis.link();
    const toNats = opened.use(await cuttingProxy(nats.port));
    this.links.push({ name: `${name} → Redis`, to: "Redis", proxy: toRedis });
    this.links.push({ name: `${name} → NATS`, to: "NATS", proxy: toNats });
    return { REDIS_URL: `redis://127.0.0.1:${toRedis.port}`, NATS_URL: `nats://127.0.0.1:${toNats.port}` };
  }
}
