// The bench still runs: some hundred jobs through the scenarios, with every measure that a long run reports.
// Must not know: which numbers are good.
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const FLAGS = ["--conditions=source", "--disable-warning=ExperimentalWarning"];
const MAIN = join(import.meta.dirname, "../bench/main.ts");
const TOP = join(import.meta.dirname, "../bench/top.ts");
const run = promisify(execFile);

describe("a tiny run", () => {
  const scenarios = ["single", "bulk", "policy", "memory", "dev", "backlog", "lists"];
  let [folder, stdout] = ["", ""];
  let said = JSON.parse("{}");
  const dataOf = (name: string) => said.scenarios.find((one: { name: string }) => one.name === name).data;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "cordum-bench-test-"));
    const only = "cordum NATS,floor,cordum raw bus";
    const words = ["--tiny", "--scenario", scenarios.join(), "--only", only, "--cpu-prof", folder];
    ({ stdout } = await run(process.execPath, [...FLAGS, MAIN, ...words]));
    const path = stdout.trim().split("\n").at(-1) ?? "";
    said = JSON.parse(await readFile(path, "utf8"));
    await rm(path);
  }, 120_000);
  afterAll(() => rm(folder, { recursive: true }));

  it("measures jobs, waits and the CPU time of every process", () => {
    for (const { serialMs, rounds } of dataOf("single").rows) {
      expect(serialMs.jobs).toBe(5);
      expect(serialMs.p50).toBeGreaterThan(0);
      const [round] = rounds;
      expect(round.jobs).toBeGreaterThanOrEqual(100);
      expect(round.jobsPerSecond).toBeCloseTo(round.jobs / round.seconds);
      expect(round.answerMsP99).toBeGreaterThanOrEqual(round.answerMsP50);
      const { all, load, ...parts } = round.cpuMicros;
      expect(Object.keys(parts)).toEqual(["system", "worker", "redis", "nats"]);
      expect(all).toBeCloseTo(Object.values<number>(parts).reduce((sum, each) => sum + each));
      expect(load).toBeGreaterThan(0);
    }
  });

  it("sets them beside the referees that took part, and says which goals are met", () => {
    const { goals, data } = said.scenarios[0];
    const [ours, floor] = data.rows;
    expect([ours.name, floor.name]).toEqual(["cordum NATS", "floor"]);
    const besideFloor = goals.find(({ goal }: { goal: string }) => goal.includes("floor"));
    expect(besideFloor.measured).toBeCloseTo(ours.rounds[0].jobsPerSecond / floor.rounds[0].jobsPerSecond);
    expect(goals.some(({ goal }: { goal: string }) => goal.includes("BullMQ"))).toBe(false);
    expect(stdout).toMatch(/^\| single POST, jobs\/s × floor \| ≥ 0\.6 \| [\d.]+ \| (yes|no) \|$/m);
    expect(said.versions).toMatchObject({ redis: expect.any(String), nats: expect.any(String) });
  });

  it("compares decisions with those of other engines, and says when one is not there", () => {
    const engines = new Set(dataOf("policy").map(({ engine }: { engine: string }) => engine));
    expect(engines).toContain("Cordum");
    for (const name of ["Cedar (wasm)", "OPA (wasm)"])
      expect(engines.has(name) || stdout.includes(`${name} was not measured`)).toBe(true);
  });

  it("measures the bus, kept jobs, a backlog, lists and a start", () => {
    expect(dataOf("bulk").rows[0].rounds[0].jobsPerSecond).toBeGreaterThan(0);
    const [kept] = dataOf("memory");
    expect(kept.bytesPerJob).toBeGreaterThan(500);
    expect(kept.keys).toContainEqual(expect.objectContaining({ keys: "job", perJob: 1 }));
    expect(dataOf("backlog")[0].taken[0].jobs).toBeGreaterThanOrEqual(50);
    expect(dataOf("dev").starts[0].readyMs).toBeGreaterThan(0);
    expect(dataOf("lists").slowest.length).toBeGreaterThan(0);
  });

  it("writes a CPU profile of each process, and says where the time went", async () => {
    const profiles = await readdir(folder);
    expect(profiles).toEqual(expect.arrayContaining(["cordum-NATS-system.cpuprofile", "floor-worker.cpuprofile"]));
    const { stdout: top } = await run(process.execPath, [TOP, join(folder, "cordum-NATS-system.cpuprofile"), "9"]);
    expect(top).toMatch(/^busy \d+ ms, idle \d+ ms\n\nself, by function\n/);
    expect(top).toMatch(/self, by package\n(.*\n)*.*% {2}jobs\n/);
  });
});

it("says what it knows when asked for something else", async () => {
  const asked = run(process.execPath, [...FLAGS, MAIN, "--scenario", "nobody"]);
  await expect(asked).rejects.toThrow(/there is no scenario nobody\n.*npm run bench/);
});
