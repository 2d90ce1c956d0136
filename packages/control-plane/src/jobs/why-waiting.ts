// Why a job does not run: one answer, from what the scheduler itself goes by.
// Owns:          the reason with since when, the place in the queue, what would free the job and who can do that.
// Must not know: HTTP.
// Y1. The reason is the record's. Places are counted in indexes, of the job's own tenant: between tenants turns are taken, so how many
//     others wait says nothing, and is theirs. Y2. Everything asked for is bounded: some pools, one count each, no records of other jobs.

import type { IndexKey, Span } from "../ports/state.ts";
import type { EpochMs } from "../ports/time.ts";
import { partitionsOf } from "../records/across-partitions.ts";
import { PRIORITIES } from "../scheduling/backlog-lanes.ts";
import { servesTenant } from "../scheduling/registry.ts";
import type { Job, JobPriority, JobState, WakeName } from "./job.ts";
import { JOB_INDEX } from "./job-indexes.ts";
import type { JobParts } from "./job-parts.ts";
import { needsOf } from "./job-request.ts";
import { limitsOnConcurrency } from "./settle.ts";
import { type Explanation, explain, reasonOf } from "./wait-reasons.ts";

export interface WhyWaiting extends Explanation {
  readonly state: JobState;
  /** A wait reason, or "approval_required", "with_worker", "running", "ended". */
  readonly reason: string;
  readonly since: EpochMs;
  /** One entry for each pool that it may run on. */
  readonly queues: readonly QueuePlace[];
  readonly limit?: LimitUse;
  /** When the scheduler looks again by itself; much that frees a job comes sooner. */
  readonly nextLookAt?: EpochMs;
  /** When the wait ends the job, and how. */
  readonly endsAt?: EpochMs;
}

export interface QueuePlace {
  readonly pool: string;
  readonly priority: JobPriority;
  /** Jobs of the same tenant that come first. */
  readonly ahead: number;
  /** Jobs of the same tenant that wait there, this one among them. */
  readonly waiting: number;
  /** Workers of the pool that this process hears and that serve the tenant, and what they have free. */
  readonly workers: number;
  readonly freeSlots: number;
}

export interface LimitUse {
  readonly used: number;
  /** Absent where this process does not hold the policy. */
  readonly max?: number;
  /** Jobs that the limit holds back and that were accepted earlier. */
  readonly ahead: number;
}

const POOLS_MAX = 8;

export async function whyWaiting(job: Job, parts: JobParts, signal: AbortSignal): Promise<WhyWaiting> {
  const until = parts.clock.deadline(signal, parts.settings.storeTimeoutMs);
  const { phase } = job;
  const [queues, limit] = await Promise.all([queuesOf(job, parts, until), limitOf(job, parts, until)]);
  const nextLookAt = earliestOf(job, ["place", "decide"]);
  const endsAt = earliestOf(job, ["deadline", "timeout", "approval", "waited_too_long"]);
  return {
    state: phase.state,
    reason: reasonOf(job),
    since: sinceOf(job),
    ...explain(job, needsOf(job)),
    queues,
    ...(limit === undefined ? {} : { limit }),
    ...(Number.isFinite(nextLookAt) ? { nextLookAt } : {}),
    ...(Number.isFinite(endsAt) ? { endsAt } : {}),
  };
}

function earliestOf({ wakes }: Job, names: readonly WakeName[]): number {
  return Math.min(...names.map((name) => wakes[name] ?? Number.POSITIVE_INFINITY));
}

/** Since when it is in this state for these reasons; the last step has the newest. */
function sinceOf(job: Job): EpochMs {
  let since = job.acceptedAt;
  for (const [at, step] of job.steps.entries()) {
    const isSame = job.steps[at - 1]?.state === step.state && step.state === "SCHEDULED" && step.why !== "placing";
    if (!isSame || job.steps[at - 1]?.why === "not_before") since = step.at;
  }
  return since;
}

async function queuesOf(job: Job, parts: JobParts, signal: AbortSignal): Promise<readonly QueuePlace[]> {
  const { phase, priority, tenant, acceptedAt } = job;
  if (phase.state !== "SCHEDULED" || phase.pools.length === 0) return [];
  const pools = phase.pools.slice(0, POOLS_MAX);
  const before = PRIORITIES.slice(0, PRIORITIES.indexOf(priority));
  const groups = pools.flatMap((pool) => {
    const lane = (of: JobPriority, max?: number) => spansOf(parts, JOB_INDEX.backlog, [pool, of, tenant], max);
    return [before.flatMap((one) => lane(one)), lane(priority, acceptedAt - 1), lane(priority)];
  });
  const sums = await sumsOf(groups, parts, signal);
  const now = parts.clock.now();
  const alive = parts.registry.alive(now).filter((worker) => servesTenant(worker, tenant));
  return pools.map((pool, at) => {
    const [earlier = 0, older = 0, waiting = 0] = sums.slice(at * 3, at * 3 + 3);
    const workers = alive.filter((worker) => worker.pools.has(pool));
    const freeSlots = workers.reduce((sum, worker) => sum + Math.max(0, worker.free), 0);
    return { pool, priority, ahead: earlier + older, waiting, workers: workers.length, freeSlots };
  });
}

async function limitOf(job: Job, parts: JobParts, signal: AbortSignal): Promise<LimitUse | undefined> {
  const { phase, acceptedAt } = job;
  if (phase.state !== "SCHEDULED" || phase.limit === undefined) return undefined;
  const [used, sums] = await Promise.all([
    parts.slots.countOf(phase.limit, signal),
    sumsOf([spansOf(parts, JOB_INDEX.heldBack, [phase.limit], acceptedAt - 1)], parts, signal),
  ]);
  const decision = job.decisions.at(-1)?.decision;
  const limits = decision === undefined ? [] : limitsOnConcurrency(job, decision, parts);
  const max = limits.find(({ id }) => id === phase.limit)?.max;
  return { used, ahead: sums[0] ?? 0, ...(max === undefined ? {} : { max }) };
}

function spansOf(parts: JobParts, index: string, of: readonly string[], max?: number): readonly Span[] {
  return partitionsOf(parts.state).map((partition): Span => {
    const key: IndexKey = { partition, index, of };
    return max === undefined ? { index: key } : { index: key, max };
  });
}

/** One call for all groups; the sum of each. */
async function sumsOf(
  groups: readonly (readonly Span[])[],
  parts: JobParts,
  signal: AbortSignal,
): Promise<readonly number[]> {
  const counts = await parts.state.count(groups.flat(), signal);
  let from = 0;
  return groups.map((group) => {
    const sum = counts.slice(from, from + group.length).reduce((total, count) => total + count, 0);
    from += group.length;
    return sum;
  });
}
