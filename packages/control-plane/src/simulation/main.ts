// npm run sim -- [options]: see USAGE
// Owns:          the command: runs one seed (or K, counting up), prints trace hash, what was done and what went wrong. With --all a
//                failing seed is one line and the next follows.
// Must not know: any world's inside.

import { summarize } from "./run.ts";
import { wishOf } from "./words.ts";
import { SimulationFailure } from "./world.ts";

const USAGE = `npm run sim -- [options]
  --seed <n>     the first seed: 1
  --seeds <k>    how many, counting up: 1
  --steps <m>    steps with faults, before healing: 4000
  --world <w>    jobs, or toy: a small world that shows the simulation itself
  --bug <name>   planted in the toy world
  --trace        print every step
  --all          go on after a failing seed`;

const flag = { type: "boolean" } as const;
const {
  seed: first,
  seeds,
  steps: stepsMax,
  world,
  own,
} = wishOf(USAGE, { seed: 1, seeds: 1, steps: 4_000 }, { bug: { type: "string" }, trace: flag, all: flag });
const startedAt = performance.now();
let steps = 0;
let failed = 0;

for (let seed = first; seed < first + seeds; seed++) {
  try {
    const print = own.trace === true ? { print: (line: string) => console.log(line) } : {};
    const summary = await world({ seed, steps: stepsMax, ...print });
    steps += summary.world.steps;
    console.log(`seed ${seed}: ${summarize(summary)}`);
  } catch (error) {
    if (!(error instanceof SimulationFailure)) throw error;
    failed++;
    console.error(own.all === true ? `seed ${seed}: ${error.message.split("\n", 1)[0]}` : error.message);
    if (own.all !== true) process.exit(1);
  }
}
const seconds = (performance.now() - startedAt) / 1_000;
console.log(`${steps} steps in ${seconds.toFixed(1)} s, ${Math.round(steps / seconds)} steps/s`);
if (failed > 0) process.exitCode = 1;
