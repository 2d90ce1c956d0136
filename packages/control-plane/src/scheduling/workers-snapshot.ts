// The workers of a moment, for whoever watches a fleet in its Redis.
// Owns:          the document that the original writes, from what this process has heard.
// Must not know: where it is stored, how often, who reads it. Nothing of ours does.
// Source: spec, scheduler, "Registry and snapshot". `draining` and `workers_omitted` are ours.

import type { EpochMs } from "../ports/time.ts";
import type { Worker } from "./registry.ts";
import { poolsFor, type Routing } from "./routing.ts";

/** Of each list. Whoever may publish on the bus can make workers up; sums count all of them. */
const LISTED_MAX = 1_000;

export interface WorkersSnapshot {
  readonly captured_at: string;
  readonly pools: { readonly [pool: string]: PoolSum };
  readonly topics: { readonly [topic: string]: TopicSum };
  readonly workers: readonly ShownWorker[];
  readonly workers_omitted?: number;
}

interface PoolSum {
  readonly workers: number;
  readonly active_jobs: number;
  readonly capacity: number;
}

interface TopicSum {
  /** The first of those that may run it. */
  readonly pool: string;
  readonly workers: number;
  readonly capacity: number;
  readonly available: boolean;
}

interface ShownWorker {
  readonly worker_id: string;
  readonly pool: string;
  readonly active_jobs: number;
  readonly max_parallel_jobs: number;
  readonly capabilities: readonly string[];
  readonly cpu_load: number;
  readonly draining?: true;
}

/** `workers`: those that are alive. */
export function snapshotOf(workers: readonly Worker[], routing: Routing, now: EpochMs): WorkersSnapshot {
  const sums = new Map<string, PoolSum>();
  for (const worker of workers)
    for (const pool of worker.pools) sums.set(pool, added(sums.get(pool) ?? NOBODY, worker));
  const shown = workers.toSorted((a, b) => (a.id < b.id ? -1 : 1)).slice(0, LISTED_MAX);
  const omitted = workers.length - shown.length;
  const named = [...sums].filter(([pool]) => !pool.startsWith("@"));
  return {
    captured_at: new Date(now).toISOString(),
    pools: Object.fromEntries(named.slice(0, LISTED_MAX)),
    topics: Object.fromEntries(topicsOf(workers, routing).map((topic) => [topic, topicSum(topic, routing, sums)])),
    workers: shown.map(shownWorker),
    ...(omitted === 0 ? {} : { workers_omitted: omitted }),
  };
}

const NOBODY: PoolSum = { workers: 0, active_jobs: 0, capacity: 0 };

function added(sum: PoolSum, { heartbeat }: Worker): PoolSum {
  return {
    workers: sum.workers + 1,
    active_jobs: sum.active_jobs + Math.max(0, heartbeat.activeJobs),
    capacity: sum.capacity + Math.max(0, heartbeat.capacity),
  };
}

/** Those of the files, and those that workers have announced where any worker may serve them. */
function topicsOf(workers: readonly Worker[], routing: Routing): readonly string[] {
  const topics = new Set(routing.topics.keys());
  if (routing.isOpen) for (const worker of workers) for (const topic of worker.topics ?? []) topics.add(topic);
  return [...topics].slice(0, LISTED_MAX);
}

function topicSum(topic: string, routing: Routing, sums: ReadonlyMap<string, PoolSum>): TopicSum {
  const pools = poolsFor(routing, topic);
  const found = pools.map((pool) => sums.get(pool) ?? NOBODY);
  const workers = found.reduce((sum, pool) => sum + pool.workers, 0);
  const capacity = found.reduce((sum, pool) => sum + pool.capacity, 0);
  return { pool: pools[0] ?? "", workers, capacity, available: workers > 0 };
}

function shownWorker({ id, heartbeat, isDraining }: Worker): ShownWorker {
  return {
    worker_id: id,
    pool: heartbeat.pool,
    active_jobs: Math.max(0, heartbeat.activeJobs),
    max_parallel_jobs: Math.max(0, heartbeat.capacity),
    capabilities: heartbeat.capabilities,
    cpu_load: heartbeat.cpuLoad,
    ...(isDraining ? { draining: true } : {}),
  };
}
