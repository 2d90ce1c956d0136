// The bench: what a job costs, beside others who do less.
// Owns:          the order of things: servers, scenarios, tables, the file.
// Must not know: how anything is measured. Run: npm run bench [-- --help]

import { mkdir, writeFile } from "node:fs/promises";
import { cpus, loadavg, platform, totalmem } from "node:os";
import { join } from "node:path";
import { ensureServers } from "@cordum/control-plane/testing/ensure-servers";
import bullmq from "bullmq/package.json" with { type: "json" };
import { planOf, USAGE } from "./plan.ts";
import { goalTable, markdownOf } from "./report.ts";
import type { Goal, Section } from "./scenario.ts";

const RESULTS = join(import.meta.dirname, "results");
const words = process.argv.slice(2);
if (words.includes("--help")) {
  console.log(USAGE);
  process.exit(0);
}
const { scenarios, context } = planOf(words);
const { effort } = context;
const say = (line: string): void => void (process.stderr.isTTY && process.stderr.write(`${line}\n`));
if (scenarios.some(({ needsServers }) => needsServers)) ensureServers();
if (effort.profileFolder !== undefined) await mkdir(effort.profileFolder, { recursive: true });

const machine = {
  node: process.version,
  platform: platform(),
  cpus: cpus().length,
  model: cpus()[0]?.model ?? "",
  memoryGiB: Math.round(totalmem() / 2 ** 30),
};
const startedAt = new Date();
const done: { readonly name: string; readonly load: Loads; readonly seconds: number; readonly section: Section }[] = [];
for (const { name, run } of scenarios) {
  const before = loadNow();
  const from = performance.now();
  const section = await run({ ...context, say });
  const seconds = Math.round((performance.now() - from) / 1_000);
  const load = { before, after: loadNow() };
  done.push({ name, load, seconds, section });
  console.log(`\n### ${name}: ${section.title}\n\n${markdownOf(section.table)}\n`);
  for (const note of section.notes ?? []) console.log(note);
  console.log(`${seconds} s; load of the machine ${load.before.toFixed(1)} before, ${load.after.toFixed(1)} after.`);
}
const goals: readonly Goal[] = done.flatMap(({ section }) => section.goals ?? []);
if (goals.length > 0) console.log(`\n### Goals\n\n${markdownOf(goalTable(goals))}`);

interface Loads {
  readonly before: number;
  readonly after: number;
}
function loadNow(): number {
  return loadavg()[0] ?? Number.NaN;
}

const versions = Object.assign({ bullmq: bullmq.version }, ...done.map(({ section }) => section.versions));
await mkdir(RESULTS, { recursive: true });
const path = join(RESULTS, `${startedAt.toISOString().replaceAll(":", "-")}.json`);
const took = { startedAt: startedAt.toISOString(), endedAt: new Date().toISOString() };
const scenariosDone = done.map(({ section, ...about }) => ({
  ...about,
  title: section.title,
  goals: section.goals,
  data: section.data,
}));
const everything = { ...took, machine, versions, scale: context.scale, effort, scenarios: scenariosDone };
await writeFile(path, JSON.stringify(everything, undefined, 1));
const isShared = Math.max(...done.map(({ load }) => load.before)) > 0.5;
console.log(`
Medians of ${effort.rounds} alternating rounds of about ${effort.roundSeconds} s after ${effort.warmUpJobs} jobs each, in brackets the least and the greatest; scale: ${context.scale}.
Jobs are no-ops, from the request to the stored end. CPU: microseconds of a job by process; "all" is without the load. Serial: one job at
a time, by a caller who asks until it has ended. Scripts: calls of Redis scripts a job. Publishes: messages a job that NATS got from its clients.
${machine.cpus} × ${machine.model}, ${machine.memoryGiB} GiB, ${machine.platform}, Node ${machine.node}, ${Object.entries(
  versions,
)
  .map(([name, version]) => `${name} ${version}`)
  .join(
    ", ",
  )}.${isShared ? "\nThe machine had other work before this run or from it: trust ratios and CPU per job, not rates." : ""}
${path}`);
