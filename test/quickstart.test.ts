// docs/quickstart.md, done as it is written in a folder of its own; then the backup of docs/operations.md.

import { spawn } from "node:child_process";
import { chmod, cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type DevProcess, startDev } from "../packages/cli/src/testing/dev-process.ts";
import { shellBlocks } from "./documents/shell-blocks.ts";

const ROOT = join(import.meta.dirname, "..");
const PAGE = "docs/quickstart.md";
/** "At its next look, at most five seconds later", on a busy machine. */
const LOOKS_MAX = 60;

let home = "";
let dev: DevProcess;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "cordum-quickstart-"));
  await mkdir(join(home, "bin"));
  const command = join(ROOT, "packages", "cli", "bin", "cordum.mjs");
  await writeFile(join(home, "bin", "npx"), `#!/bin/sh\nshift\nexec "${process.execPath}" "${command}" "$@"\n`);
  await chmod(join(home, "bin", "npx"), 0o755);
  await symlink(join(ROOT, "node_modules"), join(home, "node_modules"));
  await writeFile(join(home, "package.json"), '{"type":"module"}');
  dev = await startDev(home);
}, 60_000);

afterAll(async () => {
  await stop();
  await rm(home, { recursive: true });
});

async function stop(): Promise<void> {
  dev.child.kill("SIGTERM");
  await dev.ended;
}

/** What a shell in the folder says, errors included. */
async function shell(script: string): Promise<string> {
  const {
    CORDUM_API_KEY: _key,
    CORDUM_API_URL: _url,
    CORDUM_GATEWAY: _gateway,
    FORCE_COLOR: _color,
    ...rest
  } = process.env;
  const env = { ...rest, PATH: `${join(home, "bin")}${delimiter}${rest.PATH}`, NO_COLOR: "1" };
  const child = spawn("bash", ["-c", script], { cwd: home, env, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  const hear = (chunk: unknown): void => {
    said += String(chunk);
  };
  child.stdout.on("data", hear);
  child.stderr.on("data", hear);
  await new Promise((resolve) => child.on("close", resolve));
  return said;
}

function block(mark: string): string {
  const found = shellBlocks(PAGE).filter(({ text }) => text.includes(mark));
  expect(found, mark).toHaveLength(1);
  return found[0]?.text ?? "";
}

it("does what it says", async () => {
  // A block more needs a line more here.
  expect(shellBlocks(PAGE)).toHaveLength(5);
  const handedIn = await shell(block("job.blocked.x").replace(/#.*denied.*$/m, '; echo "exit code $?"'));
  expect(handedIn).toContain("exit code 7");
  expect(handedIn).toMatch(/"constraints": \{\s*"/);
  expect(handedIn).toMatch(/PENDING\s+job\.slow\.echo/);

  const policy = join(home, ".cordum", "policy.yaml");
  const written = await readFile(policy, "utf8");
  const edited = written
    .replace(/(id: slow-topics[\s\S]*?decision: )throttle/, "$1allow")
    .replace(/^.*retry_after_ms.*\n/m, "");
  expect(edited).not.toBe(written);
  await writeFile(policy, edited);
  let list = "";
  for (let look = 0; look < LOOKS_MAX && !list.includes("SUCCEEDED"); look++)
    list = await shell(block("--topic job.slow.echo"));
  expect(list).toMatch(/SUCCEEDED\s+job\.slow\.echo/);

  const approved = await shell(block("--reason"));
  expect(approved).toMatch(/state\s+(SCHEDULED|DISPATCHED|RUNNING|SUCCEEDED)/);
}, 120_000);

it("is there again from a copy of the folder, and runs workers of one's own", async () => {
  await stop();
  await cp(join(home, ".cordum"), join(home, "backup"), { recursive: true });
  await rm(join(home, ".cordum"), { recursive: true });
  await cp(join(home, "backup"), join(home, ".cordum"), { recursive: true });
  const page = await readFile(join(ROOT, PAGE), "utf8");
  const [, workers = ""] = /```ts\n([^`]*export const workers[^`]*)```/.exec(page) ?? [];
  await writeFile(join(home, "my-workers.ts"), workers);
  dev = await startDev(home, ["--workers", "my-workers.ts"]);
  const [, submit = ""] = block("--workers my-workers.ts").split("\n");
  expect(await shell(submit)).toMatch(/"sum": 6/);
  expect(await shell("npx cordum job list")).toMatch(/SUCCEEDED\s+job\.slow\.echo/);
}, 120_000);
