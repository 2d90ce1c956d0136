// A simulated process.
// Owns:          what a process is to the world: a name, a way to start, the ports it is given, one life at a time.
// Must not know: what it does; how calls are scheduled.
// P1. A life that has ended (crashed) never runs again: no promise of it settles, no timer fires, no message reaches it.
// P2. Whoever is started again begins with nothing but what State holds.

import type { SeededRandom } from "../adapters/system/seeded-random.ts";
import type { Bus } from "../ports/bus.ts";
import type { Clock } from "../ports/clock.ts";
import type { Payloads } from "../ports/payloads.ts";
import type { State } from "../ports/state.ts";
import type { Log, Meter } from "../ports/telemetry.ts";

export interface ProcessPorts {
  readonly state: State;
  readonly payloads: Payloads;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  /** For what a modelled client or worker decides by chance; production code rolls dice with the clock. */
  readonly chance: SeededRandom;
  /** Never fires: processes are killed, not asked to stop. It is one per life, so what an ended life left on it is garbage. */
  readonly signal: AbortSignal;
  /** 1 for the first life. */
  readonly life: number;
  /** The process has ended by itself, in order; it is started again later. */
  exit(): void;
  /** `hear` is called when the bus is there again after it was away. */
  onGap(hear: () => void): void;
}

export interface SimProcess {
  readonly name: string;
  /** False for what stands for the outside world and must not forget. */
  readonly mayCrash: boolean;
  /** Builds and runs the process. May return when everything is set up. A rejection is a crash. */
  start(ports: ProcessPorts): Promise<void>;
}

export class Life {
  readonly process: SimProcess;
  readonly number: number;
  readonly label: string;
  isAlive = true;
  /** Who wants to hear that the bus was away. */
  readonly gaps: (() => void)[] = [];

  constructor(process: SimProcess, number: number) {
    this.process = process;
    this.number = number;
    this.label = `${process.name}#${number}`;
  }
}
