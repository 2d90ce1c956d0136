// The bench still runs: some hundred jobs, with every measure that a long run reports.
import { execFile } from "node:child_process";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const FLAGS = ["--conditions=source", "--disable-warning=ExperimentalWarning"];
const MAIN = join(import.meta.dirname, "../bench/main.ts");
const run = promisify(execFile);

it("a short run of the bench measures jobs, waits and CPU time", async () => {
  const { stdout } = await run(process.execPath, [
    ...FLAGS,
    MAIN,
    "--tiny",
    "--scenario",
    "sqlite",
    "--only",
    "cordum dev",
  ]);
  expect(stdout).toContain("| cordum dev |");
  const path = stdout.trim().split("\n").at(-1) ?? "";
  const said = JSON.parse(await readFile(path, "utf8"));
  await rm(path);
  const [row] = said.scenarios[0].data.rows;
  expect(row.serialMs.jobs).toBe(5);
  expect(row.serialMs.p50).toBeGreaterThan(0);
  const [round] = row.rounds;
  expect(round.jobs).toBeGreaterThanOrEqual(50);
  expect(round.jobsPerSecond).toBeCloseTo(round.jobs / round.seconds);
  expect(round.cpuMicros.system).toBeGreaterThan(0);
  expect(round.answerMsP99).toBeGreaterThanOrEqual(round.answerMsP50);
});

it("says what it knows when asked for something else", async () => {
  const asked = run(process.execPath, [...FLAGS, MAIN, "--scenario", "nobody"]);
  await expect(asked).rejects.toThrow(/there is no scenario nobody\n.*npm run bench/);
});
