// Deliberate faults in a node, each of which the simulation must find.
import { describe, expect, it } from "vitest";
import { SimulationFailure } from "../world.ts";
import { runJobs } from "./job-world.ts";
import { MUTANTS } from "./mutants.ts";
import { MUTANTS_AROUND } from "./mutants-around.ts";
import { MUTANTS_OF_WORKERS } from "./mutants-of-workers.ts";
import type { Mutant } from "./mutating.ts";

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
  it.each([...MUTANTS, ...MUTANTS_AROUND, ...MUTANTS_OF_WORKERS].map((mutant) => [mutant.name, mutant] as const))(
    "is found out when a node %s",
    { timeout: 180_000 },
    async (_, mutant) => {
      expect(await firstFailure(mutant)).toMatch(mutant.foundAs);
    },
  );
});
