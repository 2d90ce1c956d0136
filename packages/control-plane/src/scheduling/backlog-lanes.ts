// Lanes of the backlog: which tenants of which priority have jobs waiting for a pool.
// Owns:          the index that names them; the order in which lanes are served.
// Must not know: jobs' records (backlog.ts loads and places them).
// L1. A lane is named in the commit that makes its first job wait, and stays named until somebody finds it empty.
// L2. Critical before interactive before batch; within a priority the tenant that was served least, lately, comes next.

import type { JobPriority } from "../jobs/job.ts";
import type { Change, Check, IndexKey, Layout, Partition } from "../ports/state.ts";

export const LANES_INDEX = "job.lanes";
export const PRIORITIES = ["critical", "interactive", "batch"] as const satisfies readonly JobPriority[];

export interface Lane {
  readonly pool: string;
  readonly priority: JobPriority;
  readonly tenant: string;
  /** Where it is named: in the partitions of the jobs that made it so. */
  readonly partitions: readonly Partition[];
}

export type LaneName = Omit<Lane, "partitions">;

export function laneLayout(): Layout["indexes"] {
  return { [LANES_INDEX]: { score: "rank" } };
}

export function lanesOf(partition: Partition, pool: string): IndexKey {
  return { partition, index: LANES_INDEX, of: [pool] };
}

/** Names the lane; harmless when it is named already. */
export function nameLane(lane: LaneName, partition: Partition): Change {
  return {
    do: "enter",
    index: lanesOf(partition, lane.pool),
    member: memberOf(lane),
    score: PRIORITIES.indexOf(lane.priority),
  };
}

/** The batch that takes the name of an empty lane away in one partition: nothing happens when a job waits there after all. */
export function dropEmptyLane(
  lane: Lane,
  backlog: IndexKey,
): { readonly checks: readonly [Check, ...Check[]]; readonly changes: readonly Change[] } {
  const index = lanesOf(backlog.partition, lane.pool);
  const member = memberOf(lane);
  return {
    checks: [
      { is: "in", index, member },
      { is: "fewer", index: backlog, than: 1 },
    ],
    changes: [{ do: "leave", index, member }],
  };
}

export function parseLane(partition: Partition, pool: string, member: string): Lane | undefined {
  const space = member.indexOf(" ");
  const priority = PRIORITIES.find((name) => name === member.slice(0, space));
  return priority === undefined
    ? undefined
    : { pool, priority, tenant: decodeURIComponent(member.slice(space + 1)), partitions: [partition] };
}

/** Lanes of the same pool, priority and tenant as one. */
export function joinLanes(lanes: readonly Lane[]): readonly Lane[] {
  const joined = new Map<string, Lane>();
  for (const lane of lanes) {
    const member = memberOf(lane);
    const before = joined.get(member)?.partitions ?? [];
    joined.set(member, { ...lane, partitions: [...before, ...lane.partitions] });
  }
  return [...joined.values()];
}

/** The lane that comes next, see L2; of equals the first. `served` counts what each tenant got lately. */
export function nextLane<L extends Lane>(lanes: Iterable<L>, served: ReadonlyMap<string, number>): L | undefined {
  let best: L | undefined;
  for (const lane of lanes) if (best === undefined || comesBefore(lane, best, served)) best = lane;
  return best;
}

function comesBefore(a: Lane, b: Lane, served: ReadonlyMap<string, number>): boolean {
  const byRank = PRIORITIES.indexOf(a.priority) - PRIORITIES.indexOf(b.priority);
  return byRank === 0 ? (served.get(a.tenant) ?? 0) < (served.get(b.tenant) ?? 0) : byRank < 0;
}

function memberOf(lane: LaneName): string {
  return `${lane.priority} ${encodeURIComponent(lane.tenant)}`;
}
