// The life of a job under faults: many seeds on the production use cases.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { SUBJECTS } from "@cordum/protocol";
import { describe, expect, it } from "vitest";
import type { ProcessPorts } from "../process.ts";
import { Coverage } from "./coverage.ts";
import { runJobs } from "./job-world.ts";
import { onPorts, overriding } from "./mutating.ts";

const SEEDS = 500;
const STEPS = 2_500;

describe("the life of a job, simulated", () => {
  it(`keeps its promises for ${SEEDS} seeds, which try everything`, { timeout: 600_000 }, async () => {
    const coverage = new Coverage();
    for (let seed = 1; seed <= SEEDS; seed++) coverage.add(await runJobs({ seed, steps: STEPS }));
    expect(coverage.missing()).toEqual([]);
  });

  it("gives workers' slots back, though no process hears what the others' workers say", {
    timeout: 60_000,
  }, async () => {
    const deaf = { ...onPorts(deafToOthers), habits: { nodes: 2 } };
    for (let seed = 1; seed <= 30; seed++) await runJobs({ seed, steps: STEPS }, deaf);
  });

  it("has one trace per seed, in this process and in another", { timeout: 60_000 }, async () => {
    const [first, again] = [await runJobs({ seed: 3, steps: STEPS }), await runJobs({ seed: 3, steps: STEPS })];
    expect(again.world.trace.hash()).toBe(first.world.trace.hash());
    expect(again.did).toEqual(first.did);
    const main = `${import.meta.dirname}/../main.ts`;
    const args = ["--conditions=source", main, "--seed", "3", "--steps", String(STEPS)];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    expect(stdout).toContain(`trace ${first.world.trace.hash()} `);
  });
});

/** Results still come to one process each; the copies for all are lost. */
function deafToOthers(ports: ProcessPorts): ProcessPorts {
  const { bus } = ports;
  return {
    ...ports,
    bus: overriding(bus, {
      subscribe: (about, handle) =>
        about.subject === SUBJECTS.jobResult && about.group === undefined
          ? bus.subscribe(about, async () => ({ kind: "ack" }))
          : bus.subscribe(about, handle),
    }),
  };
}
