// Three minutes of chaos: a fleet of real processes keeps its promises while everything around it breaks. Longer: npm run chaos.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { expect, it } from "vitest";

const FLAGS = ["--conditions=source", "--disable-warning=ExperimentalWarning"];
const MAIN = join(import.meta.dirname, "chaos/main.ts");
/** Peace after each round may take its time on a busy machine: the harness itself says when it takes too long. */
const LIMIT_MS = 900_000;

function run(...words: readonly string[]): Promise<{ readonly code: number | null; readonly said: string }> {
  const child = spawn(process.execPath, [...FLAGS, MAIN, ...words], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const output of [child.stdout, child.stderr])
    output.on("data", (chunk: Buffer) => {
      said += chunk.toString("utf8");
    });
  return new Promise((resolve) => child.once("close", (code) => resolve({ code, said })));
}

it(
  "a fleet loses nothing, does nothing that is forbidden and keeps every limit under three minutes of chaos",
  async () => {
    const { code, said } = await run("--minutes", "3", "--seed", "5", "--rate", "10");
    expect(code, said.split("\n").slice(-80).join("\n")).toBe(0);
    expect(said).toMatch(/^chaos: all invariants held; 2 rounds, \d+ faults, \d+ jobs, seed 5$/m);
  },
  LIMIT_MS,
);

it("says what it knows when asked for something else", async () => {
  expect(await run("--minutes", "1")).toMatchObject({ code: 2, said: expect.stringContaining("from 3 to 1440") });
  expect(await run("--mintues", "3")).toMatchObject({ code: 2, said: expect.stringContaining("--seed S") });
});
