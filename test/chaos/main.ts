// Chaos: does the house keep its promises while everything around it breaks? Run: npm run chaos [-- --help]
// Owns:          the order of things: servers, rounds, the report, the last line, the exit code.
// Must not know: what happens in a round.

import { randomInt } from "node:crypto";
import { writeFileSync } from "node:fs";
import { cpus, platform, totalmem } from "node:os";
import { seededRandom } from "@cordum/control-plane/adapters/system/seeded-random";
import { ensureServers } from "@cordum/control-plane/testing/ensure-servers";
import { Deck } from "./deck.ts";
import { Journal } from "./journal.ts";
import { planOf, type RunPlan, roundsOf, USAGE } from "./plan.ts";
import { reportOf } from "./report.ts";
import { type RoundResult, runRound } from "./round.ts";
import { natsVersion } from "./versions.ts";

const words = process.argv.slice(2);
if (words.includes("--help")) {
  console.log(USAGE);
  process.exit(0);
}
const plan = planOf(words, randomInt(2 ** 31));
if (typeof plan === "string") {
  console.error(`${plan}\n\n${USAGE}`);
  process.exit(2);
}
ensureServers();
process.exit(await run(plan));

async function run(plan: RunPlan): Promise<number> {
  const journal = new Journal(plan.seed, console.log);
  stopOnSignal(journal);
  journal.say(`chaos for ${plan.minutes} minutes, seed ${plan.seed}, ${plan.jobsPerSecond} jobs a second`);
  const results: RoundResult[] = [];
  const deck = new Deck(seededRandom(plan.seed).fork("deck"));
  try {
    for (const round of roundsOf(plan)) {
      const result = await runRound(round, deck, journal);
      results.push(result);
      say(result, journal);
    }
  } catch (error) {
    journal.note("failure", { says: String(error), stack: error instanceof Error ? error.stack : "" });
    journal.say(`the run broke off: ${error instanceof Error ? error.stack : String(error)}`);
    console.log(`chaos: BROKE OFF, seed ${plan.seed}: ${firstLine(error)}; everything is in ${journal.folder}`);
    return 1;
  }
  if (plan.reportPath !== undefined) writeFileSync(plan.reportPath, reportOf(results, aboutOf(plan, results)));
  return conclude(plan, results, journal);
}

/** Processes and servers that were started end with this one. */
function stopOnSignal({ folder }: Journal): void {
  for (const signal of ["SIGINT", "SIGTERM"])
    process.once(signal, () => {
      console.log(`chaos: stopped; what there is so far is in ${folder}`);
      process.exit(130);
    });
}

function say({ plan, checked, counts }: RoundResult, journal: Journal): void {
  for (const { name, looked, faults } of checked) {
    journal.say(
      `${plan.name}: ${name}: ${faults.length === 0 ? "held" : `BROKEN ${faults.length}×`} (looked at ${looked})`,
    );
    for (const fault of faults.slice(0, 10)) journal.say(`    ${fault}`);
  }
  for (const [name, count] of counts) journal.say(`${plan.name}: ${name}: ${count}`);
}

function conclude(plan: RunPlan, results: readonly RoundResult[], journal: Journal): number {
  const broken = results.flatMap(({ checked }) => checked.filter(({ faults }) => faults.length > 0));
  const faults = results.reduce((sum, result) => sum + [...result.faults.values()].reduce((a, b) => a + b, 0), 0);
  const jobs = results.reduce(
    (sum, { outcome }) => sum + [...outcome.values()].flatMap((ends) => [...ends.values()]).reduce((a, b) => a + b, 0),
    0,
  );
  const did = `${results.length} rounds, ${faults} faults, ${jobs} jobs, seed ${plan.seed}`;
  if (broken.length > 0) {
    const names = [...new Set(broken.map(({ name }) => name))].join(", ");
    console.log(`chaos: BROKEN: ${names}; ${did}; everything is in ${journal.folder}`);
    return 1;
  }
  if (plan.keeps) console.log(`everything is in ${journal.folder}`);
  else journal.forget();
  console.log(`chaos: all invariants held; ${did}`);
  return 0;
}

function aboutOf({ minutes, seed }: RunPlan, results: readonly RoundResult[]) {
  const gib = Math.round(totalmem() / 2 ** 30);
  const machine = `${cpus().length} cores, ${gib} GiB of memory, ${platform()}`;
  const redis = results[0]?.versions.redis ?? "";
  return { minutes, seed, machine, versions: [`Node ${process.version}`, `Redis ${redis}`, `NATS ${natsVersion()}`] };
}

function firstLine(error: unknown): string {
  return String(error).split("\n", 1)[0] ?? "";
}
