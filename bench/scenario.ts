// What every scenario is.
// Owns:          the shape of a scenario and of what it says in the end, how large it is at each scale.
// Must not know: any scenario.

import type { Effort } from "./campaign.ts";

/** full: for numbers to be believed; quick: to see where they lie; tiny: to see that the bench works. */
export type Scale = "full" | "quick" | "tiny";

export interface Context {
  readonly scale: Scale;
  readonly effort: Effort;
  /** Only entrants of these names; empty: all. */
  readonly only: readonly string[];
  readonly slots?: number | undefined;
  readonly connections?: number | undefined;
  say(line: string): void;
}

/** One of the goals that the project has set itself. */
export interface Goal {
  readonly goal: string;
  readonly measured: number;
  readonly atLeast?: number;
  readonly atMost?: number;
}

export interface Section {
  readonly title: string;
  readonly table: Table;
  /** Sentences below the table. */
  readonly notes?: readonly string[];
  readonly goals?: readonly Goal[];
  readonly versions?: { readonly [program: string]: string };
  /** All numbers, for the file. */
  readonly data: unknown;
}
export type Table = readonly { readonly [column: string]: string | number }[];

export interface Scenario {
  readonly name: string;
  readonly about: string;
  /** Run when nothing is named. */
  readonly isUsual: boolean;
  readonly needsServers: boolean;
  run(context: Context): Promise<Section>;
}
