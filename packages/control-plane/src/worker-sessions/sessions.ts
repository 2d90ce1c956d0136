// All sessions of this process.
// Owns:          which workers are connected here; what is heard once for all of them; looks, and the end of the process.
// Must not know: sockets, HTTP, frames.
// A1. Of one worker there is one session: the newest. The others of all processes hear of it by a doorbell and end; one that does not hear
//     ends when its socket is found dead, and what was rung for there is found by a look.
// A2. Cancels are heard once for all sessions, and go to the one that holds the job.
// A3. A look (handover.ts, H4) follows soon after the start of a session, when old ones of the same worker are gone for sure, now and then,
//     and after each gap in what the bus brought.
// A4. An order ends the sessions of a worker in all processes (revoker.ts); the worker may come back, with a key that counts.

import { parsePacket, SESSION_CLOSE, SUBJECTS } from "@cordum/protocol";
import type { Subscription } from "../ports/bus.ts";
import { messageOf } from "../ports/fault.ts";
import type { EpochMs, Ms } from "../ports/time.ts";
import { RefusalPace } from "./refusal-pace.ts";
import type { RevocationOrder } from "./revocations.ts";
import { Revoker } from "./revoker.ts";
import { type SessionEvents, WorkerSession } from "./session.ts";
import type { FrameSocket, OnRefused, SessionParts } from "./session-parts.ts";
import type { SessionWorker } from "./session-worker.ts";

const NEWS_SUBJECT = "cordum.event.worker";
const NEWS_MS: Ms = 2_000;
const IN_FLIGHT_MAX = 256;
const WATCH_MS: Ms = 2_000;
/** After the start of a session: by then those who were told have left; by then a dead socket has been found out. */
const LOOKS_AFTER_MS: readonly Ms[] = [5_000, 60_000];
const LOOK_EVERY_MS: Ms = 120_000;
const LOOKS_AT_ONCE = 16;

interface Entry {
  readonly session: WorkerSession;
  readonly startedAt: EpochMs;
  looks: number;
  lookAt: EpochMs;
}

export class WorkerSessions {
  readonly #parts: SessionParts;
  readonly #revoker: Revoker;
  readonly #all = new Set<WorkerSession>();
  readonly #byWorker = new Map<string, Entry>();
  readonly #ofTenant = new Map<string, number>();
  readonly #pace = new RefusalPace();
  #subscriptions: readonly Subscription[] = [];
  #isClosing = false;

  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.#revoker = new Revoker(parts);
  }

  get size(): number {
    return this.#all.size;
  }

  async start(): Promise<void> {
    const { bus } = this.#parts;
    const rest = { keep: false, inFlightMax: IN_FLIGHT_MAX };
    this.#subscriptions = await Promise.all([
      bus.subscribe({ subject: SUBJECTS.jobCancel, ...rest }, async (bytes) => this.#hearCancel(bytes)),
      bus.subscribe({ subject: NEWS_SUBJECT, ...rest }, async (bytes) => this.#hearNews(bytes)),
    ]);
  }

  /** Watches over sessions until `signal` fires. */
  async run(signal: AbortSignal): Promise<void> {
    while (await this.#parts.clock.sleep(WATCH_MS, signal)) {
      for (const session of this.#all) session.watch();
      await this.#lookWhereDue();
      await this.#revoker.watch();
      this.#parts.meter.gauge("cordum_gateway_worker_sessions", this.#all.size);
    }
  }

  /** A worker with a key for `tenant` has connected. */
  open(socket: FrameSocket, tenant: string, onRefused: OnRefused): WorkerSession {
    const events: SessionEvents = {
      onRefused,
      welcome: (session, worker) => this.#welcome(session, worker),
      ended: (session) => this.#forget(session, tenant),
      refused: () => this.#pace.note(tenant, this.#parts.clock.mono()),
    };
    const session = new WorkerSession(socket, tenant, this.#parts, events);
    this.#all.add(session);
    this.#ofTenant.set(tenant, (this.#ofTenant.get(tenant) ?? 0) + 1);
    const full = this.#isFull(tenant);
    if (full !== undefined) session.end(SESSION_CLOSE.FULL, full);
    return session;
  }

  /** Ends the sessions of the worker, here and elsewhere. False: it has none. Faults: SESSION_LIMIT, STATE_*, BUS_*. */
  revoke(order: RevocationOrder, signal: AbortSignal): Promise<boolean> {
    return this.#revoker.revoke(order, signal);
  }

  /** The bus was away or lost messages. */
  catchUp(): void {
    this.#revoker.catchUp();
    const now = this.#parts.clock.now();
    for (const entry of this.#byWorker.values()) entry.lookAt = now;
  }

  /** No jobs are handed over here any more; workers are told to go elsewhere. */
  async leave(): Promise<void> {
    this.#isClosing = true;
    await Promise.all([...this.#all].map((session) => session.leave("this process is about to end")));
  }

  async close(signal: AbortSignal): Promise<void> {
    this.#isClosing = true;
    for (const session of this.#all) session.end(SESSION_CLOSE.RESTARTING, "this process ends");
    await Promise.all(this.#subscriptions.map((subscription) => subscription.drain(signal)));
  }

  #isFull(tenant: string): string | undefined {
    const { sessionsMax, sessionsOfTenantMax } = this.#parts.limits;
    if (this.#isClosing) return "this process is about to end";
    if (this.#all.size > sessionsMax) return `this process has ${sessionsMax} workers already`;
    if ((this.#ofTenant.get(tenant) ?? 0) > sessionsOfTenantMax)
      return `the tenant has ${sessionsOfTenantMax} workers here already`;
    return undefined;
  }

  #welcome(session: WorkerSession, worker: SessionWorker): string | undefined {
    if (this.#isClosing) return "this process is about to end";
    const before = this.#byWorker.get(worker.workerId);
    const startedAt = this.#parts.clock.now();
    const [firstLookMs = LOOK_EVERY_MS] = LOOKS_AFTER_MS;
    this.#byWorker.set(worker.workerId, { session, startedAt, looks: 0, lookAt: startedAt + firstLookMs });
    this.#revoker.hold({
      ...{ worker, startedAt },
      end: () => session.end(SESSION_CLOSE.REVOKED, "an operator has ended this session"),
    });
    before?.session.end(SESSION_CLOSE.REPLACED, "this worker has connected anew");
    void this.#tell(worker, startedAt);
    return undefined;
  }

  #forget(session: WorkerSession, tenant: string): void {
    if (!this.#all.delete(session)) return;
    const left = (this.#ofTenant.get(tenant) ?? 1) - 1;
    if (left === 0) this.#ofTenant.delete(tenant);
    else this.#ofTenant.set(tenant, left);
    const { worker } = session;
    if (worker !== undefined) this.#revoker.release(worker);
    if (worker !== undefined && this.#byWorker.get(worker.workerId)?.session === session)
      this.#byWorker.delete(worker.workerId);
  }

  async #lookWhereDue(): Promise<void> {
    const now = this.#parts.clock.now();
    const due = [...this.#byWorker.values()].filter(({ session, lookAt }) => session.isDoubtful || lookAt <= now);
    for (const entry of due) {
      entry.looks++;
      const soonMs = LOOKS_AFTER_MS[entry.looks];
      const everyMs = LOOK_EVERY_MS * (0.5 + this.#parts.clock.random());
      entry.lookAt = soonMs === undefined ? now + everyMs : entry.startedAt + soonMs;
    }
    for (let from = 0; from < due.length; from += LOOKS_AT_ONCE)
      await Promise.all(due.slice(from, from + LOOKS_AT_ONCE).map(({ session }) => session.look()));
  }

  #hearCancel(bytes: Uint8Array): { readonly kind: "ack" } {
    if (this.#byWorker.size === 0) return { kind: "ack" };
    const parsed = parsePacket(bytes);
    const payload = parsed.kind === "packet" ? parsed.packet.payload : undefined;
    if (payload?.kind === "jobCancel")
      for (const { session } of this.#byWorker.values()) session.cancel(payload.value.jobId, bytes);
    return { kind: "ack" };
  }

  /** To sessions of the same worker elsewhere. Whoever forges one costs a worker a reconnect. */
  async #tell({ workerId, session }: SessionWorker, at: EpochMs): Promise<void> {
    const { bus, clock, log } = this.#parts;
    try {
      const news = Buffer.from(JSON.stringify({ worker: workerId, session, at }));
      await bus.publish(NEWS_SUBJECT, news, clock.deadline(NEVER, NEWS_MS));
    } catch (error) {
      log.warn("session.news_not_sent", { workerId, reason: messageOf(error) });
    }
  }

  #hearNews(bytes: Uint8Array): { readonly kind: "ack" } {
    const news = parseNews(bytes);
    const entry = news === undefined ? undefined : this.#byWorker.get(news.worker);
    const own = entry?.session.worker?.session;
    if (news !== undefined && entry !== undefined && own !== undefined && news.session !== own) {
      const isNewer = news.at > entry.startedAt || (news.at === entry.startedAt && news.session > own);
      if (isNewer) entry.session.end(SESSION_CLOSE.REPLACED, "this worker has connected anew");
    }
    return { kind: "ack" };
  }
}

const NEVER = new AbortController().signal;

interface News {
  readonly worker: string;
  readonly session: string;
  readonly at: EpochMs;
}

function parseNews(bytes: Uint8Array): News | undefined {
  try {
    const said: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
    if (typeof said !== "object" || said === null) return undefined;
    const { worker, session, at } = Object.assign(Object.create(null), said) as { readonly [name: string]: unknown };
    const isNews = typeof worker === "string" && typeof session === "string" && typeof at === "number";
    return isNews ? { worker, session, at } : undefined;
  } catch {
    return undefined;
  }
}
