// The feed: what changes in jobs, for those who follow it in this process.
// Owns:          one subscription to news for all followers; reading the records that news point at; finding what news did not tell.
// Must not know: who follows, transports, what a follower does with a change.
// E1. News are a doorbell: what followers get is the record as it is stored, and a tenant's followers get that tenant's records alone. A
//     forged tenant in a news costs one read and shows nothing.
// E2. News may be lost. Every SCAN_MS the index of each followed tenant is compared with what was offered, OVERLAP_MS back: clocks of
//     processes differ, and a commit becomes visible some time after the moment that it is stamped with.
// E3. `safeAt` of a change: all that changed up to then was offered before. Whoever goes on from there misses nothing.
// E4. Nobody waits for a follower. What waits here is bounded; beyond that, followers are told that they missed something.

import { ID_CHARS_MAX } from "@cordum/protocol";
import type { Subscription } from "../ports/bus.ts";
import { messageOf } from "../ports/fault.ts";
import type { EpochMs, Ms } from "../ports/time.ts";
import { putNewest } from "../records/newest.ts";
import { JOB_NEWS_SUBJECT, parseNews } from "./announce.ts";
import { type JobChange, loadChanges, placesSince } from "./changed-since.ts";
import type { JobParts } from "./job-parts.ts";

/** A stamp is at most five seconds older than its commit (job-parts.ts, storeTimeoutMs), which is carried out within COMMIT_LATEST_MS;
 *  clocks differ by two seconds at most. */
export const OVERLAP_MS: Ms = 13_000;
export const SCAN_MS: Ms = 5_000;
/** News of one job come in bursts: the record is read once for all of them. */
const GATHER_MS: Ms = 20;
const LOADED_AT_ONCE = 100;
const NAMED_MAX = 20_000;
const OFFERED_MAX = 50_000;
const SCAN_PAGE = 500;
const SCAN_PAGES_MAX = 100;
const IN_FLIGHT_MAX = 64;

export interface Follower {
  /** Of one job: in order. Never throws, never waits. */
  heard(change: JobChange, safeAt: EpochMs): void;
  /** Something may have changed that was not and will not be offered; for who watches a job: its record is not there. */
  missed(): void;
}

interface Room {
  readonly tenant: string;
  readonly followers: Set<Follower>;
  /** By job. */
  readonly watchers: Map<string, Set<Follower>>;
  /** Who is about to follow or watch: the room stays. */
  entering: number;
  /** Named by news, not read yet. */
  readonly named: Set<string>;
  /** What was offered lately, and of which change. */
  readonly offered: Map<string, { readonly at: EpochMs; readonly version: string }>;
  /** All that changed up to OVERLAP_MS before it was offered. */
  scannedAt: EpochMs;
  reading: Promise<void> | undefined;
}

export class JobFeed {
  readonly #parts: JobParts;
  readonly #rooms = new Map<string, Room>();
  readonly #life = new AbortController();
  #listening: Promise<Subscription> | undefined;

  constructor(parts: JobParts) {
    this.#parts = parts;
  }

  /** The moment from which somebody who begins to follow now misses nothing. */
  get safeNow(): EpochMs {
    return this.#parts.clock.now() - OVERLAP_MS;
  }

  /** All changes of a tenant's jobs, from the moment at which this resolves. Gives back what ends it. Fault: BUS_UNAVAILABLE. */
  async follow(tenant: string, follower: Follower): Promise<() => void> {
    const room = await this.#enter(tenant);
    room.followers.add(follower);
    room.entering -= 1;
    return () => {
      room.followers.delete(follower);
      this.#leave(room);
    };
  }

  /** Changes of one job. */
  async watch(tenant: string, jobId: string, follower: Follower): Promise<() => void> {
    const room = await this.#enter(tenant);
    const watchers = room.watchers.get(jobId) ?? new Set();
    room.watchers.set(jobId, watchers.add(follower));
    room.entering -= 1;
    return () => {
      watchers.delete(follower);
      if (watchers.size === 0) room.watchers.delete(jobId);
      this.#leave(room);
    };
  }

  /** Compares again and again, until `signal` fires. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    while (await clock.sleep(SCAN_MS, signal)) await this.#scanAll();
  }

  /** The bus was away, or lost messages. */
  catchUp(): void {
    void this.#scanAll();
  }

  async close(deadline: AbortSignal): Promise<void> {
    this.#life.abort();
    const listening = this.#listening;
    this.#listening = undefined;
    await (await listening)?.drain(deadline);
  }

  async #enter(tenant: string): Promise<Room> {
    const known = this.#rooms.get(tenant);
    const room: Room = known ?? {
      tenant,
      followers: new Set(),
      watchers: new Map(),
      entering: 0,
      named: new Set(),
      offered: new Map(),
      scannedAt: this.#parts.clock.now(),
      reading: undefined,
    };
    this.#rooms.set(tenant, room);
    room.entering += 1;
    const listening = this.#listening ?? this.#listen();
    this.#listening = listening;
    try {
      await listening;
      return room;
    } catch (error) {
      if (this.#listening === listening) this.#listening = undefined;
      room.entering -= 1;
      this.#leave(room);
      throw error;
    }
  }

  #leave(room: Room): void {
    if (room.followers.size > 0 || room.watchers.size > 0 || room.entering > 0) return;
    if (this.#rooms.get(room.tenant) === room) this.#rooms.delete(room.tenant);
    if (this.#rooms.size > 0) return;
    const listening = this.#listening;
    this.#listening = undefined;
    void this.#hangUp(listening);
  }

  async #hangUp(listening: Promise<Subscription> | undefined): Promise<void> {
    const { clock, settings, log } = this.#parts;
    try {
      await (await listening)?.drain(clock.deadline(this.#life.signal, settings.busTimeoutMs));
    } catch (error) {
      log.warn("feed.not_hung_up", { reason: messageOf(error) });
    }
  }

  #listen(): Promise<Subscription> {
    return this.#parts.bus.subscribe(
      { subject: JOB_NEWS_SUBJECT, keep: false, inFlightMax: IN_FLIGHT_MAX },
      async (bytes) => {
        for (const { id, tenant } of parseNews(bytes)) this.#name(id, tenant);
        return { kind: "ack" };
      },
    );
  }

  #name(id: string, tenant: string): void {
    const room = this.#rooms.get(tenant);
    if (room === undefined || (room.followers.size === 0 && !room.watchers.has(id))) return;
    // Above the bound the next scan finds it.
    if (room.named.size < NAMED_MAX && id.length <= ID_CHARS_MAX) room.named.add(id);
    room.reading ??= this.#read(room);
  }

  async #read(room: Room): Promise<void> {
    const { clock } = this.#parts;
    await clock.sleep(GATHER_MS, this.#life.signal);
    while (room.named.size > 0 && !this.#life.signal.aborted) {
      const ids = [...room.named].slice(0, LOADED_AT_ONCE);
      for (const id of ids) room.named.delete(id);
      await this.#offer(room, ids);
    }
    room.reading = undefined;
  }

  /** False when State did not answer: then the next scan finds it. */
  async #offer(room: Room, ids: readonly string[]): Promise<boolean> {
    const { log } = this.#parts;
    try {
      const changes = await loadChanges(room.tenant, ids, this.#parts, this.#life.signal);
      for (const change of changes.values()) offer(room, change);
      for (const id of ids) if (!changes.has(id)) for (const watcher of room.watchers.get(id) ?? []) watcher.missed();
      return true;
    } catch (error) {
      if (!this.#life.signal.aborted)
        log.warn("feed.not_read", {
          count: ids.length,
          reason: messageOf(error),
        });
      return false;
    }
  }

  async #scanAll(): Promise<void> {
    for (const room of [...this.#rooms.values()]) await this.#scan(room);
  }

  async #scan(room: Room): Promise<void> {
    const startedAt = this.#parts.clock.now();
    if (room.followers.size === 0) {
      if (await this.#offer(room, [...room.watchers.keys()])) room.scannedAt = startedAt;
      return;
    }
    const since = room.scannedAt - OVERLAP_MS;
    if (!(await this.#compare(room, since))) return;
    if (room.watchers.size > 0 && !(await this.#offer(room, [...room.watchers.keys()]))) return;
    room.scannedAt = startedAt;
    for (const [id, { at }] of room.offered) if (at < startedAt - OVERLAP_MS) room.offered.delete(id);
  }

  async #compare(room: Room, since: EpochMs): Promise<boolean> {
    const { log } = this.#parts;
    let after: { readonly score: number; readonly member: string } | undefined;
    for (let page = 0; page < SCAN_PAGES_MAX; page++) {
      const query = { tenant: room.tenant, since, limit: SCAN_PAGE, ...(after === undefined ? {} : { after }) };
      try {
        const { entries, next } = await placesSince(query, this.#parts, this.#life.signal);
        const missing = entries.filter(({ member, score }) => (room.offered.get(member)?.at ?? 0) < score);
        for (let from = 0; from < missing.length; from += LOADED_AT_ONCE) {
          const ids = missing.slice(from, from + LOADED_AT_ONCE).map(({ member }) => member);
          if (!(await this.#offer(room, ids))) return false;
        }
        if (next === undefined) return true;
        after = next;
      } catch (error) {
        if (!this.#life.signal.aborted) log.warn("feed.not_scanned", { reason: messageOf(error) });
        return false;
      }
    }
    for (const follower of room.followers) follower.missed();
    return true;
  }
}

function offer(room: Room, change: JobChange): void {
  const { job, version } = change;
  const before = room.offered.get(job.id);
  if (before?.version === version || (before?.at ?? 0) > job.updatedAt) return;
  putNewest(room.offered, job.id, { at: job.updatedAt, version }, OFFERED_MAX);
  const safeAt = room.scannedAt - OVERLAP_MS;
  for (const follower of room.followers) follower.heard(change, safeAt);
  for (const watcher of room.watchers.get(job.id) ?? []) watcher.heard(change, safeAt);
}
