// Workers as clients see them.
// Owns:          the shape, and from what is known of a worker to it; how many jobs are out with those that drain.
// Must not know: routes, who may drain.

import { Type } from "@fastify/type-provider-typebox";
import type { Static } from "typebox";
import { JOB_INDEX } from "../jobs/job-indexes.ts";
import type { JobParts } from "../jobs/job-parts.ts";
import type { EpochMs } from "../ports/time.ts";
import { countAcross } from "../records/across-partitions.ts";
import type { WorkerDrain } from "../scheduling/drain.ts";
import type { Worker } from "../scheduling/registry.ts";
import { filled } from "./filled.ts";
import { TextMap } from "./http/schemas.ts";

const optional = {
  text: Type.Optional(Type.String()),
  number: Type.Optional(Type.Number()),
  integer: Type.Optional(Type.Integer()),
  flag: Type.Optional(Type.Boolean()),
  texts: Type.Optional(Type.Array(Type.String())),
};

export const WorkerSchema = Type.Object({
  worker_id: Type.String(),
  pool: optional.text,
  region: optional.text,
  type: optional.text,
  active_jobs: optional.integer,
  max_parallel_jobs: optional.integer,
  cpu_load: optional.number,
  gpu_utilization: optional.number,
  memory_load: optional.number,
  capabilities: optional.texts,
  labels: Type.Optional(TextMap),
  topics: optional.texts,
  online: optional.flag,
  draining: optional.flag,
  drain: Type.Optional(
    Type.Object(
      {
        by_order: Type.Boolean({ description: "An operator's order; otherwise the worker says so itself." }),
        jobs_out: Type.Integer({ description: "Jobs that are out with it, by their records." }),
        empty: Type.Boolean(),
        since: optional.text,
        by: Type.Optional(Type.String({ description: "Shown, as the reason, to whoever may drain the worker." })),
        reason: optional.text,
      },
      { description: "Only of workers that get no new jobs." },
    ),
  ),
  session_valid: optional.flag,
  session_state: optional.text,
  last_heartbeat: optional.text,
  last_heartbeat_at: optional.text,
  heartbeat_age_seconds: optional.integer,
});
export type WorkerView = Static<typeof WorkerSchema>;

export interface KnownWorker {
  readonly id: string;
  /** The only tenant that it serves; undefined: all. */
  readonly tenant: string | undefined;
  /** Undefined: it has been silent for too long. */
  readonly worker: Worker | undefined;
  readonly order: WorkerDrain | undefined;
}

export interface WorkerAbout {
  readonly now: EpochMs;
  /** Jobs that are out, of workers that drain. */
  readonly out: ReadonlyMap<string, number>;
  mayManage(known: KnownWorker): boolean;
}

/** Of so many at most; beyond that a list says nothing of `drain`. */
const COUNTED_MAX = 200;

export async function loadOut(
  workers: readonly KnownWorker[],
  { state, clock, settings }: Pick<JobParts, "state" | "clock" | "settings">,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  const draining = workers.filter(isDraining).slice(0, COUNTED_MAX);
  if (draining.length === 0) return new Map();
  const names = draining.map(({ id }) => ({ index: JOB_INDEX.busyOfWorker, of: [id] }));
  const counts = await countAcross(state, names, clock.deadline(signal, settings.storeTimeoutMs));
  return new Map(draining.map(({ id }, at) => [id, counts[at] ?? 0]));
}

function isDraining({ worker, order }: KnownWorker): boolean {
  return order !== undefined || worker?.isDraining === true;
}

/** Clients of the later generation expect every member. */
export function fullView(known: KnownWorker, about: WorkerAbout): WorkerView {
  const { worker } = known;
  const drain = drainOf(known, about);
  const draining = isDraining(known);
  if (worker === undefined) return { worker_id: known.id, online: false, draining, ...drain };
  const { heartbeat, seenAt } = worker;
  const seen = new Date(seenAt).toISOString();
  return {
    worker_id: worker.id,
    pool: heartbeat.pool,
    region: heartbeat.region,
    type: heartbeat.type,
    active_jobs: worker.busy,
    max_parallel_jobs: Math.max(0, heartbeat.capacity),
    cpu_load: heartbeat.cpuLoad,
    gpu_utilization: heartbeat.gpuUtilization,
    memory_load: heartbeat.memoryLoad,
    capabilities: [...heartbeat.capabilities],
    labels: heartbeat.labels,
    topics: [...(worker.topics ?? [])].sort(),
    online: true,
    draining,
    ...drain,
    session_valid: true,
    session_state: "not_required",
    last_heartbeat: seen,
    last_heartbeat_at: seen,
    heartbeat_age_seconds: Math.max(0, Math.floor((about.now - seenAt) / 1000)),
  };
}

function drainOf(known: KnownWorker, { out, mayManage }: WorkerAbout): Pick<WorkerView, "drain"> {
  const jobsOut = out.get(known.id);
  const { order } = known;
  if (jobsOut === undefined) return {};
  const drain = { by_order: order !== undefined, jobs_out: jobsOut, empty: jobsOut === 0 };
  if (order === undefined) return { drain };
  const who = mayManage(known) ? filled({ by: order.by.principal, reason: order.reason }) : {};
  return { drain: { ...drain, since: new Date(order.at).toISOString(), ...who } };
}

/** Clients of the original expect no empty ones. */
export function shortView(known: KnownWorker, about: WorkerAbout): WorkerView {
  const { worker_id, labels, draining, drain, online, ...rest } = fullView(known, about);
  return {
    worker_id,
    ...filled(rest),
    online: online === true,
    ...(Object.keys(labels ?? {}).length === 0 ? {} : { labels }),
    ...(draining === true ? { draining } : {}),
    ...(drain === undefined ? {} : { drain }),
  };
}
