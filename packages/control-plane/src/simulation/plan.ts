// What a simulation is asked for, and what it answers.
// Owns:          the options of a world, the plan of a run, its report; what an invariant is and sees.
// Must not know: how a step is made.

import type { Dump, MemoryState } from "../adapters/memory/memory-state.ts";
import type { Clock } from "../ports/clock.ts";
import type { Payloads } from "../ports/payloads.ts";
import type { Batch } from "../ports/state.ts";
import type { EpochMs } from "../ports/time.ts";
import type { ClockErrors } from "./clock-error.ts";
import type { Faults } from "./fate.ts";
import type { SimProcess } from "./process.ts";
import type { OnPublish, OnVerdict } from "./sim-bus.ts";
import type { OnCommit } from "./sim-ports.ts";

/** Says what is wrong, or nothing. */
export type Invariant = (view: WorldView) => string | undefined;

export interface WorldView {
  readonly now: EpochMs;
  readonly isHealed: boolean;
  /** The whole store; taken once for all invariants of a check. */
  dump(): Dump;
}

export interface SimulationOptions {
  readonly seed: number;
  readonly faults: Faults;
  /** Opens the store that outlives all processes, on the world's clock. */
  openState(clock: Clock): MemoryState;
  openPayloads(clock: Clock): Payloads;
  readonly processes: readonly SimProcess[];
  readonly onCommit?: OnCommit;
  readonly onPublish?: OnPublish;
  readonly onVerdict?: OnVerdict;
  /** Hears what processes log. */
  onLog?(line: string): void;
  onLife?(who: string, what: "begun" | "ended", now: EpochMs): void;
  /** How far the clocks of processes are off; the store keeps the world's time. */
  readonly clocks?: ClockErrors;
  /** The store has forgotten `gone`; `kept` is all that it knows. */
  onFailover?(kept: readonly Batch[], gone: readonly Batch[]): void;
  /** The command that replays this run; printed with a failure. */
  readonly replay: string;
  readonly print?: (line: string) => void;
}

export interface RunPlan {
  readonly stepsMax: number;
  readonly until?: () => boolean;
  readonly check: readonly Invariant[];
  /** Steps between two checks; one more follows at the end. */
  readonly checkEvery: number;
}
export interface RunReport {
  readonly steps: number;
  /** `until` held; without one, the steps were done. */
  readonly reached: boolean;
}
