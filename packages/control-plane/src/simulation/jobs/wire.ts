// Connections between workers and gateways in a simulated world, as WebSockets are: frames in order, until the connection is cut.
// Owns:          which nodes take connections; the way of a frame; cuts, and when each side notices.
// Must not know: what a frame says.
// E1. Frames of one direction arrive in the order in which they were sent, or not at all: what was under way when it was cut is lost.
// E2. Whoever dies is noticed by the other side late, as with real connections.

import type { Clock } from "../../ports/clock.ts";
import type { Ms } from "../../ports/time.ts";
import type { FrameSocket } from "../../worker-sessions/session-parts.ts";
import type { ProcessPorts } from "../process.ts";

const TRANSIT_MS = 30;
/** Shorter than the quiet before what must succeed is asked for (capacity.ts, QUIET_MS). */
const NOTICED_MS = 8_000;
/** One frame in so many cuts the connection, while things go wrong. */
const CUT_ONCE = 150;

type Signal = AbortSignal;

/** The gateway's side of a connection. */
export interface Served {
  receive(frame: Uint8Array): void;
  closed(reason: string): void;
}
export type Serve = (socket: FrameSocket, tenant: string) => Served;

interface Station {
  readonly who: string;
  readonly clock: Clock;
  readonly signal: Signal;
  readonly serve: Serve;
}

export interface Connection {
  send(frame: Uint8Array): void;
  close(): void;
  /** Fires when the worker has noticed that the connection is gone. */
  readonly gone: AbortSignal;
}

export interface Dial {
  readonly who: string;
  readonly tenant: string;
  readonly ports: ProcessPorts;
  /** A frame has come from the gateway. */
  onFrame(frame: Uint8Array): void;
}

export class Wire {
  /** Nothing is cut any more. */
  isHealed = false;
  cuts = 0;
  readonly #stations = new Map<string, Station>();
  readonly #links = new Set<Link>();

  /** A node takes connections; until its life ends. */
  listen(who: string, { clock, signal }: ProcessPorts, serve: Serve): void {
    this.#stations.set(who, { who, clock, signal, serve });
  }

  /** Undefined: no node takes connections. */
  dial(dial: Dial): Connection | undefined {
    const stations = [...this.#stations.values()];
    const station = stations[dial.ports.chance.below(Math.max(1, stations.length))];
    if (station === undefined) return undefined;
    const link = new Link(
      dial,
      station,
      () => this.#mayCut(dial),
      () => this.#links.delete(link),
    );
    this.#links.add(link);
    return link;
  }

  noteLife(who: string, what: "begun" | "ended"): void {
    if (what === "begun") return;
    this.#stations.delete(who);
    for (const link of [...this.#links]) link.noteDeath(who);
  }

  #mayCut({ ports }: Dial): boolean {
    if (this.isHealed || !ports.chance.once(CUT_ONCE)) return false;
    this.cuts++;
    return true;
  }
}

class Link implements Connection {
  readonly #dial: Dial;
  readonly #station: Station;
  readonly #mayCut: () => boolean;
  readonly #onEnd: () => void;
  readonly #gone = new AbortController();
  readonly #served: Served;
  #isOpen = true;
  #up: Promise<unknown> = Promise.resolve();
  #down: Promise<unknown> = Promise.resolve();

  constructor(dial: Dial, station: Station, mayCut: () => boolean, onEnd: () => void) {
    this.#dial = dial;
    this.#station = station;
    this.#mayCut = mayCut;
    this.#onEnd = onEnd;
    this.#served = station.serve(
      { send: async (frame) => this.#reply(frame), close: (_, reason) => this.#closeFromGateway(reason) },
      dial.tenant,
    );
  }

  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  send(frame: Uint8Array): void {
    if (this.#mayCut()) this.#cut();
    this.#up = this.#up
      .then(() => this.#transit(this.#station.clock, this.#station.signal))
      .then(() => this.#isOpen && this.#served.receive(frame));
  }

  close(): void {
    this.#cut();
  }

  noteDeath(who: string): void {
    if (who === this.#station.who) this.#end("worker", NOTICED_MS);
    else if (who === this.#dial.who) this.#end("gateway", NOTICED_MS);
  }

  #reply(frame: Uint8Array): void {
    if (this.#mayCut()) this.#cut();
    this.#down = this.#down
      .then(() => this.#transit(this.#dial.ports.clock, this.#dial.ports.signal))
      .then(() => this.#isOpen && this.#dial.onFrame(frame));
  }

  /** What it said before still arrives. */
  #closeFromGateway(reason: string): void {
    void reason;
    void this.#down.then(() => this.#end("worker", TRANSIT_MS));
  }

  #cut(): void {
    this.#end("worker", NOTICED_MS / 4);
    this.#end("gateway", NOTICED_MS);
  }

  /** That side hears of it within so many milliseconds. Its clock stands still when it is dead. */
  #end(side: "worker" | "gateway", withinMs: Ms): void {
    this.#isOpen = false;
    this.#onEnd();
    const { clock, signal } = side === "worker" ? this.#dial.ports : this.#station;
    const tell = side === "worker" ? () => this.#gone.abort() : () => this.#served.closed("the connection has ended");
    void clock.sleep(this.#dial.ports.chance.below(withinMs), signal).then(tell);
  }

  #transit(clock: Clock, signal: Signal): Promise<boolean> {
    return clock.sleep(this.#dial.ports.chance.below(TRANSIT_MS), signal);
  }
}
