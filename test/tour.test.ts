// The tour of README.md is run as it is written: its shell blocks in one shell, and what it shows must come out.
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sectionOf } from "./documents/shell-blocks.ts";

const ROOT = join(import.meta.dirname, "..");
const COMMAND = join(ROOT, "packages", "cli", "bin", "cordum.mjs");
/** As the tour writes it; the server of this test takes a free port instead. */
const ADDRESS = "http://localhost:8081";

interface Stop {
  readonly commands: string;
  /** Lines that must come out, in this order; others may stand between them. */
  readonly shows: readonly string[];
}

function readTour(): { readonly start: string; readonly stops: readonly Stop[] } {
  const section = sectionOf("README.md", "A tour in 60 seconds");
  const blocks = [...section.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, language = "", text = ""]) => ({
    language,
    text,
  }));
  const [start, ...rest] = blocks;
  const stops: Stop[] = [];
  for (const [at, { language, text }] of rest.entries()) {
    const next = rest[at + 1];
    if (language === "sh")
      stops.push({ commands: text, shows: next?.language === "text" ? next.text.trimEnd().split("\n") : [] });
  }
  return { start: start?.text ?? "", stops };
}

/** What differs from run to run. */
function steady(line: string): string {
  return line
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "<id>")
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "<time>")
    .replace(/\[trace \w+\]/g, "[trace <id>]")
    .replace(/^\+\d+\.\d\ds/, "+<n>s")
    .replace(/\b\d+[smh] ago/g, "<n> ago")
    .replace(/ at \S+-\d+-[\w-]{8}$/, " at <worker>");
}

const { start, stops } = readTour();
let home = "";
let env: NodeJS.ProcessEnv = {};
let server: ChildProcess | undefined;
let said = "";

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "cordum-tour-"));
  mkdirSync(join(home, "bin"));
  // `npx cordum` of somebody who has installed the package.
  const npx = join(home, "bin", "npx");
  writeFileSync(
    npx,
    `#!/bin/sh\ntest "$1" = cordum || exit 127\nshift\nexec "${process.execPath}" "${COMMAND}" "$@"\n`,
  );
  chmodSync(npx, 0o755);
  const { CORDUM_API_KEY: _key, CORDUM_API_URL: _url, CORDUM_GATEWAY: _gateway, ...clean } = process.env;
  env = {
    ...clean,
    PATH: `${join(home, "bin")}${delimiter}${clean.PATH}`,
    GATEWAY_HTTP_ADDR: "127.0.0.1:0",
    NO_COLOR: "1",
  };
  await startServer();
});

async function startServer(): Promise<void> {
  const child = spawn("bash", ["-c", `exec ${start.trim()}`], { cwd: home, env, stdio: ["ignore", "pipe", "pipe"] });
  server = child;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const hear = (chunk: unknown) => {
    said += String(chunk);
    if (said.includes("Ctrl-C stops it.")) resolve();
  };
  child.stdout.on("data", hear);
  child.stderr.on("data", hear);
  child.on("close", (code) => reject(new Error(`the server ended with ${code}: ${said}`)));
  await promise;
}

afterAll(async () => {
  if (server !== undefined && server.exitCode === null) {
    const { promise, resolve } = Promise.withResolvers<void>();
    server.once("close", () => resolve());
    server.kill("SIGTERM");
    await promise;
  }
  rmSync(home, { recursive: true, force: true });
});

function shell(script: string): Promise<string> {
  const child = spawn("bash", ["-c", script], { cwd: home, env, stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  const hear = (chunk: unknown) => {
    out += String(chunk);
  };
  child.stdout.on("data", hear);
  child.stderr.on("data", hear);
  return new Promise((resolve) => child.on("close", () => resolve(out)));
}

describe("the tour in README.md", () => {
  it("has a server and several stops", () => {
    expect(start).toBe("npx cordum dev\n");
    expect(stops.length).toBeGreaterThanOrEqual(4);
    expect(stops.every(({ shows }) => shows.length > 0)).toBe(true);
  });

  it("starts a server that says where it is and how long that took", () => {
    expect(said).toMatch(/^Cordum is ready at http:\/\/127\.0\.0\.1:\d+ after \d+\.\d s$/m);
  });

  it("shows what comes out", async () => {
    const url = /http:\/\/127\.0\.0\.1:\d+/.exec(said)?.[0] ?? "";
    // One shell for all stops, as a reader has it: variables stay.
    const mark = "-- end of stop --";
    const script = stops
      .map(({ commands }) => `{\n${commands.replaceAll(ADDRESS, url)}} 2>&1\necho "${mark}"`)
      .join("\n");
    const outputs = (await shell(script)).split(`${mark}\n`);
    for (const [at, { commands, shows }] of stops.entries()) {
      const lines = (outputs[at] ?? "").split("\n").map(steady);
      let from = 0;
      for (const line of shows.map(steady)) {
        const found = lines.indexOf(line, from);
        expect
          .soft(found, `\n${commands}\nmust show ${JSON.stringify(line)} in\n${lines.slice(from).join("\n")}`)
          .toBeGreaterThanOrEqual(0);
        if (found >= 0) from = found + 1;
      }
    }
  }, 60_000);
});
