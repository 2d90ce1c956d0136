// The backlog: jobs that wait for a worker are pulled by free slots.
// Owns:          when a pool is looked at, and in which order its waiting jobs are tried.
// Must not know: how a worker is chosen (placement.ts), how lanes are named (backlog-lanes.ts), for how long what was seen is believed
//                (backlog-memory.ts).
// W1. A pool is looked at when one of its workers appears, has a slot again or announces a topic, when a job of it ends, when the slots
//     are shared among others than before, and while slots are free: once a second where jobs are known to wait, else every ten seconds.
//     A missed hint costs at most that. W2. One look at a pool at a time in a process; who loses a job to another process takes the next.
// W3. Jobs that nobody can take block nobody: a look goes on behind them, and for a moment later looks begin there.
// W4. Slots that are free at once are shared among the tenants that wait; of one tenant the oldest job comes first, in whatever partition.
// W5. A slot that comes free where many wait takes one of the jobs that were read ahead. That nobody waits any more is said by State alone.

import type { StopSignals } from "../alarms/stop-signals.ts";
import type { Page, Position } from "../ports/state.ts";
import type { EpochMs } from "../ports/time.ts";
import { type IndexName, listAcross } from "../records/across-partitions.ts";
import {
  dropEmptyLane,
  joinLanes,
  type Lane,
  type LaneName,
  lanesOf,
  nextLane,
  parseLane,
} from "../scheduling/backlog-lanes.ts";
import { servesTenant, type Worker } from "../scheduling/registry.ts";
import { poolsFor, type Routing } from "../scheduling/routing.ts";
import { BacklogMemory, type LanePage, laneName } from "./backlog-memory.ts";
import { changeJob, changeSeen } from "./change.ts";
import type { Job } from "./job.ts";
import { JOB_INDEX } from "./job-indexes.ts";
import type { JobParts } from "./job-parts.ts";

const LANES_PER_PAGE = 500;
const LANES_MAX = 5_000;
const JOBS_AT_ONCE = 100;
/** Jobs that are read beyond those there are slots for. With other placers about, they would be gone before their turn. */
const AHEAD = 32;
/** Jobs of a lane that one look takes in. */
const EXAMINED_MAX = 500;
const SKIP_MS = 2_000;
const SERVED_DECAY = 0.5;
/** Nobody need hint of a pool for its jobs to be found; with many pools each look at all of them costs something. */
const TICKS_PER_SWEEP = 10;

/** What one look has seen of the jobs of one tenant and priority, over all partitions. */
interface Look extends Lane {
  after: Position | undefined;
  examined: number;
  /** The last jobs that were tried did not all find a place: go on in larger steps. */
  isStuck: boolean;
}

export class Backlog {
  readonly #parts: JobParts;
  readonly #signals: StopSignals;
  /** Looks under way. */
  readonly #under = new Set<Promise<void>>();
  readonly #served = new Map<string, number>();
  readonly #wanted = new Set<string>();
  readonly #running = new Set<string>();
  /** Pools in which the last look found more than there were slots for. */
  readonly #waiting = new Set<string>();
  readonly #memory = new BacklogMemory();
  #ticks = 0;
  #placers: readonly string[] = [];
  /** Lanes that begin with jobs which found no place, and where the next look begins. */
  readonly #skips = new Map<string, { readonly after: Position; readonly at: EpochMs }>();

  constructor(parts: JobParts, signals: StopSignals) {
    this.#parts = parts;
    this.#signals = signals;
  }

  /** A hint that pools of this worker may have free slots. Never waits, never fails. */
  hint(worker: Pick<Worker, "pools"> | undefined): void {
    for (const pool of worker?.pools ?? []) this.pull(pool);
  }

  /** A slot of the limit came free: the job that it has held back for longest is tried. */
  pullHeldBack(limitId: string): void {
    this.#follow(this.#pullHeldBack(limitId));
  }

  async #pullHeldBack(limitId: string): Promise<void> {
    const lead = { index: JOB_INDEX.heldBack, of: [limitId] };
    try {
      const query = { lead, alsoIn: [], order: "up", limit: 1, examineMax: 1 } as const;
      const [first] = (await listAcross(this.#parts.state, query, this.#deadline())).entries;
      if (first !== undefined) await changeJob(first.member, "pull", this.#parts, this.#signals.work);
    } catch (error) {
      if (!this.#signals.work.aborted) this.#parts.log.error("limit.not_served", error, { limitId });
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

  /** A job of this process waits for a slot of the pool. */
  noteWaiting(lane: LaneName, acceptedAt: EpochMs): void {
    this.#memory.note(lane, acceptedAt);
    this.pull(lane.pool);
  }

  pull(pool: string): void {
    this.#wanted.add(pool);
    if (!this.#running.has(pool)) this.#follow(this.#run(pool));
  }

  /** Ends when what is under way has ended. */
  async settled(): Promise<void> {
    while (this.#under.size > 0) await Promise.all(this.#under);
  }

  #follow(look: Promise<void>): void {
    const followed = look.finally(() => this.#under.delete(followed));
    this.#under.add(followed);
  }

  /** Looks at the pools with free slots in which jobs wait, and now and then at all of them; call once a second. */
  tick(): void {
    const now = this.#parts.clock.now();
    for (const [tenant, count] of this.#served) {
      if (count < 1) this.#served.delete(tenant);
      else this.#served.set(tenant, count * SERVED_DECAY);
    }
    this.#memory.forgetStale(now);
    for (const [name, { at }] of this.#skips) if (now - at >= SKIP_MS) this.#skips.delete(name);
    const before = this.#placers;
    this.#placers = this.#parts.placers.alive(now);
    const isSharedAnew = before.join() !== this.#placers.join();
    const isForAll = this.#ticks++ % TICKS_PER_SWEEP === 0 || isSharedAnew;
    for (const pool of this.#freePools()) if (isForAll || this.#waiting.has(pool)) this.pull(pool);
  }

  /** Looks at all pools with free slots. */
  pullAll(): void {
    for (const pool of this.#freePools()) this.pull(pool);
  }

  #freePools(): ReadonlySet<string> {
    const pools = new Set<string>();
    for (const worker of this.#parts.registry.alive(this.#parts.clock.now()))
      if (worker.free > 0) for (const pool of worker.pools) pools.add(pool);
    return pools;
  }

  async #run(pool: string): Promise<void> {
    this.#running.add(pool);
    try {
      while (this.#wanted.delete(pool) && !this.#signals.stopping.aborted) await this.#serve(pool);
    } catch (error) {
      if (!this.#signals.work.aborted) this.#parts.log.error("backlog.not_served", error, { pool });
    } finally {
      this.#running.delete(pool);
    }
  }

  async #serve(pool: string): Promise<void> {
    if (this.#freeSlots(pool) === 0) {
      this.#waiting.add(pool); // nobody knows; the end of a job looks again
      return;
    }
    const known = this.#memory.lanesOf(pool, this.#parts.clock.now());
    if (known !== undefined && (await this.#look(pool, known)) === "no slots") return;
    this.#memory.forgetPool(pool);
    const lanes = await this.#lanes(pool);
    this.#memory.keepLanes(pool, lanes, this.#parts.clock.now());
    if (lanes.length === 0) this.#waiting.delete(pool);
    else this.#waiting.add(pool);
    if ((await this.#look(pool, lanes)) === "no jobs") {
      this.#parts.congestion.clear(pool);
      this.#parts.turnstile.open(pool, this.#freeSlots(pool));
    }
  }

  /** Serves the lanes until nothing is free, or nobody is left who could be placed. */
  async #look(pool: string, lanes: readonly Lane[]): Promise<"no slots" | "no jobs" | "no jobs for what is free"> {
    const looks = new Set(lanes.map((lane) => this.#lookAt(lane)));
    let isShort = false;
    for (;;) {
      if (this.#freeSlots(pool) === 0) return "no slots";
      const look = nextLane(looks, this.#served);
      if (look === undefined) return isShort ? "no jobs for what is free" : "no jobs";
      const free = this.#freeSlots(pool, look.tenant);
      if (free === 0) {
        // What is free belongs to workers of other tenants. Jobs that have no worker at all keep nobody waiting (W3).
        isShort ||= this.#hasWorker(pool, look.tenant);
        looks.delete(look);
      } else if (await this.#serveLane(look, Math.ceil(free / tenantsBeside(look, looks)))) looks.delete(look);
    }
  }

  /** Those of all partitions, each with the partitions where it is named. */
  async #lanes(pool: string): Promise<readonly Lane[]> {
    const { partitions } = this.#parts.state.traits;
    const found = await Promise.all(
      Array.from({ length: partitions }, (_, partition) => this.#lanesIn(partition, pool)),
    );
    return joinLanes(found.flat());
  }

  async #lanesIn(partition: number, pool: string): Promise<readonly Lane[]> {
    const lanes: Lane[] = [];
    let after: Position | undefined;
    do {
      const index = lanesOf(partition, pool);
      const from = after === undefined ? {} : { after };
      const query = {
        span: { index },
        alsoIn: [],
        order: "up",
        limit: LANES_PER_PAGE,
        examineMax: LANES_PER_PAGE,
        ...from,
      } as const;
      const page: Page = await this.#parts.state.list(query, this.#deadline());
      for (const { member } of page.entries) {
        const lane = parseLane(partition, pool, member);
        if (lane !== undefined) lanes.push(lane);
      }
      after = page.next;
    } while (after !== undefined && lanes.length < LANES_MAX);
    return lanes;
  }

  #lookAt(lane: Lane): Look {
    const skip = this.#skips.get(laneName(lane));
    const isFresh = skip !== undefined && this.#parts.clock.now() - skip.at < SKIP_MS;
    return { ...lane, after: isFresh ? skip.after : undefined, examined: 0, isStuck: false };
  }

  /** Tries some jobs of the lane. True when this look is through with it. */
  async #serveLane(look: Look, turn: number): Promise<boolean> {
    const isFirst = look.after === undefined;
    const limit = look.isStuck ? JOBS_AT_ONCE : Math.min(turn, JOBS_AT_ONCE);
    const page = this.#memory.take(look, limit, this.#parts.clock.now()) ?? (await this.#readOn(look, limit));
    if (page.jobs.length === 0 && page.next === undefined && isFirst) {
      await this.#drop(look);
      return true;
    }
    const placed = await this.#tryAll(page);
    if (placed > 0) this.#served.set(look.tenant, (this.#served.get(look.tenant) ?? 0) + placed);
    look.after = page.next;
    look.examined += page.jobs.length;
    look.isStuck = placed < page.jobs.length;
    if (look.isStuck) this.#memory.forgetLane(look);
    this.#noteSkip(look);
    return page.next === undefined || look.examined >= EXAMINED_MAX;
  }

  async #readOn(look: Look, limit: number): Promise<LanePage> {
    const isAlone = this.#parts.placers.isAlone(this.#parts.clock.now());
    const page = await this.#read(look, look.isStuck || !isAlone ? limit : limit + AHEAD, look.after);
    return this.#memory.keepBehind(look, page, limit, this.#parts.clock.now());
  }

  /** How many of them found a place. */
  async #tryAll({ jobs }: LanePage): Promise<number> {
    const tried = await Promise.all(
      jobs.map((job) =>
        job === undefined ? undefined : changeSeen(job, pullIfWaiting, this.#parts, this.#signals.work),
      ),
    );
    return tried.filter((changed) => changed?.moved === true && "dispatch" in changed.job.phase).length;
  }

  /** Jobs that found no place although slots are free are passed over for a moment. */
  #noteSkip(lane: Look): void {
    if (lane.after === undefined) this.#skips.delete(laneName(lane));
    else if (lane.isStuck && this.#freeSlots(lane.pool, lane.tenant) > 0)
      this.#skips.set(laneName(lane), { after: lane.after, at: this.#parts.clock.now() });
  }

  async #drop(lane: Lane): Promise<void> {
    this.#skips.delete(laneName(lane));
    const { state, clock } = this.#parts;
    for (const partition of lane.partitions) {
      const batch = { id: clock.id(), partition, ...dropEmptyLane(lane, { partition, ...backlogOf(lane) }) };
      await state.commit(batch, this.#deadline());
    }
  }

  /** Routing has changed: jobs that wait in pools of the old one are placed, moved or ended by the new one. */
  review(before: Routing, now: Routing): void {
    this.#follow(this.#review(before, now));
  }

  async #review(before: Routing, now: Routing): Promise<void> {
    for (const pool of poolsOf(before, now)) {
      try {
        for (const lane of await this.#lanes(pool)) await this.#reviewLane(lane);
      } catch (error) {
        if (!this.#signals.work.aborted) this.#parts.log.error("backlog.not_reviewed", error, { pool });
      }
    }
  }

  async #reviewLane(lane: Lane): Promise<void> {
    let after: Position | undefined;
    do {
      const page = await this.#read(lane, JOBS_AT_ONCE, after);
      await this.#tryAll(page);
      after = page.next;
    } while (after !== undefined);
  }

  async #read(lane: Lane, limit: number, after: Position | undefined): Promise<LanePage> {
    const from = after === undefined ? {} : { after };
    const query = { lead: backlogOf(lane), alsoIn: [], order: "up", limit, examineMax: limit, ...from } as const;
    const { entries, next } = await listAcross(this.#parts.state, query, this.#deadline());
    const ids = entries.map(({ member }) => member);
    return { jobs: await this.#parts.jobs.loadMany(ids, this.#deadline()), places: entries, next };
  }

  #deadline(): AbortSignal {
    return this.#parts.clock.deadline(this.#signals.work, this.#parts.settings.storeTimeoutMs);
  }

  /** Of workers that serve the tenant; of all, without one. */
  #freeSlots(pool: string, tenant?: string): number {
    return this.#parts.registry.freeSlots(pool, this.#parts.clock.now(), tenant);
  }

  #hasWorker(pool: string, tenant: string): boolean {
    const workers = this.#parts.registry.alive(this.#parts.clock.now());
    return workers.some((worker) => worker.pools.has(pool) && servesTenant(worker, tenant));
  }
}

function backlogOf({ pool, priority, tenant }: Lane): IndexName {
  return { index: JOB_INDEX.backlog, of: [pool, priority, tenant] };
}

/** How many tenants wait with the lane's priority, its own included. */
function tenantsBeside(lane: Lane, others: Iterable<Lane>): number {
  const tenants = new Set([lane.tenant]);
  for (const other of others) if (other.priority === lane.priority) tenants.add(other.tenant);
  return tenants.size;
}

/** Pools in which jobs may wait that were placed by `before`. */
function poolsOf(before: Routing, now: Routing): ReadonlySet<string> {
  const pools = new Set(before.pools.keys());
  for (const topic of [...before.topics.keys(), ...now.topics.keys()])
    for (const pool of poolsFor(before, topic)) pools.add(pool);
  return pools;
}

/** Jobs that wait for something else than a slot are in no lane, or leave it now. */
function pullIfWaiting(job: Job): "pull" | undefined {
  return job.phase.state === "SCHEDULED" && job.phase.pools.length > 0 ? "pull" : undefined;
}
