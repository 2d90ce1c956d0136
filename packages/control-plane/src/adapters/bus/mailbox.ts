// Messages of one subscription: waiting, running, to be repeated. For every bus that does not do it by itself.
// Owns:          order, lanes, the limit of running handlers, repetition.
// Must not know: subjects of others, groups, who published.
// M1. At most `inFlightMax` handlers run; the rest waits in order. Waiting, parked and postponed messages together are at most
//     `waitingMax`; `isFull` tells the publisher before that is passed.
// M2. Of one lane at most one handler runs. A message that asked for "later" gives its lane free and comes back at the lane's end:
//     a lane that waited for it could stand still for hours.
// M3. A handler that throws is a "later": 100 ms, twice as long each time, 30 s at most, spread by half. At delivery 10 it is refused.
// M4. After drain nothing is accepted; what waits is handled; what was postponed is given up and counted in the log.

import type { Handle, SubscriptionSpec, Verdict } from "../../ports/bus.ts";
import type { Clock } from "../../ports/clock.ts";
import { assert, unreachable } from "../../ports/fault.ts";
import type { Log } from "../../ports/telemetry.ts";
import type { Ms } from "../../ports/time.ts";
import type { NextTurn } from "../system/turn.ts";
import { Queue } from "./queue.ts";

export const DELIVERIES_MAX = 10;
const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 30_000;
/** Handlers started before the event loop gets a turn for I/O. */
const STARTS_PER_TURN = 512;

interface Message {
  readonly subject: string;
  readonly bytes: Uint8Array;
  readonly lane: string | undefined;
  deliveries: number;
  holdsLane: boolean;
}

export interface MailboxOptions {
  readonly spec: SubscriptionSpec;
  readonly handle: Handle;
  readonly waitingMax: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly nextTurn: NextTurn;
}

export class Mailbox {
  readonly #options: MailboxOptions;
  readonly #ready = new Queue<Message>();
  /** A lane is here while one of its messages runs; its queue holds the others. */
  readonly #lanes = new Map<string, Queue<Message>>();
  readonly #stop = new AbortController();
  #running = 0;
  #parked = 0;
  #postponed = 0;
  #scheduled = false;
  #draining = false;
  #onIdle: (() => void)[] = [];

  constructor(options: MailboxOptions) {
    assert(options.spec.inFlightMax >= 1, "a subscription may run at least one handler", {
      subject: options.spec.subject,
    });
    this.#options = options;
  }

  get isFull(): boolean {
    return this.#ready.size + this.#parked + this.#postponed >= this.#options.waitingMax;
  }

  /** Never runs a handler before it returns. */
  accept(subject: string, bytes: Uint8Array): void {
    this.#enqueue({ subject, bytes, lane: this.#laneOf(bytes), deliveries: 0, holdsLane: false });
  }

  /** Ends when everything that waited was handled; when `signal` fires the running handlers' signals fire and the rest is given up. */
  async drain(signal: AbortSignal): Promise<void> {
    this.#draining = true;
    if (this.#running > 0 || this.#ready.size > 0) await this.#idleOr(signal);
    const left = this.#ready.size + this.#parked + this.#postponed;
    if (left > 0)
      this.#options.log.warn("bus.messages_given_up", { subject: this.#options.spec.subject, messages: left });
    this.#stop.abort();
  }

  #idleOr(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        signal.removeEventListener("abort", end);
        resolve();
      };
      this.#onIdle.push(end);
      signal.addEventListener("abort", end, { once: true });
      if (signal.aborted) end();
    });
  }

  #laneOf(bytes: Uint8Array): string | undefined {
    try {
      return this.#options.spec.laneOf?.(bytes);
    } catch (error) {
      this.#options.log.error("bus.lane_failed", error, { subject: this.#options.spec.subject });
      return undefined; // bytes that nobody can read need no order
    }
  }

  #enqueue(message: Message): void {
    this.#ready.put(message);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#stop.signal.aborted || this.#running >= this.#options.spec.inFlightMax) return;
    this.#scheduled = true;
    this.#options.nextTurn(() => this.#pump());
  }

  #pump(): void {
    this.#scheduled = false;
    for (let starts = 0; starts < STARTS_PER_TURN && this.#running < this.#options.spec.inFlightMax; starts++) {
      const message = this.#stop.signal.aborted ? undefined : this.#ready.take();
      if (message === undefined) return;
      if (!this.#park(message)) this.#start(message);
    }
    if (this.#ready.size > 0) this.#schedule();
  }

  /** True when a message of the same lane is under way: then this one waits behind it. */
  #park(message: Message): boolean {
    if (message.lane === undefined || message.holdsLane) return false;
    const lane = this.#lanes.get(message.lane);
    if (lane === undefined) {
      this.#lanes.set(message.lane, new Queue());
      message.holdsLane = true;
      return false;
    }
    lane.put(message);
    this.#parked++;
    return true;
  }

  #start(message: Message): void {
    this.#running++;
    message.deliveries++;
    this.#run(message).then(
      (verdict) => this.#settle(message, verdict),
      (error: unknown) => this.#settle(message, this.#onThrow(message, error)),
    );
  }

  async #run(message: Message): Promise<Verdict> {
    const about = { delivery: message.deliveries, subject: message.subject };
    return this.#options.handle(message.bytes, about, this.#stop.signal);
  }

  #onThrow(message: Message, error: unknown): Verdict {
    const { log, clock } = this.#options;
    log.error("bus.handler_failed", error, { subject: message.subject, delivery: message.deliveries });
    if (message.deliveries >= DELIVERIES_MAX) return { kind: "refuse", reason: "too_many_deliveries" };
    const growingMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** (message.deliveries - 1));
    return { kind: "later", inMs: growingMs * (0.5 + clock.random() / 2) };
  }

  #settle(message: Message, verdict: Verdict): void {
    this.#running--;
    if (message.lane !== undefined) this.#passLane(message, message.lane);
    switch (verdict.kind) {
      case "ack":
        break;
      case "later":
        void this.#postpone(message, verdict.inMs);
        break;
      case "refuse":
        this.#options.log.warn("bus.message_refused", { subject: message.subject, reason: verdict.reason });
        break;
      default:
        unreachable(verdict);
    }
    if (this.#ready.size > 0) this.#schedule();
    else if (this.#running === 0) this.#tellIdle();
  }

  /** The next of the lane holds it from now on, so whatever comes before its start parks behind it. */
  #passLane(message: Message, name: string): void {
    message.holdsLane = false;
    const lane = this.#lanes.get(name);
    const next = lane?.take();
    if (next === undefined) {
      this.#lanes.delete(name);
      return;
    }
    this.#parked--;
    next.holdsLane = true;
    this.#ready.put(next);
  }

  async #postpone(message: Message, inMs: Ms): Promise<void> {
    this.#postponed++;
    if (this.#draining || !(await this.#options.clock.sleep(inMs, this.#stop.signal))) return;
    this.#postponed--;
    this.#enqueue(message);
  }

  #tellIdle(): void {
    const told = this.#onIdle;
    this.#onIdle = [];
    for (const tell of told) tell();
  }
}
