// One simulation run, as the command and the tests ask for it.
// Owns:          the form of the question and of the answer.
// Must not know: which world it is.

import type { World } from "./world.ts";

export interface SimRun {
  readonly seed: number;
  /** Steps with faults; healing comes after them. */
  readonly steps: number;
  /** Prints each trace line as it happens. */
  readonly print?: (line: string) => void;
  /** What the command needs besides seed and steps to repeat this run. */
  readonly replaySuffix?: string;
}

export interface RunSummary {
  readonly world: World;
  /** What the world achieved, by name: a run in which nothing happened proves nothing. */
  readonly did: ReadonlyMap<string, number>;
}

/** One line for one run. */
export function summarize({ world, did }: RunSummary): string {
  const list = (counts: ReadonlyMap<string, number>): string =>
    [...counts].map(([name, count]) => `${name} ${count}`).join(", ");
  return `trace ${world.trace.hash()} after ${world.steps} steps; did: ${list(did)}; met: ${list(world.happened)}`;
}
