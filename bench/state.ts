// How many governed life cycles an engine of State carries per second.
// Owns:          the load (one life cycle = two commits, as a job makes them) and the table.
// Must not know: jobs. Run: node scripts/on-node-26.mjs bench/state.ts [memory|sqlite|redis_everysec|redis_always|redis_cluster] [seconds]

import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { memoryState } from "../packages/control-plane/src/adapters/memory/memory-state.ts";
import { openRedis } from "../packages/control-plane/src/adapters/redis/open-redis.ts";
import { openSqlite } from "../packages/control-plane/src/adapters/sqlite/open-sqlite.ts";
import { systemClock } from "../packages/control-plane/src/adapters/system/clock.ts";
import type { Change, IndexKey, Layout, State } from "../packages/control-plane/src/ports/state.ts";
import { type RedisServer, startRedis, startRedisCluster } from "../packages/control-plane/src/testing/servers.ts";

const IN_FLIGHT = 256;
const WEEK_MS = 7 * 86_400_000;
const TENANTS = 4;
const never = new AbortController().signal;
const clock = systemClock();

const layout: Layout = {
  indexes: {
    updated: { score: "time", keepMs: WEEK_MS },
    state: { score: "time", keepMs: "forever" },
    topic: { score: "time", keepMs: WEEK_MS },
    team: { score: "time", keepMs: WEEK_MS },
    trace: { score: "time", keepMs: WEEK_MS },
    busy_worker: { score: "time", keepMs: "forever" },
  },
  logs: {},
};

interface Opened {
  readonly state: State;
  /** Calls to the engine so far. */
  calls?(): number;
  dispose(): Promise<string>;
}
/** Engines by name; each opens an empty store with the layout above. */
const engines: { readonly [engine: string]: () => Promise<Opened> } = {
  async memory() {
    return { state: memoryState({ partitions: 1, layout, clock }), dispose: async () => "" };
  },
  async sqlite() {
    const folder = await mkdtemp(join(tmpdir(), "cordum-bench-"));
    const path = join(folder, "state.db");
    const { state, transactions } = await openSqlite({ path, partitions: 1, layout, clock });
    return {
      state,
      calls: transactions,
      async dispose() {
        const { size } = await stat(path);
        await rm(folder, { recursive: true });
        return `${Math.round(size / 1e6)} MB`;
      },
    };
  },
  redis_everysec: () => openRedisEngine("everysec"),
  redis_always: () => openRedisEngine("always"),
  async redis_cluster() {
    const cluster = await startRedisCluster(3, { appendonly: "everysec" });
    const { state, calls, close } = await openRedis({ clusterAddresses: cluster.addresses, layout, clock }, quiet);
    return { state, calls, dispose: () => disposeRedis(cluster.servers, close) };
  },
};

const ignore = (): void => undefined;
const quiet = { debug: ignore, info: ignore, warn: ignore, error: console.error };

async function openRedisEngine(appendonly: "everysec" | "always"): Promise<Opened> {
  const server = await startRedis({ appendonly });
  const { state, calls, close } = await openRedis({ url: server.url, layout, clock }, quiet);
  return { state, calls, dispose: () => disposeRedis([server], close) };
}

/** Tells what the servers spent: a life cycle puts two records. */
async function disposeRedis(servers: readonly RedisServer[], close: () => Promise<void>): Promise<string> {
  let [cpuSeconds, puts, bytes] = [0, 0, 0];
  for (const server of servers) {
    const admin = server.admin();
    const said = (await admin.info()) + (await admin.info("commandstats"));
    admin.disconnect();
    const number = (pattern: RegExp): number => Number(pattern.exec(said)?.[1] ?? 0);
    cpuSeconds += number(/used_cpu_user:([\d.]+)/) + number(/used_cpu_sys:([\d.]+)/);
    puts += number(/cmdstat_set:calls=(\d+)/);
    bytes += number(/used_memory:(\d+)/);
  }
  await close();
  for (const server of servers) await server.stop();
  return `${Math.round(bytes / 1e6)} MB, Redis CPU ${round((cpuSeconds * 2e6) / puts)} µs per life cycle`;
}

interface Numbers {
  readonly engine: string;
  readonly lifeCycles: number;
  readonly seconds: number;
  readonly lifeCyclesPerSecond: number;
  readonly commitsPerSecond: number;
  readonly batchesPerCall: number | undefined;
  /** Time of one commit as its caller waits for it. */
  readonly waitMs: { readonly p50: number; readonly p99: number };
  readonly processCpuMicrosPerLifeCycle: number;
  readonly store: string;
}

/** About 700 bytes, as a job's record has. */
function record(id: string, jobState: string): { readonly [key: string]: string | number } {
  const filler = "x".repeat(420);
  return {
    id,
    state: jobState,
    topic: "job.bench.echo",
    tenant: "acme",
    principal: "bench",
    request: filler,
    context: `ctx:${id}`,
    at: clock.now(),
    events: "PENDING,SCHEDULED,DISPATCHED",
    shape: 1,
    attempt: 1,
    worker: "worker-1",
    snapshot: "cfg:0123456789abcdef",
  };
}

function lifeCycle(state: State, partition: number, n: number) {
  const id = clock.id();
  const key = { partition, kind: "job", id };
  const tenant = `tenant-${n % TENANTS}`;
  const index = (name: string, ...of: readonly string[]): IndexKey => ({ partition, index: name, of });
  const enter = (to: IndexKey): Change => ({ do: "enter", index: to, member: id, score: clock.now() });
  const leave = (from: IndexKey): Change => ({ do: "leave", index: from, member: id });
  const version = clock.id();
  return {
    create: () =>
      state.commit(
        {
          id: version,
          partition,
          checks: [{ is: "absent", key }],
          changes: [
            { do: "put", key, value: record(id, "DISPATCHED"), wakeAt: clock.now() + 30_000 },
            enter(index("updated", tenant)),
            enter(index("state", tenant, "DISPATCHED")),
            enter(index("topic", tenant, "job.bench.echo")),
            enter(index("team", tenant, `team-${n % 7}`)),
            enter(index("trace", id)),
            enter(index("busy_worker", `worker-${n % 16}`)),
          ],
        },
        never,
      ),
    // Two entries move (updated; state is another index, so it leaves one and enters one), busy ones leave.
    finish: () =>
      state.commit(
        {
          id: clock.id(),
          partition,
          checks: [{ is: "at", key, version }],
          changes: [
            { do: "put", key, value: record(id, "SUCCEEDED"), keepMs: WEEK_MS, wakeAt: "never" },
            enter(index("updated", tenant)),
            enter(index("state", tenant, "SUCCEEDED")),
            leave(index("state", tenant, "DISPATCHED")),
            leave(index("busy_worker", `worker-${n % 16}`)),
          ],
        },
        never,
      ),
  };
}

async function measure(engine: string, seconds: number): Promise<Numbers> {
  const open = engines[engine];
  if (open === undefined) throw new Error(`no engine ${engine}: ${Object.keys(engines).join(", ")}`);
  const { state, calls, dispose } = await open();
  const waits: number[] = [];
  let lifeCycles = 0;
  const timed = async (commit: () => ReturnType<State["commit"]>): Promise<void> => {
    const sentAt = clock.mono();
    const outcome = await commit();
    if (outcome.kind !== "committed") throw new Error(`expected a commit, got ${JSON.stringify(outcome)}`);
    waits.push(clock.mono() - sentAt);
  };
  const cpuBefore = process.cpuUsage();
  const startedAt = clock.mono();
  const end = startedAt + seconds * 1000;
  const lane = async (): Promise<void> => {
    while (clock.mono() < end) {
      const { create, finish } = lifeCycle(state, lifeCycles % state.traits.partitions, lifeCycles);
      lifeCycles++;
      await timed(create);
      await timed(finish);
      // Memory answers with microtasks: without a turn of the loop the lanes would not alternate.
      if (engine === "memory" && lifeCycles % IN_FLIGHT === 0) await clock.sleep(0, never);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
  const took = (clock.mono() - startedAt) / 1000;
  const cpu = process.cpuUsage(cpuBefore);
  const sent = calls?.();
  await state.close();
  waits.sort((a, b) => a - b);
  const quantile = (part: number): number => round(waits[Math.floor(waits.length * part)] ?? 0);
  return {
    engine,
    lifeCycles,
    seconds: round(took),
    lifeCyclesPerSecond: Math.round(lifeCycles / took),
    commitsPerSecond: Math.round(waits.length / took),
    batchesPerCall: sent === undefined ? undefined : Math.round(waits.length / sent),
    waitMs: { p50: quantile(0.5), p99: quantile(0.99) },
    processCpuMicrosPerLifeCycle: round((cpu.user + cpu.system) / lifeCycles),
    store: await dispose(),
  };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

const [asked, seconds = "5"] = process.argv.slice(2);
const results: Numbers[] = [];
for (const engine of asked === undefined ? Object.keys(engines) : [asked])
  results.push(await measure(engine, Number(seconds)));
console.table(results.map(({ waitMs, ...numbers }) => ({ ...numbers, waitMsP50: waitMs.p50, waitMsP99: waitMs.p99 })));
console.log(JSON.stringify(results));
