// Ending sessions by order.
// Owns:          in which sessions here an order is heeded, how processes ring each other, when orders are read again.
// Must not know: sockets, frames, jobs, who may give an order.
// O1. Whoever holds a session of a worker listens on a subject of that worker: so whoever gives an order knows whether there is a session.
// O2. A ring says that there may be an order, never that there is: whoever forges one costs a read. One that is lost costs REREAD_MS.
// O3. While State is away nothing ends; what was rung for meanwhile is looked for again with every watch.

import { directSubject } from "@cordum/protocol";
import type { Subscription } from "../ports/bus.ts";
import { messageOf } from "../ports/fault.ts";
import type { EpochMs, Ms } from "../ports/time.ts";
import { loadRevocations, orderRevocation, type RevocationOrder } from "./revocations.ts";
import type { SessionParts } from "./session-parts.ts";
import type { SessionWorker } from "./session-worker.ts";

export const REREAD_MS: Ms = 10_000;
const SUBJECT = "cordum.event.session";
const RING = Buffer.from("{}");
const RINGS_AT_ONCE = 4;
const TENANTS_AT_ONCE = 16;
const RING_MS: Ms = 2_000;
const READ_MS: Ms = 5_000;
const NEVER = new AbortController().signal;

export interface Revocable {
  readonly worker: SessionWorker;
  readonly startedAt: EpochMs;
  end(): void;
}

interface Entry extends Revocable {
  /** Undefined: nobody hears a ring for it. */
  ear: Promise<Subscription | undefined>;
}

export class Revoker {
  readonly #parts: SessionParts;
  /** By session. */
  readonly #entries = new Map<string, Entry>();
  #rereadAt: Ms = 0;

  constructor(parts: SessionParts) {
    this.#parts = parts;
  }

  hold(session: Revocable): void {
    this.#entries.set(session.worker.session, { ...session, ear: this.#listen(session) });
  }

  release({ session }: SessionWorker): void {
    const entry = this.#entries.get(session);
    this.#entries.delete(session);
    if (entry !== undefined) void this.#hang(entry);
  }

  /** Ends the sessions of the worker that there are now, in whatever process. False: there are none. Faults: SESSION_LIMIT, STATE_*, BUS_*. */
  async revoke(order: RevocationOrder, signal: AbortSignal): Promise<boolean> {
    const { clock, settings } = this.#parts;
    if (!(await this.#isHeld(order.workerId, signal))) return false;
    await orderRevocation(order, this.#parts, clock.deadline(signal, settings.storeTimeoutMs));
    await Promise.all([this.#ringAgain(order.workerId, signal), this.#heed(order.tenant)]);
    return true;
  }

  /** Call often. */
  async watch(): Promise<void> {
    const now = this.#parts.clock.mono();
    if (now < this.#rereadAt || this.#entries.size === 0) return;
    this.#rereadAt = now + REREAD_MS;
    for (const entry of this.#entries.values()) if ((await entry.ear) === undefined) entry.ear = this.#listen(entry);
    const tenants = [...new Set([...this.#entries.values()].map(({ worker }) => worker.tenant))];
    for (let from = 0; from < tenants.length; from += TENANTS_AT_ONCE)
      await Promise.all(tenants.slice(from, from + TENANTS_AT_ONCE).map((tenant) => this.#heed(tenant)));
  }

  /** Rings may have been lost. */
  catchUp(): void {
    this.#rereadAt = 0;
  }

  async #isHeld(workerId: string, signal: AbortSignal): Promise<boolean> {
    for (const { worker } of this.#entries.values()) if (worker.workerId === workerId) return true;
    return (await this.#ring(workerId, signal)) === "heard";
  }

  #ring(workerId: string, signal: AbortSignal): Promise<"heard" | "nobody"> {
    const { bus, clock } = this.#parts;
    return bus.deliver(subjectOf(workerId), RING, clock.deadline(signal, RING_MS));
  }

  /** The order is given; who does not hear of it reads it. */
  async #ringAgain(workerId: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#ring(workerId, signal);
    } catch (error) {
      this.#parts.log.warn("session.order_not_rung", { workerId, reason: messageOf(error) });
    }
  }

  async #listen({ worker: { workerId, tenant } }: Revocable): Promise<Subscription | undefined> {
    const spec = { subject: subjectOf(workerId), keep: false, inFlightMax: RINGS_AT_ONCE };
    try {
      return await this.#parts.bus.subscribe(spec, async () => {
        await this.#heed(tenant);
        return { kind: "ack" };
      });
    } catch (error) {
      this.#parts.log.warn("session.orders_not_heard", { workerId, reason: messageOf(error) });
      return undefined;
    }
  }

  async #hang({ ear }: Entry): Promise<void> {
    const { clock, log } = this.#parts;
    try {
      await (await ear)?.drain(clock.deadline(NEVER, RING_MS));
    } catch (error) {
      log.warn("session.not_cleaned_up", { reason: messageOf(error) });
    }
  }

  async #heed(tenant: string): Promise<void> {
    const here = [...this.#entries.values()].filter(({ worker }) => worker.tenant === tenant);
    if (here.length === 0) return;
    const since = Math.min(...here.map(({ startedAt }) => startedAt));
    try {
      const orders = await loadRevocations(tenant, since, this.#parts, this.#parts.clock.deadline(NEVER, READ_MS));
      for (const { worker, startedAt, end } of here) {
        const orderedAt = orders.get(worker.ownId);
        if (orderedAt !== undefined && orderedAt >= startedAt) end();
      }
    } catch (error) {
      this.#rereadAt = 0;
      this.#parts.log.warn("session.orders_not_read", { tenant, reason: messageOf(error) });
    }
  }
}

function subjectOf(workerId: string): string {
  return `${SUBJECT}.${directSubject(workerId)}`;
}
