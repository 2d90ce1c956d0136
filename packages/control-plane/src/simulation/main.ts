// npm run sim -- --seed N --steps M [--world jobs|toy] [--bug name] [--seeds K [--all]] [--trace]
// Owns:          the command: runs one seed (or K, counting up), prints trace hash, what was done and what went wrong. With --all a
//                failing seed is one line and the next follows.
// Must not know: any world's inside.

import { parseArgs } from "node:util";
import { runJobs } from "./jobs/job-world.ts";
import { type RunSummary, type SimRun, summarize } from "./run.ts";
import { BUGS, type Bug } from "./toy/counter.ts";
import { runToy } from "./toy/toy-world.ts";
import { SimulationFailure } from "./world.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    seeds: { type: "string", default: "1" },
    steps: { type: "string", default: "4000" },
    world: { type: "string", default: "jobs" },
    bug: { type: "string", default: "none" },
    trace: { type: "boolean", default: false },
    all: { type: "boolean", default: false },
  },
});

const bug: Bug = BUGS.find((name) => name === values.bug) ?? "none";
const worlds = new Map<string, (run: SimRun) => Promise<RunSummary>>([
  ["jobs", (run) => runJobs(run)],
  ["toy", (run) => runToy(run, bug)],
]);
const startedAt = performance.now();
let steps = 0;
let failed = 0;

const world = worlds.get(values.world);
const numbers = [values.seed, values.seeds, values.steps].map(Number);
if (!numbers.every((number) => Number.isSafeInteger(number) && number >= 0)) {
  console.error("--seed, --seeds and --steps are whole numbers");
  process.exit(2);
}
if (world === undefined) {
  console.error(`no world ${values.world}; there are ${[...worlds.keys()].join(", ")}`);
  process.exit(2);
}
for (let nth = 0; nth < Number(values.seeds); nth++) {
  const seed = Number(values.seed) + nth;
  try {
    const print = values.trace ? { print: (line: string) => console.log(line) } : {};
    const summary = await world({ seed, steps: Number(values.steps), ...print });
    steps += summary.world.steps;
    console.log(`seed ${seed}: ${summarize(summary)}`);
  } catch (error) {
    if (!(error instanceof SimulationFailure)) throw error;
    failed++;
    console.error(values.all ? `seed ${seed}: ${error.message.split("\n", 1)[0]}` : error.message);
    if (!values.all) process.exit(1);
  }
}
const seconds = (performance.now() - startedAt) / 1_000;
console.log(`${steps} steps in ${seconds.toFixed(1)} s, ${Math.round(steps / seconds)} steps/s`);
if (failed > 0) process.exitCode = 1;
