// Pools that have more jobs than slots, as far as this process knows.
// Owns:          the list, and telling whoever serves them that a job began to wait.
// Must not know: jobs' records, workers.
// C1. In a congested pool a new job waits its turn like all others: else freed slots would go to whoever asks first, and under load those
//     that wait already would wait for ever. C2. It is a hint: another process may know better for as long as a second.

import type { EpochMs } from "../ports/time.ts";
import type { LaneName } from "./backlog-lanes.ts";

export class Congestion {
  readonly #pools = new Map<string, number>();
  #listener: (lane: LaneName, acceptedAt: EpochMs) => void = () => undefined;

  /** `listener` must not throw. */
  listen(listener: (lane: LaneName, acceptedAt: EpochMs) => void): void {
    this.#listener = listener;
  }

  /** A job waits in the lane for a slot of its pool. */
  note(lane: LaneName, acceptedAt: EpochMs): void {
    this.#pools.set(lane.pool, this.waiting(lane.pool) + 1);
    this.#listener(lane, acceptedAt);
  }

  /** Every job of the pool that could be placed has been. */
  clear(pool: string): void {
    this.#pools.delete(pool);
  }

  /** A job that waited has been placed. */
  left(pool: string): void {
    const waiting = this.#pools.get(pool);
    if (waiting !== undefined && waiting > 1) this.#pools.set(pool, waiting - 1);
  }

  /** About how many jobs of this process wait. */
  waiting(pool: string): number {
    return this.#pools.get(pool) ?? 0;
  }

  has(pool: string): boolean {
    return this.#pools.has(pool);
  }
}
