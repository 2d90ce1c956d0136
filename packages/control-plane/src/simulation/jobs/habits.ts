// What a simulated house does: which of all activities one seed has.
// Owns:          the list of activities, their odds.
// Must not know: how an activity goes.
// As with faults (fate.ts), each is there or not by itself: a run in which everything happens has room for little of each.

import { seededRandom } from "../../adapters/system/seeded-random.ts";

export interface Habits {
  /** The third of them is a gateway without a scheduler. */
  readonly nodes: number;
  readonly partitions: number;
  /** A worker that hears its topics only, with others. */
  readonly topical: boolean;
  /** Workers that connect to a gateway with frames. */
  readonly sessions: boolean;
  /** A second tenant, whose people also try what is not theirs. */
  readonly tenants: boolean;
  readonly batches: boolean;
  readonly delays: boolean;
  /** Operators retry, remediate and remove dead letters, by one and by many. */
  readonly letters: boolean;
  readonly locks: boolean;
  readonly keys: boolean;
  /** Operators drain workers. */
  readonly drains: boolean;
  /** Readers follow all jobs of a tenant, and watch single ones. */
  readonly readers: boolean;
  /** Nodes are ended in order and started again. */
  readonly restarts: boolean;
  /** Pools and timeouts change under way. */
  readonly reroutes: boolean;
  /** Workers announce their topics once, as those of the official libraries; others say them again and again, as ours. */
  readonly terse: boolean;
}

const NODES_MAX = 3;
const PARTITIONS = [1, 3, 2] as const;

export function drawHabits(seed: number): Habits {
  const chance = seededRandom(seed).fork("habits");
  return {
    nodes: 1 + chance.below(NODES_MAX),
    partitions: PARTITIONS[chance.below(PARTITIONS.length)] ?? 1,
    topical: chance.once(2),
    sessions: chance.once(3),
    tenants: chance.once(2),
    batches: chance.once(2),
    delays: chance.once(2),
    letters: chance.once(2),
    locks: chance.once(3),
    keys: chance.once(3),
    drains: chance.once(3),
    readers: chance.once(3),
    restarts: chance.once(3),
    reroutes: chance.once(3),
    terse: chance.once(2),
  };
}
