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
  readonly partition: Partition;
  readonly pool: string;
  readonly priority: JobPriority;
  readonly tenant: string;
}

export function laneLayout(): Layout["indexes"] {
  return { [LANES_INDEX]: { score: "rank" } };
}

export function lanesOf(partition: Partition, pool: string): IndexKey {
  return { partition, index: LANES_INDEX, of: [pool] };
}

/** Names the lane; harmless when it is named already. */
export function nameLane(lane: Lane): Change {
  return {
    do: "enter",
    index: lanesOf(lane.partition, lane.pool),
    member: memberOf(lane),
    score: PRIORITIES.indexOf(lane.priority),
  };
}

/** The batch that takes the name of an empty lane away: nothing happens when a job has come meanwhile. */
export function dropEmptyLane(
  lane: Lane,
  backlog: IndexKey,
): { readonly checks: readonly [Check, ...Check[]]; readonly changes: readonly Change[] } {
  const index = lanesOf(lane.partition, lane.pool);
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
    : { partition, pool, priority, tenant: decodeURIComponent(member.slice(space + 1)) };
}

/** Order of service: see L2. `served` counts what each tenant got lately. */
export function inOrderOfService(lanes: readonly Lane[], served: ReadonlyMap<string, number>): readonly Lane[] {
  const rank = (lane: Lane): number => PRIORITIES.indexOf(lane.priority);
  return [...lanes].sort((a, b) => rank(a) - rank(b) || (served.get(a.tenant) ?? 0) - (served.get(b.tenant) ?? 0));
}

function memberOf(lane: Lane): string {
  return `${lane.priority} ${encodeURIComponent(lane.tenant)}`;
}
