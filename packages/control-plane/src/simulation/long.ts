// npm run sim:long -- [--seed N] [--seeds K] [--steps M] [--world jobs|toy]
// Owns:          going from seed to seed until it is stopped, a violation is found or K seeds are done; telling how far it is.
// Must not know: any world's inside.
// L1. Ctrl-C ends it after the seed in hand, with a summary and exit code 0. A violation is printed with its seed, the invariant, the last
//     steps and the command that repeats it; the exit code is 1. L2. Without --seed it begins where nobody has been: at the time of day.

import { parseArgs } from "node:util";
import { systemClock } from "../adapters/system/clock.ts";
import { runJobs } from "./jobs/job-world.ts";
import type { RunSummary, SimRun } from "./run.ts";
import { runToy } from "./toy/toy-world.ts";
import { SimulationFailure } from "./world.ts";

const PROGRESS_MS = 10_000;
const clock = systemClock();

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: String(Math.floor(clock.now() / 1_000)) },
    seeds: { type: "string", default: "0" },
    steps: { type: "string", default: "2500" },
    world: { type: "string", default: "jobs" },
  },
});
const [from, seeds, steps] = [values.seed, values.seeds, values.steps].map(Number);
const isUsable = [from, seeds, steps].every((number) => Number.isSafeInteger(number) && (number ?? -1) >= 0);
if (!isUsable || from === undefined || seeds === undefined || steps === undefined) {
  console.error("--seed, --seeds and --steps are whole numbers");
  process.exit(2);
}
const worlds = new Map<string, (run: SimRun) => Promise<RunSummary>>([
  ["jobs", (run) => runJobs(run)],
  ["toy", (run) => runToy(run, "none")],
]);
const world = worlds.get(values.world);
if (world === undefined) {
  console.error(`no world ${values.world}; there are ${[...worlds.keys()].join(", ")}`);
  process.exit(2);
}

let isStopped = false;
process.on("SIGINT", () => {
  if (isStopped) process.exit(130); // asked twice
  isStopped = true;
});
process.on("SIGTERM", () => {
  isStopped = true;
});

const startedAt = clock.mono();
let done = 0;
let stepsDone = 0;
let toldAt = startedAt;

/** "1,200 seeds (77 to 1276), 6,900,000 steps, 311 seeds/min" */
function summary(): string {
  const minutes = (clock.mono() - startedAt) / 60_000;
  const rate = done === 0 ? 0 : Math.round(done / minutes);
  return `${done} seeds (from ${from}), ${stepsDone} steps, ${rate} seeds/min`;
}

console.log(`simulating ${values.world} from seed ${from}, ${seeds === 0 ? "until it is stopped" : `${seeds} seeds`}`);
while (!isStopped && (seeds === 0 || done < seeds)) {
  const seed = from + done;
  try {
    stepsDone += (await world({ seed, steps })).world.steps;
  } catch (error) {
    if (!(error instanceof SimulationFailure)) throw error;
    console.error(`VIOLATION in seed ${seed}: ${error.message}`);
    console.error(`after ${summary()}`);
    process.exit(1);
  }
  done++;
  if (clock.mono() - toldAt >= PROGRESS_MS) {
    toldAt = clock.mono();
    console.log(summary());
  }
}
console.log(`no violation in ${summary()}`);
