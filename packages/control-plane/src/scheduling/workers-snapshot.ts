// The workers of a moment, for whoever watches a fleet in its Redis, and for processes that start.
// Owns:          the document that the original writes, from what this process has heard; reading it.
// Must not know: where it is stored, how often, what a process does with what it reads.
// Source: spec, scheduler, "Registry and snapshot" and "Later additions". `draining`, `workers_omitted`, `gpu_utilization`,
// `ready_topics`, `announced_at` and `seen_at` are ours. Members are added, never changed: programs of others read it, and processes of two versions.
// V1. What is read was written by somebody else, maybe long ago: whoever does not look like a worker is left out.

import type { EpochMs } from "../ports/time.ts";
import type { Announcement } from "./announcements.ts";
import { type Heartbeat, INSTANCE_LABEL, type Recalled, type Worker } from "./registry.ts";
import { poolsFor, type Routing } from "./routing.ts";

/** Of each list. Whoever may publish on the bus can make workers up; sums count all of them. */
const LISTED_MAX = 1_000;
/** Of each list or map of a worker that is read. */
const ITEMS_MAX = 1_000;

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
  readonly gpu_utilization: number;
  readonly memory_load: number;
  readonly region: string;
  readonly type: string;
  readonly labels: { readonly [label: string]: string };
  /** What it has announced; absent when it has announced nothing. */
  readonly ready_topics?: readonly string[];
  readonly announced_at?: string;
  readonly seen_at: string;
  readonly draining?: true;
}

/** `workers`: those that are alive. `listedMax`: of each list. */
export function snapshotOf(
  workers: readonly Worker[],
  routing: Routing,
  now: EpochMs,
  listedMax = LISTED_MAX,
): WorkersSnapshot {
  const sums = new Map<string, PoolSum>();
  for (const worker of workers)
    for (const pool of worker.pools) sums.set(pool, added(sums.get(pool) ?? NOBODY, worker));
  const shown = workers.toSorted((a, b) => (a.id < b.id ? -1 : 1)).slice(0, listedMax);
  const omitted = workers.length - shown.length;
  const named = [...sums].filter(([pool]) => !pool.startsWith("@"));
  return {
    captured_at: new Date(now).toISOString(),
    pools: Object.fromEntries(named.slice(0, listedMax)),
    topics: Object.fromEntries(
      topicsOf(workers, routing)
        .slice(0, listedMax)
        .map((topic) => [topic, topicSum(topic, routing, sums)]),
    ),
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
  return [...topics];
}

function topicSum(topic: string, routing: Routing, sums: ReadonlyMap<string, PoolSum>): TopicSum {
  const pools = poolsFor(routing, topic);
  const found = pools.map((pool) => sums.get(pool) ?? NOBODY);
  const workers = found.reduce((sum, pool) => sum + pool.workers, 0);
  const capacity = found.reduce((sum, pool) => sum + pool.capacity, 0);
  return { pool: pools[0] ?? "", workers, capacity, available: workers > 0 };
}

function shownWorker({ id, heartbeat, isDraining, topics, announcedAt, seenAt }: Worker): ShownWorker {
  return {
    worker_id: id,
    pool: heartbeat.pool,
    active_jobs: Math.max(0, heartbeat.activeJobs),
    max_parallel_jobs: Math.max(0, heartbeat.capacity),
    capabilities: heartbeat.capabilities,
    cpu_load: heartbeat.cpuLoad,
    gpu_utilization: heartbeat.gpuUtilization,
    memory_load: heartbeat.memoryLoad,
    region: heartbeat.region,
    type: heartbeat.type,
    labels: heartbeat.labels,
    ...(topics === undefined ? {} : { ready_topics: [...topics] }),
    ...(announcedAt === undefined ? {} : { announced_at: new Date(announcedAt).toISOString() }),
    seen_at: new Date(seenAt).toISOString(),
    ...(isDraining ? { draining: true } : {}),
  };
}

/** The workers of a snapshot, as they were when it was written. Throws SyntaxError when it is no JSON; see V1. */
export function readSnapshot(text: string): readonly Recalled[] {
  const { workers } = membersOf(JSON.parse(text));
  return (Array.isArray(workers) ? workers.slice(0, LISTED_MAX) : []).flatMap((worker) => {
    const recalled = recall(membersOf(worker));
    return recalled === undefined ? [] : [recalled];
  });
}

type Members = { readonly [name: string]: unknown };

/** Undefined where an id or a time is missing: the original's own snapshot has no times. */
function recall(worker: Members): Recalled | undefined {
  const workerId = textOf(worker.worker_id);
  const seenAt = Date.parse(textOf(worker.seen_at));
  if (workerId === "" || !Number.isFinite(seenAt)) return undefined;
  const labels = labelsOf(membersOf(worker.labels));
  const heartbeat: Heartbeat = {
    workerId,
    instance: labels[INSTANCE_LABEL] ?? "",
    pool: textOf(worker.pool),
    region: textOf(worker.region),
    type: textOf(worker.type),
    activeJobs: Math.max(0, numberOf(worker.active_jobs)),
    capacity: numberOf(worker.max_parallel_jobs),
    cpuLoad: numberOf(worker.cpu_load),
    gpuUtilization: numberOf(worker.gpu_utilization),
    memoryLoad: numberOf(worker.memory_load),
    capabilities: textsOf(worker.capabilities),
    labels: worker.draining === true ? { ...labels, draining: "true" } : labels,
  };
  return { heartbeat, seenAt, announcement: announcementIn(worker) };
}

/** One without a time was said before any other. */
function announcementIn({ ready_topics, announced_at }: Members): Announcement | undefined {
  const topics = new Set(textsOf(ready_topics));
  const saidAt = Date.parse(textOf(announced_at));
  return topics.size === 0 ? undefined : { topics, saidAt: Number.isFinite(saidAt) ? saidAt : 0 };
}

function membersOf(value: unknown): Members {
  return value !== null && typeof value === "object" ? { ...value } : {};
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function numberOf(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}

function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.slice(0, ITEMS_MAX).filter((item) => typeof item === "string") : [];
}

function labelsOf(members: Members): { readonly [label: string]: string } {
  const texts = Object.entries(members).slice(0, ITEMS_MAX);
  return Object.fromEntries(texts.filter((entry): entry is [string, string] => typeof entry[1] === "string"));
}
