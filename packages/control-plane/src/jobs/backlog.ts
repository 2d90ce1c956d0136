// The backlog: jobs that wait for a worker are pulled by free slots.
// Owns:          when a pool is looked at, and in which order its waiting jobs are tried.
// Must not know: how a worker is chosen (placement.ts), how lanes are named (backlog-lanes.ts).
// W1. A pool is looked at when one of its workers appears, ends a job or announces a topic, and once a second while jobs wait: a missed
//     hint costs at most that. W2. One look at a pool at a time in a process; who loses a job to another process takes the next.

import type { ListQuery, Page } from "../ports/state.ts";
import { listAcross } from "../records/across-partitions.ts";
import { dropEmptyLane, inOrderOfService, type Lane, lanesOf, parseLane } from "../scheduling/backlog-lanes.ts";
import type { Worker } from "../scheduling/registry.ts";
import { changeJob, changeSeen } from "./change.ts";
import type { Job } from "./job.ts";
import { JOB_INDEX } from "./job-indexes.ts";
import type { JobParts } from "./job-parts.ts";

const LANES_MAX = 200;
const JOBS_PER_LANE_MAX = 100;
const SERVED_DECAY = 0.5;

export class Backlog {
  readonly #parts: JobParts;
  readonly #signal: AbortSignal;
  readonly #served = new Map<string, number>();
  readonly #wanted = new Set<string>();
  readonly #running = new Set<string>();
  /** Pools in which the last look found more than there were slots for. */
  readonly #waiting = new Set<string>();
  #firstPartition = 0;

  constructor(parts: JobParts, signal: AbortSignal) {
    this.#parts = parts;
    this.#signal = signal;
  }

  /** A hint that pools of this worker may have free slots. Never waits, never fails. */
  hint(worker: Pick<Worker, "pools"> | undefined): void {
    for (const pool of worker?.pools ?? []) this.pull(pool);
  }

  /** A slot of the limit came free: the job that it has held back for longest is tried. */
  async pullHeldBack(limitId: string): Promise<void> {
    const lead = { index: JOB_INDEX.heldBack, of: [limitId] };
    try {
      const query = { lead, alsoIn: [], order: "up", limit: 1, examineMax: 1 } as const;
      const [first] = (await listAcross(this.#parts.state, query, this.#deadline())).entries;
      if (first !== undefined) await changeJob(first.member, "pull", this.#parts, this.#signal);
    } catch (error) {
      if (!this.#signal.aborted) this.#parts.log.error("limit.not_served", error, { limitId });
    }
  }

  /** Pools in which jobs wait, or waited when they were last looked at. */
  waitingPools(): readonly string[] {
    return [...this.#waiting];
  }

  /** A job has ended somewhere: pools that have something waiting are looked at. */
  hintJobEnded(): void {
    for (const pool of this.#waiting) this.pull(pool);
  }

  pull(pool: string): void {
    this.#wanted.add(pool);
    if (!this.#running.has(pool)) void this.#run(pool);
  }

  /** Looks at all pools of living workers; call once a second. */
  tick(): void {
    for (const [tenant, count] of this.#served) {
      if (count < 1) this.#served.delete(tenant);
      else this.#served.set(tenant, count * SERVED_DECAY);
    }
    for (const worker of this.#parts.registry.alive(this.#parts.clock.now())) if (worker.free > 0) this.hint(worker);
  }

  async #run(pool: string): Promise<void> {
    this.#running.add(pool);
    try {
      while (this.#wanted.delete(pool) && !this.#signal.aborted) await this.#serve(pool);
    } catch (error) {
      if (!this.#signal.aborted) this.#parts.log.error("backlog.not_served", error, { pool });
    } finally {
      this.#running.delete(pool);
    }
  }

  async #serve(pool: string): Promise<void> {
    const { partitions } = this.#parts.state.traits;
    const first = this.#firstPartition++ % partitions;
    const found = await Promise.all(
      Array.from({ length: partitions }, (_, step) => this.#lanes((first + step) % partitions, pool)),
    );
    const lanes = found.flat();
    if (lanes.length === 0) this.#waiting.delete(pool);
    else this.#waiting.add(pool);
    for (const lane of inOrderOfService(lanes, this.#served)) {
      const free = this.#freeSlots(pool);
      if (free === 0) return;
      await this.#serveLane(lane, free);
    }
  }

  async #lanes(partition: number, pool: string): Promise<readonly Lane[]> {
    const page = await this.#list({ span: { index: lanesOf(partition, pool) }, limit: LANES_MAX });
    return page.entries.flatMap(({ member }) => parseLane(partition, pool, member) ?? []);
  }

  async #serveLane(lane: Lane, free: number): Promise<void> {
    const index = { partition: lane.partition, index: JOB_INDEX.backlog, of: [lane.pool, lane.priority, lane.tenant] };
    const page = await this.#list({ span: { index }, limit: Math.min(free, JOBS_PER_LANE_MAX) });
    const { state, clock, jobs, settings } = this.#parts;
    if (page.entries.length === 0) {
      await state.commit(
        { id: clock.id(), partition: lane.partition, ...dropEmptyLane(lane, index) },
        this.#deadline(),
      );
      return;
    }
    const seen = await jobs.loadMany(
      page.entries.map(({ member }) => member),
      clock.deadline(this.#signal, settings.storeTimeoutMs),
    );
    const placed = await Promise.all(
      seen.map((job) => (job === undefined ? undefined : changeSeen(job, pullIfWaiting, this.#parts, this.#signal))),
    );
    const count = placed.filter((changed) => changed?.moved === true && "dispatch" in changed.job.phase).length;
    if (count > 0) this.#served.set(lane.tenant, (this.#served.get(lane.tenant) ?? 0) + count);
    if (count === page.entries.length && page.next !== undefined) this.#wanted.add(lane.pool);
  }

  #list(query: Pick<ListQuery, "span" | "limit">): Promise<Page> {
    return this.#parts.state.list({ ...query, alsoIn: [], order: "up", examineMax: query.limit }, this.#deadline());
  }

  #deadline(): AbortSignal {
    return this.#parts.clock.deadline(this.#signal, this.#parts.settings.storeTimeoutMs);
  }

  #freeSlots(pool: string): number {
    let free = 0;
    for (const worker of this.#parts.registry.alive(this.#parts.clock.now()))
      if (worker.pools.has(pool)) free += worker.free;
    return free;
  }
}

function pullIfWaiting(job: Job): "pull" | undefined {
  return job.phase.state === "SCHEDULED" && job.wakes.place === undefined ? "pull" : undefined;
}
