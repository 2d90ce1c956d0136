// kill -9 of the one process in the middle of 1,000 jobs: after a restart every accepted job has exactly one terminal state.

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Client, type JobDetail } from "@cordum/sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const JOBS = 1_000;
const KILLS = 3;
const TERMINAL = new Set(["SUCCEEDED", "FAILED", "CANCELLED", "TIMEOUT", "DENIED"]);
const program = fileURLToPath(new URL("./programs/one-process.ts", import.meta.url));

describe("kill -9 of the one process", () => {
  let folder: string;
  let port: number;
  let child: ChildProcess;

  const start = async (): Promise<void> => {
    const env = {
      CORDUM_STATE: "sqlite",
      CORDUM_DATA_DIR: folder,
      GATEWAY_HTTP_ADDR: `127.0.0.1:${port}`,
      GATEWAY_METRICS_ADDR: "off",
      CORDUM_API_KEYS: "acme:key-ada-0000000000:admin:ada",
      SAFETY_POLICY_PATH: join(folder, "policy.yaml"),
      TIMEOUT_CONFIG_PATH: join(folder, "timeouts.yaml"),
      CORDUM_OPEN_ROUTING: "true",
      API_RATE_LIMIT_RPS: "100000",
      API_RATE_LIMIT_BURST: "100000",
    };
    child = fork(program, { env, execArgv: ["--conditions=source", "--disable-warning=ExperimentalWarning"] });
    await Promise.race([
      once(child, "message"),
      once(child, "exit").then(() => Promise.reject(new Error("the process did not start"))),
    ]);
  };
  const kill = async (): Promise<void> => {
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "cordum-kill-"));
    await writeFile(
      join(folder, "policy.yaml"),
      'version: v1\nrules:\n  - { id: all, match: { topics: ["job.*"] }, decision: allow }\n',
    );
    await writeFile(join(folder, "timeouts.yaml"), "topics: { job.echo: { timeout_seconds: 60, max_retries: 5 } }\n");
    port = await freePort();
    await start();
  });
  afterAll(async () => {
    if (child.exitCode === null && child.signalCode === null) await kill();
    await rm(folder, { recursive: true, force: true });
  });

  it("loses no job and ends none twice", async () => {
    const client = new Client({
      url: `http://127.0.0.1:${port}`,
      apiKey: "key-ada-0000000000",
      timeoutMs: 60_000,
      retries: 200,
    });
    const accepted = new Map<number, string>();
    const submitOne = async (at: number): Promise<void> => {
      const { job_id } = await client.submit(
        { topic: "job.echo", prompt: String(at) },
        { idempotencyKey: `job-${at}` },
      );
      accepted.set(at, job_id);
    };
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < JOBS) await submitOne(next++);
    };
    const submitting = Promise.all(Array.from({ length: 16 }, lane));
    for (let kills = 1; kills <= KILLS; kills++) {
      await expect
        .poll(() => accepted.size, { timeout: 60_000, interval: 5 })
        .toBeGreaterThanOrEqual((kills * JOBS) / (KILLS + 1));
      await kill();
      await start();
    }
    await submitting;
    expect(accepted.size).toBe(JOBS);
    expect(new Set(accepted.values()).size).toBe(JOBS);

    const jobs: JobDetail[] = [];
    for (const id of accepted.values()) jobs.push(await client.wait(id, { timeoutMs: 90_000 }));
    const states = Map.groupBy(jobs, (job) => job.state);
    expect([...states.keys()], JSON.stringify([...states].map(([state, list]) => [state, list.length]))).toEqual([
      "SUCCEEDED",
    ]);

    const listed = new Map<string, string>();
    for await (const job of client.list({ topic: "job.echo" }, { pageSize: 500 })) {
      expect(listed.has(job.id)).toBe(false);
      listed.set(job.id, job.state);
    }
    expect(listed.size).toBe(JOBS);
    expect([...listed.values()].every((state) => TERMINAL.has(state))).toBe(true);
  }, 180_000);
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
