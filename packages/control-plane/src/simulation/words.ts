// The words of a command line that asks for a simulation.
// Owns:          what is common to `npm run sim` and `npm run sim:long`: seeds, steps, the world; the answer to what cannot be meant.
// Must not know: any world's inside; what is done with the seeds.

import { type ParseArgsOptionsConfig, parseArgs } from "node:util";
import { runJobs } from "./jobs/job-world.ts";
import type { RunSummary, SimRun } from "./run.ts";
import { BUGS } from "./toy/counter.ts";
import { runToy } from "./toy/toy-world.ts";

export interface Wish {
  /** The first. */
  readonly seed: number;
  readonly seeds: number;
  readonly steps: number;
  /** Throws SimulationFailure when the seed finds a fault. */
  readonly world: (run: SimRun) => Promise<RunSummary>;
  /** Options of the one command. */
  readonly own: { readonly [name: string]: string | boolean | (string | boolean)[] | undefined };
}

/** Ends the process: with 0 where help is asked for, with 2 and the usage where something cannot be meant. */
export function wishOf(
  usage: string,
  defaults: Pick<Wish, "seed" | "seeds" | "steps">,
  own: ParseArgsOptionsConfig = {},
): Wish {
  const refuse = (why: string): never => {
    console.error(`${why}\n\n${usage}`);
    process.exit(2);
  };
  const { seed, seeds, steps, world = "jobs", help, ...rest } = read(own, refuse);
  if (help === true) {
    console.log(usage);
    process.exit(0);
  }
  const number = (text: unknown, otherwise: number): number => {
    const value = text === undefined ? otherwise : Number(text);
    return Number.isSafeInteger(value) && value >= 0 ? value : refuse("--seed, --seeds and --steps are whole numbers");
  };
  const bug = BUGS.find((name) => name === rest.bug) ?? "none";
  const worlds = new Map<unknown, Wish["world"]>([
    ["jobs", (run) => runJobs(run)],
    ["toy", (run) => runToy(run, bug)],
  ]);
  return {
    seed: number(seed, defaults.seed),
    seeds: number(seeds, defaults.seeds),
    steps: number(steps, defaults.steps),
    world: worlds.get(world) ?? refuse(`no world ${world}; there are ${[...worlds.keys()].join(", ")}`),
    own: rest,
  };
}

function read(own: ParseArgsOptionsConfig, refuse: (why: string) => never): Wish["own"] {
  const text = { type: "string" } as const;
  const options = { seed: text, seeds: text, steps: text, world: text, help: { type: "boolean" } as const, ...own };
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error));
  }
}
