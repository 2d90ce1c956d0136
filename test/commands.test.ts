// Commands in the documents: run, or taken apart and held against the command line, the settings and the scripts that there are. A block
// with anything else fails here until somebody has written the test that runs it.

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Command, CommanderError } from "commander";
import { describe, expect, it } from "vitest";
import { createProgram } from "../packages/cli/src/program.ts";
import { systemRuntime } from "../packages/cli/src/runtime.ts";
import { testTerminal } from "../packages/cli/src/testing/terminal.ts";
import { ALL_SETTINGS, CLIENT_NAMES } from "../packages/control-plane/src/services/configuration-settings.ts";
import { commandsOf, pages, type ShellBlock, type SimpleCommand, shellBlocks } from "./documents/shell-blocks.ts";

const ROOT = join(import.meta.dirname, "..");
const blocks = pages().flatMap(shellBlocks);
const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));

/** Programs of others in blocks that are run: which test does it. */
const RUN: readonly { readonly page: string; readonly mark: string; readonly by: string }[] = [
  { page: "README.md", mark: "curl -s", by: "test/tour.test.ts" },
  { page: "docs/operations.md", mark: "openssl ecparam", by: "below" },
];

/** Settings of programs that are not ours. */
const FOREIGN = /^(OTEL_[A-Z_]+|NODE_OPTIONS)$/;
const SETTINGS_THERE_ARE = new Set([...ALL_SETTINGS.map(({ name }) => name), ...CLIENT_NAMES]);

/** What is wrong with a command; undefined: nothing. */
async function faultOf({ settings, words }: SimpleCommand): Promise<string | undefined> {
  const [program = "", ...args] = words;
  // In lower case, or JOB and KEY: a variable of the reader's shell.
  const unknown = settings.find((name) => /_/.test(name) && !SETTINGS_THERE_ARE.has(name) && !FOREIGN.test(name));
  if (unknown !== undefined) return `no setting is called ${unknown}`;
  switch (program) {
    case "":
      return undefined;
    case "npx":
      return args[0] === "cordum" ? faultOfCordum(args.slice(1)) : `npx ${args[0]}`;
    case "cordum":
      return faultOfCordum(args);
    case "npm":
      return faultOfNpm(args);
    case "node":
      return args.filter((arg) => /\.m?[jt]s$/.test(arg)).find((path) => !existsSync(join(ROOT, path)));
    default:
      return `nothing runs or checks ${program}`;
  }
}

/** As the command itself reads it, without doing it. */
async function faultOfCordum(args: readonly string[]): Promise<string | undefined> {
  const { terminal, err } = testTerminal();
  const program = createProgram({ terminal, runtime: systemRuntime });
  disarm(program);
  try {
    await program.parseAsync(args, { from: "user" });
    return undefined;
  } catch (error) {
    if (error instanceof CommanderError) return `${args.join(" ")}: ${err()}`;
    throw error;
  }
}

function disarm(command: Command): void {
  for (const below of command.commands) {
    if (below.commands.length === 0 || below.name() !== "job") below.action(() => undefined);
    disarm(below);
  }
}

function faultOfNpm([verb = "", name = ""]: readonly string[]): string | undefined {
  if (verb === "ci" || verb === "test" || (verb === "install" && name !== "")) return undefined;
  return verb === "run" && name in scripts ? undefined : `npm ${verb} ${name}`;
}

const isRun = (block: ShellBlock) => RUN.some(({ page, mark }) => page === block.page && block.text.includes(mark));

describe("commands in the documents", () => {
  it.each(blocks.filter((block) => !isRun(block)).map((block) => [`${block.page}:${block.line}`, block] as const))(
    "at %s are what there is",
    async (_, { text }) => {
      const commands = commandsOf(text);
      expect(commands).not.toEqual([]);
      const faults = await Promise.all(commands.map(faultOf));
      expect(faults.filter((fault) => fault !== undefined)).toEqual([]);
    },
  );

  it("are run where a test is said to run them", () => {
    for (const { page, mark, by } of RUN) {
      expect(blocks.filter((block) => block.page === page && block.text.includes(mark))).toHaveLength(1);
      if (by !== "below") expect(readFileSync(join(ROOT, by), "utf8")).toContain(page);
    }
  });

  it("make keys for signatures", () => {
    const home = mkdtempSync(join(tmpdir(), "cordum-docs-"));
    const text = blocks.find((block) => block.text.includes("openssl ecparam"))?.text ?? "";
    const ran = spawnSync("bash", ["-ec", text], { cwd: home, encoding: "utf8" });
    expect([ran.status, ran.stderr.includes("rror")]).toEqual([0, false]);
    expect(readFileSync(join(home, "plane.pem"), "utf8")).toMatch(/^-----BEGIN PRIVATE KEY-----/);
    expect(readFileSync(join(home, "plane.pub"), "utf8")).toMatch(/^-----BEGIN PUBLIC KEY-----/);
    rmSync(home, { recursive: true });
  });

  it("are found wrong when they are", async () => {
    const wrong = async (script: string) =>
      (await Promise.all(commandsOf(script).map(faultOf))).filter((fault) => fault !== undefined).length;
    expect(await wrong("cordum job list --nonsense 1")).toBe(1);
    expect(await wrong("cordum jobz list")).toBe(1);
    expect(await wrong("X=$(cordum keys make --name x) && cordum status # well")).toBe(1);
    expect(await wrong("CORDUM_NO_SUCH=1 cordum serve; rm -rf x")).toBe(2);
    expect(await wrong("npm run nothing\nnode scripts/none.mjs")).toBe(2);
    expect(await wrong('J=$(npx cordum job submit job.echo --input \'{"a b":1}\' --wait)\ncordum approve "$J"')).toBe(
      0,
    );
  });
});
