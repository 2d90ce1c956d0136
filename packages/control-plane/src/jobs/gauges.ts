// What an operator sees of the fleet and of waiting jobs.
// Owns:          the gauges of workers, backlog, approvals and the bus.
// Must not know: how they are shown.

import type { State } from "../ports/state.ts";
import type { EpochMs } from "../ports/time.ts";
import { countAcross, type IndexName, listAcross } from "../records/across-partitions.ts";
import { lanesOf, parseLane } from "../scheduling/backlog-lanes.ts";
import { JOB_INDEX } from "./job-indexes.ts";
import type { JobParts } from "./job-parts.ts";

const LANES_MAX = 200;

/** Measures workers by pool, and for each pool how many jobs wait and for how long. `pools`: those in which jobs may wait. */
export async function measure(pools: Iterable<string>, parts: JobParts, signal: AbortSignal): Promise<void> {
  const { registry, clock, meter } = parts;
  const workers = new Map<string, number>();
  for (const { heartbeat } of registry.alive(clock.now()))
    workers.set(heartbeat.pool, (workers.get(heartbeat.pool) ?? 0) + 1);
  for (const [pool, count] of workers) meter.gauge("cordum_scheduler_workers", count, { pool });
  for (const pool of pools) await measurePool(pool, parts, signal);
  await measureApprovals(parts, signal);
}

async function measureApprovals({ state, clock, meter, settings }: JobParts, signal: AbortSignal): Promise<void> {
  const until = clock.deadline(signal, settings.storeTimeoutMs);
  const asked = { index: JOB_INDEX.asked, of: [] };
  const [count = 0] = await countAcross(state, [asked], until);
  meter.gauge("cordum_approval_queue_depth", count);
  const oldest = count === 0 ? undefined : await oldestOf(asked, state, until);
  meter.gauge("cordum_approval_oldest_seconds", oldest === undefined ? 0 : Math.max(0, clock.now() - oldest) / 1000);
}

async function oldestOf(lead: IndexName, state: State, signal: AbortSignal): Promise<EpochMs | undefined> {
  const { entries } = await listAcross(state, { lead, alsoIn: [], order: "up", limit: 1, examineMax: 1 }, signal);
  return entries[0]?.score;
}

async function measurePool(pool: string, parts: JobParts, signal: AbortSignal): Promise<void> {
  const { state, clock, meter, settings } = parts;
  const until = clock.deadline(signal, settings.storeTimeoutMs);
  let jobs = 0;
  let oldestAt = Number.POSITIVE_INFINITY;
  for (let partition = 0; partition < state.traits.partitions; partition++) {
    const named = {
      span: { index: lanesOf(partition, pool) },
      alsoIn: [],
      order: "up",
      limit: LANES_MAX,
      examineMax: LANES_MAX,
    } as const;
    const { entries } = await state.list(named, until);
    const indexes = entries.flatMap(({ member }) => {
      const lane = parseLane(partition, pool, member);
      return lane === undefined
        ? []
        : [{ partition, index: JOB_INDEX.backlog, of: [pool, lane.priority, lane.tenant] }];
    });
    const counts = await state.count(
      indexes.map((index) => ({ index })),
      until,
    );
    jobs += counts.reduce((sum, count) => sum + count, 0);
    const firsts = await Promise.all(
      indexes.map((index) => state.list({ span: { index }, alsoIn: [], order: "up", limit: 1, examineMax: 1 }, until)),
    );
    for (const { entries: first } of firsts) oldestAt = Math.min(oldestAt, first[0]?.score ?? Number.POSITIVE_INFINITY);
  }
  meter.gauge("cordum_scheduler_backlog_jobs", jobs, { pool });
  meter.gauge("cordum_scheduler_backlog_oldest_seconds", jobs === 0 ? 0 : Math.max(0, clock.now() - oldestAt) / 1000, {
    pool,
  });
}
