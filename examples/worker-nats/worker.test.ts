import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { JobStatus } from "@cordum/protocol";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Fleet, startFleet } from "../../packages/sdk/src/testing/fleet.ts";
import { blockOf } from "../../test/documents/shell-blocks.ts";

const ROOT = join(import.meta.dirname, "..", "..");
/** As the README says it, without the settings, which are the test's. */
const COMMAND = blockOf("examples/worker-nats/README.md", "NATS_URL=").replace(/^(\w+=\S+ )+/, "exec ");

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet();
});
afterAll(() => fleet[Symbol.asyncDispose]());

interface Ended {
  readonly code: number | null;
  readonly err: string;
}

function run(environment: { readonly [name: string]: string }): {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
} {
  const { PATH = "" } = process.env;
  const child = spawn("bash", ["-c", COMMAND], {
    cwd: ROOT,
    env: { PATH, ...environment },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let err = "";
  child.stderr.on("data", (chunk) => {
    err += String(chunk);
  });
  return { child, ended: new Promise((resolve) => child.on("close", (code) => resolve({ code, err }))) };
}

describe("examples/worker-nats", () => {
  it("counts words until it is told to stop, and ends well", async () => {
    const { control, nats, redis } = fleet;
    const { child, ended } = run({ NATS_URL: nats.url, REDIS_URL: redis.url });
    const [beat] = await control.heard("heartbeat");
    expect(beat).toMatchObject({ pool: "text", maxParallelJobs: 20, workerId: expect.stringMatching(/^text-/) });
    const topic = "job.text.count";
    await control.dispatch({ jobId: "e1", topic }, { context: { text: " to be\nor not " } });
    await control.dispatch({ jobId: "e2", topic }, { context: { words: 4 } });
    const results = await control.heard("jobResult", 2);
    expect(results.find(({ jobId }) => jobId === "e1")?.status).toBe(JobStatus.SUCCEEDED);
    expect(results.find(({ jobId }) => jobId === "e2")?.errorCode).toBe("INVALID_INPUT");
    expect(await control.stored("e1")).toEqual({ words: 4 });
    child.kill("SIGTERM");
    const { code, err } = await ended;
    expect(code).toBe(0);
    expect(err).toContain("worker.stopped");
  });

  it("says what is missing", async () => {
    const { code, err } = await run({ NATS_URL: "nats://localhost" }).ended;
    expect(code).toBe(1);
    expect(err).toContain("REDIS_URL  expected redis://host:port");
  });
});
