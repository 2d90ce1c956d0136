// The life of a job under faults: many seeds on the production use cases, and deliberate faults that must be found.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { SimulationFailure } from "../world.ts";
import { runJobs } from "./job-world.ts";
import { MUTANTS, type Mutant } from "./mutants.ts";

const SEEDS = 200;
const STEPS = 2_500;
const MUTANT_SEEDS = 60;

async function firstFailure(mutant: Mutant): Promise<string | undefined> {
  for (let seed = 1; seed <= MUTANT_SEEDS; seed++) {
    try {
      await runJobs({ seed, steps: STEPS }, mutant.mutation);
    } catch (error) {
      if (error instanceof SimulationFailure) return error.message;
      throw error;
    }
  }
  return undefined;
}

describe("the life of a job, simulated", () => {
  it(`keeps its promises for ${SEEDS} seeds`, { timeout: 120_000 }, async () => {
    const did = new Map<string, number>();
    for (let seed = 1; seed <= SEEDS; seed++) {
      const run = await runJobs({ seed, steps: STEPS });
      for (const [name, count] of run.did) did.set(name, (did.get(name) ?? 0) + count);
    }
    const expected = [
      "accepted",
      "approved",
      "rejected",
      "cancelled",
      "dispatched",
      "vanished",
      "limit reached",
      "submit IDEMPOTENCY_CONFLICT",
      "submit STATE_OUTCOME_UNKNOWN",
    ];
    const ends = ["SUCCEEDED", "FAILED", "CANCELLED", "TIMEOUT", "DENIED"].map((state) => `ended ${state}`);
    for (const name of [...expected, ...ends]) expect(did.get(name) ?? 0, name).toBeGreaterThan(20);
  });

  it("has one trace per seed, in this process and in another", async () => {
    const [first, again] = [await runJobs({ seed: 3, steps: STEPS }), await runJobs({ seed: 3, steps: STEPS })];
    expect(again.world.trace.hash()).toBe(first.world.trace.hash());
    expect(again.did).toEqual(first.did);
    const main = `${import.meta.dirname}/../main.ts`;
    const args = ["--conditions=source", main, "--seed", "3", "--steps", String(STEPS)];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    expect(stdout).toContain(`trace ${first.world.trace.hash()} `);
  });

  it.each(MUTANTS.map((mutant) => [mutant.name, mutant] as const))(
    "is found out when a node %s",
    { timeout: 60_000 },
    async (_, mutant) => {
      expect(await firstFailure(mutant)).toMatch(mutant.foundAs);
    },
  );
});
