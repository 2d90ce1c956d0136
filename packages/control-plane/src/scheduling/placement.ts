// Which worker gets a job: a pure choice.
// Owns:          eligibility, load, preference, and the reason when nobody qualifies.
// Must not know: State, Bus, where workers come from.
// P1. Only labels that begin with placement., constraint. or node. constrain; all others are the business of those who set them.
// P2. The least loaded worker wins; ties are broken at random. P3. A preference is a wish: when it cannot be had, the choice goes on.
// P4. A worker of one tenant gets no job of another, whatever else it has to offer.

import type { WaitReason } from "../jobs/job.ts";
import { servesTenant, type Worker } from "./registry.ts";
import { poolSatisfies, poolsFor, type Routing } from "./routing.ts";

export interface JobNeeds {
  readonly tenant: string;
  readonly topic: string;
  readonly requires: readonly string[];
  readonly labels: { readonly [label: string]: string };
}
export type Placement =
  | {
      readonly kind: "placed";
      readonly worker: Worker;
      readonly pool: string;
      /** All that the job may run on. */
      readonly pools: readonly string[];
    }
  | { readonly kind: "unplaced"; readonly waiting: WaitReason; readonly pools: readonly string[] }
  | { readonly kind: "unroutable"; readonly code: "no_pool_mapping"; readonly message: string };

const LOAD_MAX_PERCENT = 90;
const CONSTRAINING = ["placement.", "constraint.", "node."];

export function place(needs: JobNeeds, routing: Routing, workers: readonly Worker[], random: () => number): Placement {
  const { topic, labels } = needs;
  const mapped = poolsFor(routing, topic);
  const preferredPool = labels.preferred_pool || undefined;
  if (mapped.length === 0) return unroutable(`topic "${topic}" is not mapped to a pool`);
  if (preferredPool !== undefined && !mapped.includes(preferredPool))
    return unroutable(`preferred pool "${preferredPool}" not mapped for topic "${topic}"`);
  const pools = (preferredPool === undefined ? mapped : [preferredPool]).filter((pool) =>
    poolSatisfies(routing, pool, needs.requires),
  );
  if (pools.length === 0)
    return unroutable(`no pool of topic "${topic}" satisfies requires ${needs.requires.join(", ")}`);
  const constraints = Object.entries(labels).filter(([label]) => isConstraining(label));
  const able = workers.filter((worker) => isAble(worker, pools, needs) && meets(worker, constraints));
  if (able.length === 0) return { kind: "unplaced", waiting: "no_workers", pools };
  const ready = able.filter((worker) => worker.free > 0 && !isOverloaded(worker));
  if (ready.length === 0) return { kind: "unplaced", waiting: whyNobody(able), pools };
  const preferred = ready.find((worker) => worker.id === labels.preferred_worker_id);
  const worker = preferred ?? leastLoaded(ready, random);
  return { kind: "placed", worker, pool: pools.find((pool) => worker.pools.has(pool)) ?? worker.heartbeat.pool, pools };
}

/** Of workers that could take the job, and take nothing now. Those that drain are not waited for. */
function whyNobody(able: readonly Worker[]): WaitReason {
  const staying = able.filter((worker) => !worker.isDraining);
  if (staying.length === 0) return "workers_draining";
  return staying.every((worker) => worker.listens === "nowhere") ? "no_listener" : "pool_overloaded";
}

function isAble(worker: Worker, pools: readonly string[], needs: JobNeeds): boolean {
  if (!servesTenant(worker, needs.tenant)) return false;
  if (!pools.some((pool) => worker.pools.has(pool))) return false;
  return worker.topics === undefined || worker.topics.has(needs.topic);
}

function isConstraining(label: string): boolean {
  return CONSTRAINING.some((prefix) => label.startsWith(prefix));
}

function meets({ heartbeat }: Worker, constraints: readonly (readonly [label: string, value: string])[]): boolean {
  return constraints.every(([label, value]) => heartbeat.labels[label] === value);
}

function isOverloaded(worker: Worker): boolean {
  return worker.heartbeat.cpuLoad >= LOAD_MAX_PERCENT || worker.heartbeat.gpuUtilization >= LOAD_MAX_PERCENT;
}

function leastLoaded(workers: readonly Worker[], random: () => number): Worker {
  let best: Worker[] = [];
  let bestLoad = Number.POSITIVE_INFINITY;
  for (const worker of workers) {
    const load = worker.busy + worker.heartbeat.cpuLoad / 100 + worker.heartbeat.gpuUtilization / 100;
    if (load < bestLoad) {
      best = [worker];
      bestLoad = load;
    } else if (load === bestLoad) best.push(worker);
  }
  const chosen = best[Math.floor(random() * best.length)] ?? best[0];
  if (chosen === undefined) throw new Error("leastLoaded needs at least one worker");
  return chosen;
}

function unroutable(message: string): Placement {
  return { kind: "unroutable", code: "no_pool_mapping", message: `no_pool_mapping: ${message}` };
}
