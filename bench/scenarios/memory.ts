// What a kept job takes in Redis, and what the processes take.
// Owns:          the jobs, the sums over keys of each kind.
// Must not know: how State lies in Redis, beyond the words its keys begin with.

import { Redis } from "ioredis";
import { type Contender, type Kind, startContender } from "../contender.ts";
import { fine, whole } from "../report.ts";
import { runRound } from "../round.ts";
import type { Scale, Scenario } from "../scenario.ts";

const JOBS: { readonly [scale in Scale]: number } = { full: 20_000, quick: 3_000, tiny: 200 };
/** Indexes and the like are there from the first job on, and are not what a job takes. */
const JOBS_BEFORE = 200;
const SHAPE = { load: "single", workers: 1, slots: 50, connections: 64, fsync: "everysec" } as const;
/** Buffers of the append-only file and of connections come and go. */
const SETTLE_MS = 1_500;

interface Kept {
  readonly kind: Kind;
  readonly jobs: number;
  readonly bytesPerJob: number;
  readonly rssMiB: number;
  readonly keys: readonly { readonly keys: string; readonly perJob: number; readonly bytesPerJob: number }[];
}

async function keep(kind: Kind, jobs: number): Promise<Kept> {
  await using contender = await startContender(kind, SHAPE);
  await runRound(contender, JOBS_BEFORE);
  const before = await bytesOf(contender);
  const { rssMiB, jobs: done } = await runRound(contender, jobs);
  const bytesPerJob = ((await bytesOf(contender)) - before) / done;
  return { kind, jobs: done, bytesPerJob, rssMiB, keys: await keysOf(contender.redisUrl, done + JOBS_BEFORE) };
}

async function bytesOf(contender: Contender): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  return (await contender.totals()).redisBytes;
}

async function keysOf(url: string, jobs: number): Promise<Kept["keys"]> {
  const redis = new Redis(url);
  const sums = new Map<string, { count: number; bytes: number }>();
  let cursor = "0";
  do {
    const [next, keys] = await redis.scan(cursor, "COUNT", 1_000);
    cursor = next;
    const pipeline = redis.pipeline();
    for (const key of keys) pipeline.memory("USAGE", key);
    const sizes = (await pipeline.exec()) ?? [];
    for (const [at, key] of keys.entries()) {
      const group = groupOf(key);
      const sum = sums.get(group) ?? { count: 0, bytes: 0 };
      sums.set(group, { count: sum.count + 1, bytes: sum.bytes + Number(sizes[at]?.[1] ?? 0) });
    }
  } while (cursor !== "0");
  redis.disconnect();
  return [...sums]
    .map(([keys, { count, bytes }]) => ({ keys, perJob: count / jobs, bytesPerJob: bytes / jobs }))
    .sort((a, b) => b.bytesPerJob - a.bytesPerJob);
}

function groupOf(key: string): string {
  const ours = /^cordum:\{\d+\}:(@?[^:]+)/.exec(key)?.[1];
  return ours ?? key.replace(/[^:]*\d[^:]*$/, "*");
}

export const memoryScenario: Scenario = {
  name: "memory",
  about: "bytes of a kept job in Redis, and memory of the processes",
  isUsual: true,
  needsServers: true,
  async run(context) {
    const kept: Kept[] = [];
    for (const kind of ["cordum NATS", "BullMQ HTTP"] as const) {
      if (context.scale === "tiny" && kind !== "cordum NATS") continue;
      kept.push(await keep(kind, JOBS[context.scale]));
      context.say(`memory: ${kind} is done`);
    }
    const [own] = kept;
    const largest = own?.keys.slice(0, 6) ?? [];
    return {
      title: `memory after ${JOBS[context.scale]} finished jobs`,
      table: kept.map(({ kind, bytesPerJob, rssMiB }) => ({
        "": kind,
        "bytes a kept job in Redis": whole(bytesPerJob),
        "MiB of the processes, without servers": whole(rssMiB),
      })),
      notes: [
        `Cordum's keys, bytes a job: ${largest.map((each) => `${each.keys} ${whole(each.bytesPerJob)} (${fine(each.perJob)} keys)`).join(", ")}.`,
      ],
      goals: own === undefined ? [] : [{ goal: "bytes a kept job in Redis", measured: own.bytesPerJob, atMost: 2_500 }],
      data: kept,
    };
  },
};
