// Rounds of several contenders in turn, so that whatever else the machine does meets all of them alike.
// Owns:          warming up, the size of a round, the order of rounds, medians.
// Must not know: what is measured in a round, how results are shown.
// M1. A round takes about as long for everybody: the number of jobs follows from the pace of the warm-up.
// M2. Rounds alternate, and every second time in the opposite order.
// M3. Everybody is warm before the first round, by jobs and not by seconds: V8 compiles by what code was asked to do.

import { type Contender, type Kind, type Shape, startContender } from "./contender.ts";
import { percentile } from "./load.ts";
import { type Round, runRound } from "./round.ts";

export interface Entrant {
  readonly name: string;
  readonly kind: Kind;
  readonly shape: Shape;
}
export interface Effort {
  readonly rounds: number;
  readonly roundSeconds: number;
  readonly warmUpJobs: number;
  /** Jobs one at a time, in each round. */
  readonly serialJobs: number;
  /** Where to write CPU profiles of the rounds. */
  readonly profileFolder?: string | undefined;
}

export interface Row {
  readonly name: string;
  readonly rounds: readonly Round[];
  /** Milliseconds from a request to the seen end, of all rounds, ascending. */
  readonly serialMs: readonly number[];
  readonly versions: { readonly [server: string]: string };
}

const FIRST_JOBS = 100;
const WARM_UP_STEP = 5_000;
const JOBS_MAX = 100_000;

export async function measure(
  entrants: readonly Entrant[],
  effort: Effort,
  say: (line: string) => void,
): Promise<readonly Row[]> {
  await using started = new AsyncDisposableStack();
  const runners: Runner[] = [];
  for (const { name, kind, shape } of entrants) {
    const contender = started.use(await startContender(kind, shape));
    runners.push(await warmUp(name, contender, effort));
    say(`${name} is warm, ${runners.at(-1)?.jobs} jobs a round`);
  }
  for (const { contender } of runners)
    if (effort.profileFolder !== undefined) await contender.profileInto(effort.profileFolder);
  for (let round = 0; round < effort.rounds; round++) {
    for (const runner of round % 2 === 0 ? runners : runners.toReversed()) {
      runner.rounds.push(await runRound(runner.contender, runner.jobs));
      runner.serialMs.push(...(await runner.contender.serial(effort.serialJobs)));
    }
    say(`round ${round + 1} of ${effort.rounds}`);
  }
  const rows: Row[] = [];
  for (const { name, contender, rounds, serialMs } of runners) {
    const { versions } = await contender.totals();
    rows.push({ name, rounds, serialMs: serialMs.toSorted((a, b) => a - b), versions });
  }
  return rows;
}

interface Runner {
  readonly name: string;
  readonly contender: Contender;
  readonly jobs: number;
  readonly rounds: Round[];
  readonly serialMs: number[];
}

/** Runs until code is compiled and the pace is known. */
async function warmUp(name: string, contender: Contender, effort: Effort): Promise<Runner> {
  await runRound(contender, FIRST_JOBS);
  for (let left = effort.warmUpJobs; left > 0; left -= WARM_UP_STEP)
    await runRound(contender, Math.min(left, WARM_UP_STEP));
  await contender.serial(Math.ceil(effort.serialJobs / 2));
  const { jobsPerSecond } = await runRound(contender, Math.max(FIRST_JOBS, effort.warmUpJobs / 10));
  const jobs = Math.min(JOBS_MAX, Math.max(FIRST_JOBS, jobsPerSecond * effort.roundSeconds));
  return { name, contender, jobs: Math.round(jobs), rounds: [], serialMs: [] };
}

export interface Middle {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Of the middle one of an even number the upper. */
export function middleOf(values: readonly number[]): Middle {
  const ascending = values.toSorted((a, b) => a - b);
  return { median: percentile(ascending, 0.5), min: ascending[0] ?? Number.NaN, max: ascending.at(-1) ?? Number.NaN };
}

/** Round by round, since both met the same machine: `ours` divided by `theirs`. */
export function ratioOf(ours: Row, theirs: Row, measured: (round: Round) => number): Middle {
  const ratios = ours.rounds.map((round, n) => {
    const other = theirs.rounds[n];
    return other === undefined ? Number.NaN : measured(round) / measured(other);
  });
  return middleOf(ratios);
}
