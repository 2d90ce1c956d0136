// npm run sim:long -- [options]: see USAGE
// Owns:          going from seed to seed until it is stopped, a violation is found or K seeds are done; telling how far it is.
// Must not know: any world's inside.
// L1. Ctrl-C ends it after the seed in hand, with a summary and exit code 0. A violation is printed with its seed, the invariant, the last
//     steps and the command that repeats it; the exit code is 1. L2. Without --seed it begins where nobody has been: at the time of day.

import { systemClock } from "../adapters/system/clock.ts";
import { wishOf } from "./words.ts";
import { SimulationFailure } from "./world.ts";

const USAGE = `npm run sim:long -- [options]
  --seed <n>     the first seed: the time of day in seconds
  --seeds <k>    how many, counting up: until it is stopped
  --steps <m>    steps with faults, before healing: 2500
  --world <w>    jobs, or toy: a small world that shows the simulation itself`;

const PROGRESS_MS = 10_000;
const clock = systemClock();
const defaults = { seed: Math.floor(clock.now() / 1_000), seeds: 0, steps: 2_500 };
const { seed: from, seeds, steps, world } = wishOf(USAGE, defaults);

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

console.log(`simulating from seed ${from}, ${seeds === 0 ? "until it is stopped" : `${seeds} seeds`}`);
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
