// The bench: how fast jobs get from a caller to their end, and what each costs, beside BullMQ.
// Owns:          the order of things: servers, groups, tables, the file.
// Must not know: how anything is measured. Run: npm run bench [-- --help]

import { mkdir, writeFile } from "node:fs/promises";
import { cpus, loadavg, platform } from "node:os";
import { join } from "node:path";
import { ensureServers } from "@cordum/control-plane/testing/ensure-servers";
import bullmq from "bullmq/package.json" with { type: "json" };
import { type GroupResult, measureGroup } from "./campaign.ts";
import { planOf, USAGE } from "./plan.ts";
import { jsonOf, markdownOf } from "./report.ts";

const RESULTS = join(import.meta.dirname, "results");
const words = process.argv.slice(2);
if (words.includes("--help")) {
  console.log(USAGE);
  process.exit(0);
}
const { groups, effort } = planOf(words);
const isTty = process.stderr.isTTY === true;
const say = (line: string): void => void (isTty && process.stderr.write(`${line}\n`));
if (groups.some(({ kinds }) => kinds.some((kind) => kind !== "cordum dev"))) ensureServers();

if (effort.profileFolder !== undefined) await mkdir(effort.profileFolder, { recursive: true });

const machine = { node: process.version, platform: platform(), cpus: cpus().length, model: cpus()[0]?.model ?? "" };
const startedAt = new Date().toISOString();
const loadBefore = loadavg()[0] ?? Number.NaN;
const results: GroupResult[] = [];
for (const group of groups) {
  const result = await measureGroup(group, effort, say);
  results.push(result);
  const { connections } = group.shape;
  console.log(
    `\n### ${group.name}: ${group.about}, ${connections} callers, ${effort.rounds} rounds of about ${effort.roundSeconds} s\n`,
  );
  console.log(markdownOf(result));
}

const versions = Object.assign(
  { bullmq: bullmq.version },
  ...results.flatMap(({ rows }) => rows.map((row) => row.versions)),
);
const loadAfter = loadavg()[0] ?? Number.NaN;
const about = {
  startedAt,
  endedAt: new Date().toISOString(),
  machine,
  versions,
  load: { before: loadBefore, after: loadAfter },
};
await mkdir(RESULTS, { recursive: true });
const path = join(RESULTS, `${startedAt.replaceAll(":", "-")}.json`);
await writeFile(path, JSON.stringify({ ...about, effort, groups: results.map(jsonOf) }, undefined, 1));
console.log(`
POST to the end of a no-op job; medians of alternating rounds. Serial: one job at a time, by a caller that asks until it has ended.
CPU: microseconds of a job by process. Redis reads: bundles of commands that Redis read from its sockets, per job, of all processes.
Scripts: calls of scripts. Publishes: messages that NATS got from its clients, those of JetStream's protocol included.
${machine.cpus} × ${machine.model}, Node ${machine.node}, ${Object.entries(versions)
  .map(([name, version]) => `${name} ${version}`)
  .join(", ")}.
Load of the machine before and after: ${loadBefore.toFixed(1)}, ${loadAfter.toFixed(1)}${loadBefore > 0.5 ? " — others were at work: trust ratios, not rates" : ""}.
${path}`);
