// docs/quickstart.md, done as it is written in a folder of its own; then the backup of docs/operations.md, and the worker of README.md.

import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { blockOf } from "./documents/shell-blocks.ts";
import { type Started, Terminal } from "./documents/terminal.ts";

const ROOT = join(import.meta.dirname, "..");
/** "At its next look, at most five seconds later", on a busy machine. */
const LOOKS_MAX = 60;
const READY = /Ctrl-C stops it\./;

const terminal = Terminal.open();
let dev: Started;

beforeAll(async () => {
  terminal.set({ GATEWAY_HTTP_ADDR: "127.0.0.1:0" });
  dev = await terminal.start(blockOf("docs/quickstart.md", "npx cordum dev\n"), READY);
});
afterAll(() => terminal[Symbol.asyncDispose]());

async function stop(): Promise<void> {
  dev.kill("SIGTERM");
  await dev.ended;
}

/** What a shell in the folder says, errors included. */
async function shell(script: string): Promise<string> {
  const { out, err } = await terminal.run(script);
  return out + err;
}

async function save(page: string, mark: string, as: string): Promise<void> {
  const text = await readFile(join(ROOT, page), "utf8");
  const found = [...text.matchAll(/```ts\n([^`]*)```/g)].find(([, code = ""]) => code.includes(mark));
  await writeFile(terminal.path(as), found?.[1] ?? "");
}

it("does what it says", async () => {
  const blocks = blockOf("docs/quickstart.md", "job.blocked.x");
  const handedIn = await shell(blocks.replace(/#.*denied.*$/m, '|| echo "exit code $?"'));
  expect(handedIn).toContain("exit code 7");
  expect(handedIn).toMatch(/"constraints": \{\s*"/);
  expect(handedIn).toMatch(/PENDING\s+job\.slow\.echo/);

  const policy = terminal.path(".cordum", "policy.yaml");
  const written = await readFile(policy, "utf8");
  const edited = written
    .replace(/(id: slow-topics[\s\S]*?decision: )throttle/, "$1allow")
    .replace(/^.*retry_after_ms.*\n/m, "");
  expect(edited).not.toBe(written);
  await writeFile(policy, edited);
  let list = "";
  for (let look = 0; look < LOOKS_MAX && !list.includes("SUCCEEDED"); look++)
    list = await shell(blockOf("docs/quickstart.md", "--topic job.slow.echo"));
  expect(list).toMatch(/SUCCEEDED\s+job\.slow\.echo/);

  const approved = await shell(blockOf("docs/quickstart.md", "--reason"));
  expect(approved).toMatch(/state\s+(SCHEDULED|DISPATCHED|RUNNING|SUCCEEDED)/);
}, 120_000);

it("is there again from a copy of the folder, and runs workers of one's own", async () => {
  await stop();
  await cp(terminal.path(".cordum"), terminal.path("backup"), { recursive: true });
  await rm(terminal.path(".cordum"), { recursive: true });
  await cp(terminal.path("backup"), terminal.path(".cordum"), { recursive: true });
  await save("docs/quickstart.md", "export const workers", "my-workers.ts");
  const [start = "", submit = ""] = blockOf("docs/quickstart.md", "--workers my-workers.ts").split("\n");
  dev = await terminal.start(start, READY);
  expect(await shell(submit)).toMatch(/"sum": 6/);
  expect(await shell("npx cordum job list")).toMatch(/SUCCEEDED\s+job\.slow\.echo/);
  await save("docs/quickstart.md", "new Client", "ask.ts");
  const program = await readFile(terminal.path("ask.ts"), "utf8");
  const [, port = ""] = /127\.0\.0\.1:(\d+)/.exec(dev.said()) ?? [];
  await writeFile(terminal.path("ask.ts"), program.replace("localhost:8081", `localhost:${port}`));
  expect(await shell(blockOf("docs/quickstart.md", "ask.ts"))).toBe("SUCCEEDED { sum: 6 }\n");
  await stop();
  await save("README.md", "job.mail.send", "my-workers.ts");
  dev = await terminal.start(blockOf("README.md", "--workers my-workers.ts"), READY);
  expect(await shell(`npx cordum job submit job.mail.send --input '{"to":"ada"}' --wait`)).toMatch(/"to": "ada"/);
}, 120_000);
