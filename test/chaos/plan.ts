// What a run is asked for.
// Owns:          its options, and how its time is shared out.
// Must not know: what happens in a round.

import type { RoundPlan } from "./round.ts";

export const USAGE = `npm run chaos -- [options]

  --minutes N    How long all takes when nothing is wrong: two rounds, each with its peace at the end. 3 to 1440; default 20.
  --seed S       Which faults come in which order, on whom, and which jobs are asked for. Default: by chance; it is said first.
  --rate R       Jobs a second. Default 20.
  --report PATH  Writes the report as a page.
  --keep         Leaves the folder with logs and JSON lines; after a failure it is left in any case.

Ends with 0 when every invariant held, with 1 when one did not, with 2 when it was not asked rightly.`;

export interface RunPlan {
  readonly minutes: number;
  readonly seed: number;
  readonly jobsPerSecond: number;
  readonly reportPath: string | undefined;
  readonly keeps: boolean;
}

const NUMBERS = {
  "--minutes": { min: 3, max: 1_440 },
  "--seed": { min: 0, max: 4_294_967_295 },
  "--rate": { min: 1, max: 500 },
} as const;
type NumberName = keyof typeof NUMBERS;

const START_MS = 12_000;
const PEACE_MS = 25_000;
const FAULTS_MS_MIN = 20_000;

/** The text says what is wrong. */
export function planOf(words: readonly string[], anySeed: number): RunPlan | string {
  const numbers = new Map<NumberName, number>();
  let reportPath: string | undefined;
  let keeps = false;
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? "";
    if (word === "--keep") keeps = true;
    else if (word === "--report") reportPath = words[++at];
    else if (isNumberName(word)) {
      const value = Number(words[++at]);
      const { min, max } = NUMBERS[word];
      if (!(value >= min && value <= max)) return `${word} is a number from ${min} to ${max}`;
      numbers.set(word, value);
    } else return `${word} is not known`;
  }
  if (words.includes("--report") && reportPath === undefined) return "--report needs a path";
  const [minutes, jobsPerSecond] = [numbers.get("--minutes") ?? 20, numbers.get("--rate") ?? 20];
  return { minutes, seed: Math.floor(numbers.get("--seed") ?? anySeed), jobsPerSecond, reportPath, keeps };
}

/** Half of the time each. */
export function roundsOf({ minutes, seed, jobsPerSecond }: RunPlan): readonly RoundPlan[] {
  const faultsMs = Math.max(FAULTS_MS_MIN, (minutes * 60_000) / 2 - START_MS - PEACE_MS);
  const holdMsMax = Math.min(10_000, Math.max(3_000, faultsMs / 15));
  const shared = { faultsMs, holdMsMax, jobsPerSecond };
  return [
    { name: "always", style: { appendfsync: "always", replicated: false }, seed, ...shared },
    { name: "everysec and failover", style: { appendfsync: "everysec", replicated: true }, seed: seed + 1, ...shared },
  ];
}

function isNumberName(word: string): word is NumberName {
  return Object.hasOwn(NUMBERS, word);
}
