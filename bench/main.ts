// A first look at speed: POST to terminal through the one-process system.
// Usage: npm run bench [-- jobs connections]. Prints a table and a line of JSON; measures wall time and CPU of the system's process.

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { percentile, send } from "./load.ts";

interface Reading {
  readonly ended: number;
  readonly cpuMicros: { readonly user: number; readonly system: number };
  readonly rssBytes: number;
}

const jobs = Number(process.argv[2] ?? "20000");
const connections = Number(process.argv[3] ?? "64");
const ROUNDS = 5;
const child = fork(fileURLToPath(new URL("./system.ts", import.meta.url)), { execArgv: process.execArgv });
const [{ url }] = (await once(child, "message")) as [{ url: string }];
const load = {
  url: new URL(url),
  apiKey: "bench-key",
  body: JSON.stringify({ prompt: "bench", topic: "job.bench" }),
  connections,
};

await run(child, Math.min(2_000, jobs));
const rounds = [];
for (let round = 0; round < ROUNDS; round++) rounds.push(await run(child, jobs));
child.send("stop");

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
console.log(
  `${jobs} jobs a round, ${connections} connections, ${ROUNDS} rounds after a warm-up, Node ${process.version}, ${process.platform}`,
);
console.table(rounds);
const summary = {
  jobsPerSecond: median(rounds.map((round) => round.jobsPerSecond)),
  cpuMicrosPerJob: median(rounds.map((round) => round.cpuMicrosPerJob)),
  answerMsP50: median(rounds.map((round) => round.answerMsP50)),
  answerMsP99: median(rounds.map((round) => round.answerMsP99)),
};
console.log(JSON.stringify(summary));

async function run(system: ChildProcess, requests: number) {
  const before = await read(system);
  const startedAt = performance.now();
  const result = await send({ ...load, requests }, "/api/v1/jobs");
  if (result.refused > 0) throw new Error(`${result.refused} of ${requests} submits were refused`);
  let after = await read(system);
  while (after.ended < before.ended + requests) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    after = await read(system);
  }
  const seconds = (performance.now() - startedAt) / 1000;
  const cpu = after.cpuMicros.user + after.cpuMicros.system - before.cpuMicros.user - before.cpuMicros.system;
  return {
    jobsPerSecond: Math.round(requests / seconds),
    cpuMicrosPerJob: Math.round(cpu / requests),
    answerMsP50: round2(percentile(result.latenciesMs, 0.5)),
    answerMsP99: round2(percentile(result.latenciesMs, 0.99)),
    rssMiB: Math.round(after.rssBytes / 1_048_576),
  };
}

async function read(system: ChildProcess): Promise<Reading> {
  system.send("read");
  const [reading] = (await once(system, "message")) as [Reading];
  return reading;
}

function round2(value: number): number {
  return Math.round(value * 100) / 100;
}
