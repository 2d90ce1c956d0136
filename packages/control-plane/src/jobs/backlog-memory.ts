// What looks at the backlog have seen and not used yet, so that a free slot need not ask State which job comes next.
// Owns:          lanes of pools, the next jobs of lanes, and for how long they are believed.
// Must not know: State, who is served next, how jobs are placed.
// M1. It says which job may be tried, never that none waits: whoever finds nothing here asks State.
// M2. Nothing is believed for longer than FRESH_MS, since other processes take and add jobs; the commit of a dispatch decides.
// M3. A lane that begins to exist here is not overlooked, nor a job that comes before those that were seen.

import type { Position } from "../ports/state.ts";
import type { EpochMs, Ms } from "../ports/time.ts";
import type { Lane, LaneName } from "../scheduling/backlog-lanes.ts";
import type { SeenJob } from "./job-store.ts";

const FRESH_MS: Ms = 100;
/** Lanes whose next jobs are kept; each has a few dozen. */
const LANES_MAX = 200;

/** Jobs of a lane in their order; undefined for one that was gone when it was read. */
export interface LanePage {
  readonly jobs: readonly (SeenJob | undefined)[];
  readonly places: readonly Position[];
  /** Where the lane goes on; undefined at its end. */
  readonly next: Position | undefined;
}

export class BacklogMemory {
  readonly #lanes = new Map<string, { readonly lanes: readonly Lane[]; readonly at: EpochMs }>();
  readonly #pages = new Map<string, { readonly page: LanePage; readonly at: EpochMs }>();

  /** Lanes of the pool, when jobs of one of them are known. */
  lanesOf(pool: string, now: EpochMs): readonly Lane[] | undefined {
    const known = this.#lanes.get(pool);
    if (known === undefined || !isFresh(known.at, now)) return undefined;
    return known.lanes.some((lane) => this.#pages.has(laneName(lane))) ? known.lanes : undefined;
  }

  keepLanes(pool: string, lanes: readonly Lane[], now: EpochMs): void {
    this.#lanes.set(pool, { lanes, at: now });
  }

  /** The next jobs of the lane, no longer kept from now on; at least one, or undefined. */
  take(lane: LaneName, limit: number, now: EpochMs): LanePage | undefined {
    const name = laneName(lane);
    const known = this.#pages.get(name);
    if (known === undefined) return undefined;
    this.#pages.delete(name);
    if (!isFresh(known.at, now)) return undefined;
    const [first, rest] = split(known.page, limit);
    if (rest !== undefined) this.#pages.set(name, { page: rest, at: known.at });
    return first;
  }

  /** Keeps what is behind the first `limit` jobs of the page, and answers these. */
  keepBehind(lane: LaneName, page: LanePage, limit: number, now: EpochMs): LanePage {
    const [first, rest] = split(page, limit);
    const name = laneName(lane);
    if (rest === undefined) this.#pages.delete(name);
    else if (this.#pages.has(name) || this.#pages.size < LANES_MAX) this.#pages.set(name, { page: rest, at: now });
    return first;
  }

  /** A job of this process waits in the lane since `acceptedAt`, see M3. */
  note(lane: LaneName, acceptedAt: EpochMs): void {
    const isNamed = this.#lanes.get(lane.pool)?.lanes.some((known) => laneName(known) === laneName(lane));
    if (isNamed === false) this.#lanes.delete(lane.pool);
    const last = this.#pages.get(laneName(lane))?.page.places.at(-1);
    if (last !== undefined && acceptedAt <= last.score) this.forgetLane(lane);
  }

  forgetLane(lane: LaneName): void {
    this.#pages.delete(laneName(lane));
  }

  forgetPool(pool: string): void {
    for (const lane of this.#lanes.get(pool)?.lanes ?? []) this.forgetLane(lane);
    this.#lanes.delete(pool);
  }

  forgetStale(now: EpochMs): void {
    for (const known of [this.#lanes, this.#pages])
      for (const [name, { at }] of known) if (!isFresh(at, now)) known.delete(name);
  }
}

export function laneName({ pool, priority, tenant }: LaneName): string {
  return JSON.stringify([pool, priority, tenant]);
}

function isFresh(at: EpochMs, now: EpochMs): boolean {
  return now - at < FRESH_MS && now >= at;
}

function split(page: LanePage, limit: number): readonly [LanePage, LanePage | undefined] {
  if (page.jobs.length <= limit) return [page, undefined];
  const { jobs, places, next } = page;
  const first = { jobs: jobs.slice(0, limit), places: places.slice(0, limit), next: places[limit - 1] };
  return [first, { jobs: jobs.slice(limit), places: places.slice(limit), next }];
}
