// The life of a job under faults: many seeds on the production use cases.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { runJobs } from "./job-world.ts";

const SEEDS = 500;
const STEPS = 2_500;

describe("the life of a job, simulated", () => {
  it(`keeps its promises for ${SEEDS} seeds`, { timeout: 300_000 }, async () => {
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
      "worker full",
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
});
