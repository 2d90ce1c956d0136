// One round: jobs from the first request to the last end, and what they cost.
// Owns:          the measures of a round, waiting for the last job.
// Must not know: who is measured, how rounds are put together.

import type { Contender, Totals } from "./contender.ts";
import { BATCH_JOBS, percentile } from "./load.ts";

export interface Round {
  readonly jobs: number;
  readonly seconds: number;
  readonly jobsPerSecond: number;
  /** Time of a POST under load. */
  readonly answerMsP50: number;
  readonly answerMsP99: number;
  /** Per job, by process; all but the load together in `all`. */
  readonly cpuMicros: { readonly [process: string]: number };
  readonly redisReads: number;
  readonly redisScripts: number;
  readonly published: number;
  readonly rssMiB: number;
}

const SILENCE_MS_MAX = 20_000;

/** `wanted` jobs, or some more to fill the last batch. */
export async function runRound(contender: Contender, wanted: number): Promise<Round> {
  const jobs = Math.ceil(wanted / BATCH_JOBS) * BATCH_JOBS;
  const endedBefore = await contender.ended();
  const before = await contender.totals();
  const startedAt = performance.now();
  const { refused, latenciesMs } = await contender.submit(jobs);
  if (refused > 0) throw new Error(`${contender.kind}: ${refused} of ${jobs} submits were refused`);
  await untilEnded(contender, endedBefore + jobs, startedAt);
  const seconds = (performance.now() - startedAt) / 1000;
  const after = await contender.totals();
  return {
    jobs,
    seconds,
    jobsPerSecond: jobs / seconds,
    answerMsP50: percentile(latenciesMs, 0.5),
    answerMsP99: percentile(latenciesMs, 0.99),
    cpuMicros: cpuPerJob(before, after, jobs),
    redisReads: (after.redisReads - before.redisReads) / jobs,
    redisScripts: (after.redisScripts - before.redisScripts) / jobs,
    published: (after.published - before.published) / jobs,
    rssMiB: after.rssBytes / 1_048_576,
  };
}

/** Looks when the end is near, not all the time: looking costs those who are measured. */
async function untilEnded(contender: Contender, wanted: number, startedAt: number): Promise<void> {
  let seen = await contender.ended();
  let changedAt = performance.now();
  const first = seen;
  while (seen < wanted) {
    const now = performance.now();
    const perMs = Math.max(seen - first, 1) / (now - startedAt);
    const leftMs = (wanted - seen) / Math.max(perMs, 0.1);
    await new Promise((resolve) => setTimeout(resolve, Math.min(100, Math.max(10, leftMs / 2))));
    const before = seen;
    seen = await contender.ended();
    if (seen > before) changedAt = now;
    if (now - changedAt > SILENCE_MS_MAX)
      throw new Error(`${contender.kind}: ${wanted - seen} jobs have not ended, and none has for 20 s`);
  }
}

function cpuPerJob(before: Totals, after: Totals, jobs: number): Round["cpuMicros"] {
  const perJob: Record<string, number> = {};
  let all = 0;
  for (const [name, micros] of Object.entries(after.cpuMicros)) {
    const spent = (micros - (before.cpuMicros[name] ?? 0)) / jobs;
    perJob[name] = spent;
    if (name !== "load") all += spent;
  }
  return { all, ...perJob };
}
