// The drain orders as this process knows them.
// Owns:          a picture of all orders, read again when news comes and now and then; telling of it.
// Must not know: what the registry does with it; who may drain.
// N1. News that are lost cost REREAD_MS. N2. While State is away the last picture holds: without State nothing is placed anyway.

import type { Bus, Subscription } from "../ports/bus.ts";
import type { Clock } from "../ports/clock.ts";
import { messageOf } from "../ports/fault.ts";
import type { State } from "../ports/state.ts";
import type { Log } from "../ports/telemetry.ts";
import type { Ms } from "../ports/time.ts";
import { hearNews, sendNews } from "../records/news.ts";
import { loadDrains, type WorkerDrain } from "./drain.ts";

export const DRAIN_SUBJECT = "cordum.event.drain";
export const REREAD_MS: Ms = 10_000;
/** After a read that failed. */
const AGAIN_MS: Ms = 1_000;
const READ_MS: Ms = 5_000;

export interface DrainsParts {
  readonly state: State;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
}

/** `taken back`: workers that were drained before and are not any more. */
export type OnDrains = (drained: ReadonlySet<string>, takenBack: readonly string[]) => void;

export class Drains {
  readonly #parts: DrainsParts;
  readonly #signal: AbortSignal;
  #orders: ReadonlyMap<string, WorkerDrain> = new Map();
  #tell: OnDrains = () => undefined;
  #reading: Promise<boolean> | undefined;
  #wasRead = false;
  /** Something changed after the read under way had begun. */
  #isStale = false;

  constructor(parts: DrainsParts, signal: AbortSignal) {
    this.#parts = parts;
    this.#signal = signal;
  }

  listen(tell: OnDrains): void {
    this.#tell = tell;
  }

  find(workerId: string): WorkerDrain | undefined {
    return this.#orders.get(workerId);
  }

  all(): readonly WorkerDrain[] {
    return [...this.#orders.values()];
  }

  hear(): Promise<Subscription> {
    return hearNews(this.#parts.bus, DRAIN_SUBJECT, () => this.refresh());
  }

  /** Reads all orders again until `signal` fires; soon where the last read failed, also one that was made before this call. */
  async run(signal: AbortSignal): Promise<void> {
    while (await this.#parts.clock.sleep(this.#wasRead ? REREAD_MS : AGAIN_MS, signal)) await this.refresh();
  }

  /** True when what is known then is at least as new as this call. Never throws for State: it is logged, and read again soon. */
  refresh(): Promise<boolean> {
    if (this.#reading !== undefined) this.#isStale = true;
    this.#reading ??= this.#readUntilFresh().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  /** Tells every process that orders have changed. Never fails. */
  announce(): Promise<void> {
    const unsent = { event: "drain.news_not_sent" };
    return sendNews({ subject: DRAIN_SUBJECT, bytes: Buffer.from("{}"), unsent }, this.#parts, this.#signal);
  }

  async #readUntilFresh(): Promise<boolean> {
    do {
      this.#isStale = false;
      this.#wasRead = await this.#read();
    } while (this.#wasRead && this.#isStale);
    return this.#wasRead;
  }

  async #read(): Promise<boolean> {
    const { state, clock, log } = this.#parts;
    try {
      this.#use(await loadDrains(state, clock.deadline(this.#signal, READ_MS)));
      return true;
    } catch (error) {
      if (!this.#signal.aborted) log.warn("drain.not_read", { reason: messageOf(error) });
      return false;
    }
  }

  #use(orders: readonly WorkerDrain[]): void {
    const before = this.#orders;
    this.#orders = new Map(orders.map((order) => [order.workerId, order]));
    const takenBack = [...before.keys()].filter((workerId) => !this.#orders.has(workerId));
    if (takenBack.length > 0 || this.#orders.size > 0 || before.size > 0)
      this.#tell(new Set(this.#orders.keys()), takenBack);
  }
}
