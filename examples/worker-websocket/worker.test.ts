import { spawn } from "node:child_process";
import { join } from "node:path";
import { Client } from "@cordum/sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { blockOf } from "../../test/documents/shell-blocks.ts";
import { type Nodes, startNodes } from "../../test/fleet/nodes.ts";

const ROOT = join(import.meta.dirname, "..", "..");
/** As the README says it, without the settings, which are the test's. */
const COMMAND = blockOf("examples/worker-websocket/README.md", "CORDUM_API_URL=").replace(/^(\w+=\S+ )+/, "exec ");

let nodes: Nodes;
let url: string;
beforeAll(async () => {
  const policy = join(ROOT, "packages/cli/src/dev/policy.yaml");
  nodes = await startNodes([["gateway", "scheduler"]], { CORDUM_STATE: "memory", SAFETY_POLICY_PATH: policy });
  url = nodes.urls[0] ?? "";
});
afterAll(() => nodes[Symbol.asyncDispose]());

function run(key: string) {
  const { PATH = "" } = process.env;
  const env = { PATH, CORDUM_API_URL: url, CORDUM_API_KEY: key };
  const child = spawn("bash", ["-c", COMMAND], { cwd: ROOT, env, stdio: ["ignore", "ignore", "pipe"] });
  let err = "";
  child.stderr.on("data", (chunk) => {
    err += String(chunk);
  });
  const ended = new Promise<{ code: number | null; err: string }>((resolve) =>
    child.on("close", (code) => resolve({ code, err })),
  );
  return { child, ended };
}

describe("examples/worker-websocket", () => {
  it("counts words with a key alone, until it is told to stop, and ends well", async () => {
    const { child, ended } = run("key-wes-0000000000");
    const ada = new Client({ url, apiKey: "key-ada-0000000000" });
    const job = await ada.submit({ topic: "job.text.count", prompt: "count", context: { text: " to be\nor not " } });
    expect(await ada.wait(job.job_id, { timeoutMs: 15_000 })).toMatchObject({
      state: "SUCCEEDED",
      result: { words: 4 },
    });
    child.kill("SIGTERM");
    const { code, err } = await ended;
    expect(code).toBe(0);
    expect(err).toContain("worker.stopped");
  });

  it("says why it is not let in", async () => {
    const { code, err } = await run("a-wrong-key").ended;
    expect(code).toBe(1);
    expect(err).toContain("401 present a valid API key");
    expect(err).not.toContain("a-wrong-key");
  });
});
