// The workers that this process has heard of.
// Owns:          who is alive, what each can do, and which jobs this process has out with each.
// Must not know: State, Bus, how a worker is chosen (placement.ts).
// G1. A worker is alive for 30 s after its last heartbeat, not counting a time in which this process could hear nobody.
// G2. Heartbeats correct, they do not grant: a slot is taken when a job is placed and given back when it ends, so that a burst between
//     two heartbeats does not go to one worker. A heartbeat may have been written before the last results: jobs that ended within
//     CROSSING_MS before it came are not believed to be out because it counts them. It would be five seconds until the next one.
//     Of several placers each has a share of a worker's slots (placers.ts).
// G3. Absence of an announcement is not "not ready": only a worker that announced topics is limited to them (announcements.ts).
// G4. A worker whose heartbeat names a tenant works for that tenant alone. The label can only narrow: it is set by gateways, for workers
//     that connect with a key, and whoever has credentials of the bus and sets it itself gets less, not more. Such a worker listens on its
//     own subject or nowhere: what goes to a topic may go to anybody. A new session label says that it is within reach (again).
// G5. What others say of a worker (recall) counts until it speaks itself, and never for longer than its own word would have: who starts
//     knows a fleet at once, and brings nobody back to life.

import type { EpochMs, Ms } from "../ports/time.ts";
import { type Announcement, Announcements, isLater } from "./announcements.ts";
import type { Placers } from "./placers.ts";
import { RecentIds } from "./recent-ids.ts";
import { virtualPool } from "./routing.ts";

export const WORKER_TTL_MS: Ms = 30_000;
/** Whoever may publish on the bus can make up workers: beyond these, one that is not known is not taken in. */
export const WORKERS_MAX = 10_000;
/** Slots of a worker that does not say how many it has. */
const UNSTATED_CAPACITY = 100;
const RELEASED_MAX = 8_192;
/** Labels that a gateway sets for the workers that are connected to it. */
export const TENANT_LABEL = "cordum.tenant";
export const SESSION_LABEL = "cordum.session";
/** Label of a heartbeat by which our SDK tells one start of a worker from the next. */
export const INSTANCE_LABEL = "cordum.instance";
/** Of a packet with a heartbeat or handshake: what they say is kept as long as the worker is. */
export const PRESENCE_BYTES_MAX = 16_384;
/** A worker counts a job until the bus has confirmed its result, which takes long where everything is busy. */
const CROSSING_MS: Ms = 2_000;

export interface Heartbeat {
  readonly workerId: string;
  /** Changes when the worker is started anew; "" when it does not say. */
  readonly instance: string;
  readonly pool: string;
  readonly region: string;
  readonly type: string;
  readonly activeJobs: number;
  readonly capacity: number;
  readonly cpuLoad: number;
  readonly gpuUtilization: number;
  readonly memoryLoad: number;
  readonly capabilities: readonly string[];
  readonly labels: { readonly [label: string]: string };
}

export interface Worker {
  readonly id: string;
  readonly heartbeat: Heartbeat;
  readonly seenAt: EpochMs;
  /** The only tenant whose jobs it may get; undefined: all tenants'. */
  readonly tenant: string | undefined;
  /** Announced topics; undefined when it announced none. */
  readonly topics: ReadonlySet<string> | undefined;
  readonly announcedAt: EpochMs | undefined;
  readonly pools: ReadonlySet<string>;
  /** Where deliveries have found it: on its own subject (assumed until shown otherwise), on its topics, or nowhere. */
  readonly listens: Listens;
  readonly isDraining: boolean;
  /** Jobs that are out with it, by our own count. */
  readonly busy: number;
  readonly free: number;
}

export type Listens = "directly" | "on_topic" | "nowhere";

/** A worker as another process has known it. */
export interface Recalled {
  readonly heartbeat: Heartbeat;
  readonly seenAt: EpochMs;
  readonly announcement: Announcement | undefined;
}

/** A slot of a worker that a dispatch takes. */
export interface Reservation {
  readonly workerId: string;
  readonly jobId: string;
  readonly dispatchId: string;
}

interface Entry {
  heartbeat: Heartbeat;
  seenAt: EpochMs;
  /** It has not spoken to this process yet, see G5. */
  isHearsay: boolean;
  announcement: Announcement | undefined;
  pools: ReadonlySet<string>;
  listens: Listens;
  /** Deliveries in a row that found nobody, and when the next may be tried. */
  misses: number;
  tryAgainAt: EpochMs;
  /** Dispatches of ours that are out with it, and their jobs. */
  slots: Map<string, string>;
  /** When jobs ended that its last heartbeat may have counted, oldest first. */
  ended: EpochMs[];
}

export class Registry {
  readonly #placers: Placers;
  readonly #entries = new Map<string, Entry>();
  readonly #announcements = new Announcements();
  /** Workers of which a job holds a slot, by dispatch: more than one while commits for the same job race. */
  readonly #slotsOf = new Map<string, Map<string, string>>();
  /** Jobs whose slot was given back lately, because this process handled their result before it overheard it. */
  readonly #released = new RecentIds(RELEASED_MAX);
  #listeningSince: EpochMs | undefined;
  #listener: (worker: Pick<Worker, "pools">) => void = () => undefined;
  #drained: ReadonlySet<string> = new Set();

  constructor(placers: Placers) {
    this.#placers = placers;
  }

  /** `listener` hears of each slot that a job gives back, and must not throw. */
  listen(listener: (worker: Pick<Worker, "pools">) => void): void {
    this.#listener = listener;
  }

  /** From now on silence means something. Called again after a time in which this process could hear nobody: of that time nobody's
   *  silence counts, or every short loss of the bus would cost all running jobs. */
  startListening(now: EpochMs): void {
    this.#listeningSince = now;
  }

  /** Workers that get no new jobs by an operator's order, whatever they say themselves. */
  drainOnly(drained: ReadonlySet<string>): void {
    this.#drained = drained;
  }

  hasListenedFor(ms: Ms, now: EpochMs): boolean {
    return this.#listeningSince !== undefined && now - this.#listeningSince > ms;
  }

  /** False when it is unknown and there are too many: then its heartbeat is not heard. */
  hasRoomFor(workerId: string): boolean {
    return this.#entries.size < WORKERS_MAX || this.#entries.has(workerId);
  }

  /** True when the worker is new, was gone, or is another incarnation: what it had is to be looked at. */
  hear(heartbeat: Heartbeat, now: EpochMs): boolean {
    const id = heartbeat.workerId;
    const known = this.#entries.get(id);
    const announcement = this.#announcements.of(id);
    if (known === undefined) {
      this.#entries.set(id, newEntry({ heartbeat, seenAt: now, isHearsay: false, announcement }));
      return true;
    }
    const pools = poolsOf(heartbeat.pool, announcement);
    const wasGone = known.isHearsay || known.heartbeat.instance !== heartbeat.instance || this.#isSilent(known, now);
    const ended = wasGone ? [] : known.ended.filter((at) => now - at < CROSSING_MS);
    const isBack = known.heartbeat.labels[SESSION_LABEL] !== heartbeat.labels[SESSION_LABEL];
    Object.assign(known, { heartbeat, seenAt: now, isHearsay: false, announcement, pools, ended });
    if (isBack) Object.assign(known, { listens: "directly", misses: 0 });
    if (wasGone || (known.listens === "nowhere" && now >= known.tryAgainAt)) known.listens = "directly";
    return wasGone;
  }

  /** A handshake: the worker says which topics it serves. True when that is news. */
  announce(workerId: string, topics: readonly string[], now: EpochMs): boolean {
    if (topics.length === 0) return false;
    return this.#note(workerId, { topics: new Set(topics), saidAt: now }, now);
  }

  #note(workerId: string, announcement: Announcement, now: EpochMs): boolean {
    const isNews = this.#announcements.note(workerId, announcement, now, this.#isKnown);
    const entry = this.#entries.get(workerId);
    if (entry === undefined) return isNews;
    const news = { pools: poolsOf(entry.heartbeat.pool, announcement), listens: "directly", misses: 0 };
    Object.assign(entry, { announcement }, isNews ? news : {});
    return isNews;
  }

  /** What another process knew of a worker, see G5: false when this process knows better, or it is too old. */
  recall({ heartbeat, seenAt }: Recalled, now: EpochMs): boolean {
    const { workerId } = heartbeat;
    if (now - seenAt > WORKER_TTL_MS || this.#entries.has(workerId) || !this.hasRoomFor(workerId)) return false;
    const announcement = this.#announcements.of(workerId);
    const about = { heartbeat, seenAt: Math.min(seenAt, now), isHearsay: true, announcement };
    this.#entries.set(workerId, newEntry(about));
    return true;
  }

  /** What another process heard a worker announce, which may do so only once. False when this process has heard that, or later. */
  recallTopics({ heartbeat: { workerId }, announcement }: Recalled, now: EpochMs): boolean {
    if (announcement === undefined || !isLater(announcement, this.#announcements.of(workerId))) return false;
    return this.#note(workerId, { ...announcement, saidAt: Math.min(announcement.saidAt, now) }, now);
  }

  /** Whether another process knows less than this one of what a living worker has announced. */
  knowsLater({ heartbeat: { workerId }, announcement }: Recalled, now: EpochMs): boolean {
    return this.find(workerId, now) !== undefined && isLater(this.#announcements.of(workerId), announcement);
  }

  /** Takes a slot before the dispatch is committed. The caller has chosen a worker that is alive. */
  reserve({ workerId, jobId, dispatchId }: Reservation): void {
    const entry = this.#entries.get(workerId);
    if (entry === undefined) return;
    entry.slots.set(dispatchId, jobId);
    const slots = this.#slotsOf.get(jobId);
    if (slots === undefined) this.#slotsOf.set(jobId, new Map([[dispatchId, workerId]]));
    else slots.set(dispatchId, workerId);
  }

  /** Gives the slot of a dispatch back that was not committed: the worker never had it. */
  withdraw(jobId: string, dispatchId: string): void {
    this.#drop(jobId, dispatchId);
  }

  /** The job is out with this dispatch now and with no other; undefined: with none. */
  keepOnly(jobId: string, dispatchId: string | undefined, now: EpochMs): void {
    for (const other of this.#slotsOf.get(jobId)?.keys() ?? []) if (other !== dispatchId) this.#end(jobId, other, now);
  }

  /** Gives back what one dispatch holds, if it still does. */
  endDispatch({ jobId, dispatchId }: Reservation, now: EpochMs): void {
    if (this.#slotsOf.get(jobId)?.has(dispatchId)) this.#end(jobId, dispatchId, now);
  }

  /** The slots that this process holds, of each worker the oldest first. */
  *held(): Iterable<Reservation> {
    for (const [workerId, { slots }] of this.#entries)
      for (const [dispatchId, jobId] of slots) yield { workerId, jobId, dispatchId };
  }

  /** A job that is out with the worker since before this process knew it. Beside other placers it is theirs, or counted by the worker. */
  adopt(reservation: Reservation, now: EpochMs): void {
    if (this.#placers.isAlone(now) && !this.#slotsOf.has(reservation.jobId)) this.reserve(reservation);
  }

  /** Gives back what the job holds. False when that was nothing. */
  release(jobId: string, now: EpochMs): boolean {
    const held = this.#slotsOf.get(jobId);
    if (held === undefined) return false;
    for (const dispatchId of held.keys()) this.#end(jobId, dispatchId, now);
    return true;
  }

  /** A delivery to `worker.<id>.jobs`, or to the topic, has found nobody. */
  noteMissed(workerId: string, direct: boolean, now: EpochMs): void {
    const entry = this.#entries.get(workerId);
    if (entry === undefined) return;
    if (direct && tenantOf(entry.heartbeat) === undefined) {
      if (entry.listens === "directly") entry.listens = "on_topic";
      return;
    }
    if (entry.listens === "nowhere") return; // of a burst of deliveries the first counts
    const tryAgainAt = now + missDelayMs(entry.misses);
    Object.assign(entry, { listens: "nowhere", misses: entry.misses + 1, tryAgainAt });
  }

  noteHeard(workerId: string): void {
    const entry = this.#entries.get(workerId);
    if (entry !== undefined) entry.misses = 0;
  }

  find(workerId: string, now: EpochMs): Worker | undefined {
    const entry = this.#entries.get(workerId);
    return entry === undefined || this.#isSilent(entry, now) ? undefined : this.#view(workerId, entry, now);
  }

  alive(now: EpochMs): readonly Worker[] {
    const workers: Worker[] = [];
    for (const [id, entry] of this.#entries) if (!this.#isSilent(entry, now)) workers.push(this.#view(id, entry, now));
    return workers;
  }

  /** Of the pool's workers that serve the tenant; of all of them, without one. */
  freeSlots(pool: string, now: EpochMs, tenant?: string): number {
    let free = 0;
    for (const [id, entry] of this.#entries) {
      if (!entry.pools.has(pool) || this.#isSilent(entry, now)) continue;
      const worker = this.#view(id, entry, now);
      if (tenant === undefined || servesTenant(worker, tenant)) free += worker.free;
    }
    return free;
  }

  /** A result was overheard: whoever has handled it, the worker has one job less. */
  noteEnded(jobId: string, workerId: string, now: EpochMs): void {
    if (this.release(jobId, now) || this.#released.delete(jobId)) return;
    this.#entries.get(workerId)?.ended.push(now);
  }

  /** Does this placer answer for what becomes of the worker's jobs? One of the living ones does. */
  isKeeperOf(workerId: string, now: EpochMs): boolean {
    return this.#placers.shareOf(workerId, 1, now) === 1;
  }

  #view(id: string, entry: Entry, now: EpochMs): Worker {
    return view(id, entry, this.#room(id, entry, now), this.#drained.has(id));
  }

  #end(jobId: string, dispatchId: string, now: EpochMs): void {
    const entry = this.#drop(jobId, dispatchId);
    this.#released.add(jobId);
    if (entry === undefined) return;
    entry.ended.push(now);
    this.#listener(entry);
  }

  #drop(jobId: string, dispatchId: string): Entry | undefined {
    const slots = this.#slotsOf.get(jobId);
    const workerId = slots?.get(dispatchId);
    if (slots === undefined || workerId === undefined) return undefined;
    slots.delete(dispatchId);
    if (slots.size === 0) this.#slotsOf.delete(jobId);
    const entry = this.#entries.get(workerId);
    return entry?.slots.delete(dispatchId) ? entry : undefined;
  }

  /** Slots that this placer may take now: of its share, and of what the worker has left. */
  #room(workerId: string, entry: Entry, now: EpochMs): number {
    const capacity = capacityOf(entry.heartbeat);
    const share = this.#placers.shareOf(workerId, capacity, now);
    return Math.max(0, Math.min(share - entry.slots.size, capacity - busyOf(entry)));
  }

  /** Forgets workers that have been silent for too long, and returns their ids. */
  expire(now: EpochMs): readonly string[] {
    const lost: string[] = [];
    for (const [id, entry] of this.#entries) {
      if (!this.#isSilent(entry, now)) continue;
      // Whoever has heard it looks at its jobs.
      if (!entry.isHearsay || entry.slots.size > 0) lost.push(id);
      this.#entries.delete(id);
      for (const [dispatchId, jobId] of entry.slots) this.#drop(jobId, dispatchId);
    }
    this.#announcements.expire(now, this.#isKnown);
    return lost;
  }

  readonly #isKnown = (workerId: string): boolean => this.#entries.has(workerId);

  #isSilent(entry: Entry, now: EpochMs): boolean {
    const since = entry.isHearsay ? entry.seenAt : Math.max(entry.seenAt, this.#listeningSince ?? entry.seenAt);
    return now - since > WORKER_TTL_MS;
  }
}

function newEntry(about: Pick<Entry, "heartbeat" | "seenAt" | "isHearsay" | "announcement">): Entry {
  const pools = poolsOf(about.heartbeat.pool, about.announcement);
  return { ...about, pools, listens: "directly", misses: 0, tryAgainAt: 0, slots: new Map(), ended: [] };
}

function missDelayMs(misses: number): Ms {
  return Math.min(60_000, 5_000 * 2 ** Math.min(misses, 10));
}

function poolsOf(pool: string, announcement: Announcement | undefined): ReadonlySet<string> {
  const pools = new Set<string>();
  if (pool !== "") pools.add(pool);
  for (const topic of announcement?.topics ?? []) pools.add(virtualPool(topic));
  return pools;
}

/** Whether a worker may get jobs of the tenant, see G4. */
export function servesTenant(worker: Pick<Worker, "tenant">, tenant: string): boolean {
  return worker.tenant === undefined || worker.tenant === tenant;
}

function tenantOf({ labels }: Heartbeat): string | undefined {
  return labels[TENANT_LABEL];
}

function capacityOf({ capacity }: Heartbeat): number {
  return capacity > 0 ? capacity : UNSTATED_CAPACITY;
}

/** By our own count, or by the worker's as far as it is known to be right: jobs of other placers are in it. */
function busyOf(entry: Entry): number {
  return Math.max(entry.slots.size, entry.heartbeat.activeJobs - entry.ended.length, 0);
}

function view(id: string, entry: Entry, room: number, isDrained: boolean): Worker {
  const { heartbeat } = entry;
  // One job finds out whether a worker that was missed listens again; the others wait for its word.
  const trial = entry.misses === 0 ? room : Math.min(room, entry.slots.size === 0 ? 1 : 0);
  const isDraining = isDrained || heartbeat.labels.draining === "true" || heartbeat.capacity < 0;
  return {
    id,
    heartbeat,
    seenAt: entry.seenAt,
    tenant: tenantOf(heartbeat),
    topics: entry.announcement?.topics,
    announcedAt: entry.announcement?.saidAt,
    pools: entry.pools,
    listens: entry.listens,
    isDraining,
    busy: busyOf(entry),
    free: isDraining || entry.listens === "nowhere" ? 0 : trial,
  };
}
