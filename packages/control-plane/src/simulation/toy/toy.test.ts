// The simulation itself, tried on a toy: it repeats itself, it lets the correct toy pass, it finds every planted bug.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { seededRandom } from "../../adapters/system/seeded-random.ts";
import { drawFaults, type Fate, fatesOf, NO_FAULTS } from "../fate.ts";
import { SimulationFailure } from "../world.ts";
import { BUGS, type Bug } from "./counter.ts";
import { runToy } from "./toy-world.ts";

const STEPS = 2_000;

async function firstFailure(bug: Bug, seeds: number): Promise<string | undefined> {
  for (let seed = 1; seed <= seeds; seed++) {
    try {
      await runToy({ seed, steps: STEPS }, bug);
    } catch (error) {
      if (error instanceof SimulationFailure) return error.message;
      throw error;
    }
  }
  return undefined;
}

describe("the simulation of the toy", () => {
  it("passes when nothing is wrong, and has met every kind of fault", async () => {
    const met = new Set<string>();
    for (let seed = 1; seed <= 60; seed++) {
      const { world, did } = await runToy({ seed, steps: STEPS }, "none");
      expect(did.get("accepted")).toBeGreaterThan(0);
      for (const fate of world.happened.keys()) met.add(fate);
    }
    const fates = [
      "delay",
      "duplicate",
      "error",
      "lost_answer",
      "late",
      "lost",
      "crash_before",
      "crash_after",
      "dead",
      "begins",
      "gone",
    ];
    expect([...met]).toEqual(expect.arrayContaining(fates));
  });

  it.each(BUGS)("finds %s, and says how to see it again", async (bug) => {
    const failure = await firstFailure(bug, 40);
    expect(failure).toMatch(/replay: npm run sim -- .*--seed \d+ --steps 2000 --trace$/);
    const seed = Number(/--seed (\d+)/.exec(failure ?? "")?.[1]);
    const trace = /trace ([0-9a-f]{16})/.exec(failure ?? "")?.[1];
    await expect(runToy({ seed, steps: STEPS }, bug)).rejects.toThrow(`trace ${trace}`);
  });

  it("has one trace per seed, in this process and in another", async () => {
    const { world } = await runToy({ seed: 7, steps: STEPS }, "none");
    const again = await runToy({ seed: 7, steps: STEPS }, "none");
    const other = await runToy({ seed: 8, steps: STEPS }, "none");
    expect(again.world.trace.hash()).toBe(world.trace.hash());
    expect(other.world.trace.hash()).not.toBe(world.trace.hash());
    const main = `${import.meta.dirname}/../main.ts`;
    const args = ["--conditions=source", main, "--world", "toy", "--seed", "7", "--steps", String(STEPS)];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    expect(stdout).toContain(`trace ${world.trace.hash()} `);
  });
});

describe("fates", () => {
  it("come as often as their odds say, and never when they are off", () => {
    const draw = fatesOf({ ...NO_FAULTS, error: 10, delay: 20 });
    const chance = seededRandom(1);
    const counts = new Map<Fate, number>();
    for (let call = 0; call < 20_000; call++) {
      const fate = draw("read", chance);
      counts.set(fate, (counts.get(fate) ?? 0) + 1);
    }
    expect([...counts.keys()].sort()).toEqual(["delay", "error", "run"]);
    expect(counts.get("error")).toBeGreaterThan(1_800);
    expect(counts.get("error")).toBeLessThan(2_200);
    expect(counts.get("delay")).toBeLessThan(1_150);
  });

  it("are drawn from the seed", () => {
    expect(drawFaults(5)).toEqual(drawFaults(5));
    const all = Array.from({ length: 50 }, (_, seed) => JSON.stringify(drawFaults(seed)));
    expect(new Set(all).size).toBeGreaterThan(40);
  });
});
