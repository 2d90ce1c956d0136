// The worker in Python of docs/workers.md, as it stands there, against a real server: the page alone makes it run.

import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "@cordum/control-plane/testing/servers";
import { Client } from "@cordum/sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { INSTALL_MS_MAX, installedBy } from "./documents/installed.ts";
import { blockOf } from "./documents/shell-blocks.ts";
import { type Started, Terminal } from "./documents/terminal.ts";

const ROOT = join(import.meta.dirname, "..");
const ADDRESS = "http://localhost:8081";
const SLOWLY = { timeout: 20_000 };

const opened = new AsyncDisposableStack();
let terminal: Terminal;
let server: Started;
let worker: Started;
let client: Client;
let url = "";

const startServer = () =>
  terminal.start(`cordum dev --port ${new URL(url).port} --no-sample-workers`, /Ctrl-C stops it\./);

beforeAll(async () => {
  const installed = installedBy(
    blockOf("docs/workers.md", "python3 -m venv"),
    "Python 3.10 or later with venv (apt-get install python3-venv), and pip must reach its packages",
  );
  terminal = opened.use(Terminal.open());
  for (const name of [".venv", "cordum"]) symlinkSync(join(installed, name), terminal.path(name));
  const [, program = ""] =
    /```python\n([\s\S]*?)^```$/m.exec(readFileSync(join(ROOT, "docs/workers.md"), "utf8")) ?? [];
  writeFileSync(terminal.path("worker.py"), program);
  url = `http://127.0.0.1:${await freePort()}`;
  server = await startServer();
  const [makeKey = "", run = ""] = blockOf("docs/workers.md", ".venv/bin/python worker.py").trim().split("\n");
  const key = await terminal.says(`${makeKey}\necho "$KEY"`);
  worker = await terminal.start(`${run.replace(ADDRESS, url).replace("$KEY", key.trim())}`, /is connected/);
  const [admin] = JSON.parse(readFileSync(terminal.path(".cordum", "keys.json"), "utf8"));
  client = new Client({ url, apiKey: admin.key });
}, INSTALL_MS_MAX + 60_000);
afterAll(() => opened.disposeAsync());

const submit = async (context: unknown): Promise<string> =>
  (await client.submit({ topic: "job.text.count", prompt: "count", context })).job_id;

describe("the worker in Python of docs/workers.md", () => {
  it("does what the page hands in, and tells how far it is", async () => {
    const { code, out, err } = await terminal.run(blockOf("docs/workers.md", "seconds_each"));
    expect({ code, out }).toEqual({ code: 0, out: expect.stringMatching(/"words": 6[\s\S]*"words": 3/) });
    expect(err).toMatch(/RUNNING .*, 33 %: at and\n[\s\S]*RUNNING .*, 66 %: at steady\n/);
  }, 60_000);

  it("fails a job with a code that its submitter can read", async () => {
    const job = await client.wait(await submit({ words: 1 }), { timeoutMs: 20_000 });
    expect(job).toMatchObject({
      state: "FAILED",
      attempts: 1,
      error_code: "INVALID_INPUT",
      error_message: "expected { text }",
    });
  });

  it("stops when it is told to, and says so", async () => {
    const jobId = await submit({ text: "for ever", seconds_each: 3_600 });
    await expect.poll(async () => (await client.get(jobId)).state, SLOWLY).toBe("RUNNING");
    await client.cancel(jobId);
    await expect
      .poll(() => client.get(jobId), SLOWLY)
      .toMatchObject({ state: "CANCELLED", stop: { status: "acknowledged", reported: "JOB_STATUS_CANCELLED" } });
  });

  it("reports to a new gateway what it did meanwhile, once, and ends with what it has", async () => {
    const jobId = await submit({ text: "a b c", seconds_each: 1 });
    await expect.poll(async () => (await client.get(jobId)).state, SLOWLY).toBe("RUNNING");
    server.kill("SIGKILL");
    await server.ended;
    server = await startServer();
    expect(await client.wait(jobId, { timeoutMs: 30_000 })).toMatchObject({
      state: "SUCCEEDED",
      attempts: 1,
      result: { words: 3 },
    });
    const last = await submit({ text: "the last", seconds_each: 0.5 });
    await expect.poll(async () => (await client.get(last)).state, SLOWLY).toBe("RUNNING");
    worker.kill("SIGTERM");
    expect(await worker.ended).toEqual({
      code: 0,
      out: expect.stringMatching(/^(python-\d+ is connected\n){2}$/),
      err: "",
    });
    expect(await client.get(last)).toMatchObject({ state: "SUCCEEDED", result: { words: 2 } });
  }, 90_000);
});
