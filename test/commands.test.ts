// Commands in the documents: every shell block is run by a test that asks for it by name (documents/shell-blocks.ts W1), and each of its
// commands, and each that stands within a sentence, is held against the command line, the settings and the scripts that there are. A block
// that no test runs fails here.

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Command, CommanderError } from "commander";
import { describe, expect, it } from "vitest";
import { createProgram } from "../packages/cli/src/program.ts";
import { systemRuntime } from "../packages/cli/src/runtime.ts";
import { testTerminal } from "../packages/cli/src/testing/terminal.ts";
import { ALL_SETTINGS, CLIENT_NAMES } from "../packages/control-plane/src/services/configuration-settings.ts";
import {
  blockOf,
  blocksAskedFor,
  commandsOf,
  pages,
  type ShellBlock,
  type SimpleCommand,
  shellBlocks,
} from "./documents/shell-blocks.ts";

const ROOT = join(import.meta.dirname, "..");
const blocks = pages().flatMap(shellBlocks);
const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));

/** The tests of documents and examples; suites of packages run no documents. */
const asked = ["test", "examples"]
  .flatMap(testsBelow)
  .flatMap((path) => blocksAskedFor(path, readFileSync(join(ROOT, path), "utf8")));

function testsBelow(folder: string): readonly string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((path) => /\.test\.ts$|^documents\/fleet\.ts$/.test(path))
    .map((path) => `${folder}/${path}`);
}

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
    case "node": // without a folder it is what the reader has saved
      return args.filter((arg) => /\/.*\.m?[jt]s$/.test(arg)).find((path) => !existsSync(join(ROOT, path)));
    default:
      return undefined;
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

const isSame = (one: ShellBlock, other: ShellBlock) => one.page === other.page && one.line === other.line;
const listed = blocks.map((block) => [`${block.page}:${block.line}`, block] as const);

describe("shell blocks in the documents", () => {
  it.each(listed)("at %s are run by a test", (_, block) => {
    expect(asked.filter((each) => isSame(each.block, block)).map(({ by }) => by)).not.toEqual([]);
  });

  it.each(listed)("at %s name what there is", async (_, { text }) => {
    const commands = commandsOf(text);
    expect(commands).not.toEqual([]);
    expect((await Promise.all(commands.map(faultOf))).filter((fault) => fault !== undefined)).toEqual([]);
  });

  it("are all that stands in fences of a language that looks like a shell, and others hold no commands", () => {
    const others = pages().flatMap((page) =>
      fences(page).filter(({ language }) => /^(|text|plain|ini|yaml)$/.test(language)),
    );
    expect(
      others.filter(({ text }) => /^\s*\$? ?(npx |cordum |npm |node |curl |redis-cli |docker )/m.test(text)),
    ).toEqual([]);
  });
});

describe("commands within sentences of the documents", () => {
  const inline = pages().flatMap((page) =>
    [...readFileSync(join(ROOT, page), "utf8").matchAll(/`((?:npx cordum|cordum|npm) [^`\n]+)`/g)].map(
      ([, text = ""]) => [`${page}: ${text}`, text] as const,
    ),
  );

  it.each([...new Map(inline)])("are what there is, as in %s", async (_, text) => {
    const faults = (await Promise.all(commandsOf(text).map(faultOf))).filter((fault) => fault !== undefined);
    expect(faults.filter((fault) => !isOnlyUnfinished(fault))).toEqual([]);
  });
});

/** A sentence may name a command without what it is about. */
function isOnlyUnfinished(fault: string): boolean {
  return fault.includes("missing required argument");
}

function fences(page: string): readonly { readonly language: string; readonly text: string }[] {
  const found = readFileSync(join(ROOT, page), "utf8").matchAll(/^ *```([\w-]*).*\n([\s\S]*?)^ *```$/gm);
  return [...found].map(([, language = "", text = ""]) => ({ language, text }));
}

describe("commands of others", () => {
  it("make keys for signatures", () => {
    const home = mkdtempSync(join(tmpdir(), "cordum-docs-"));
    const text = blockOf("docs/operations.md", "openssl ecparam");
    const ran = spawnSync("bash", ["-ec", text], { cwd: home, encoding: "utf8" });
    expect([ran.status, ran.stderr.includes("rror")]).toEqual([0, false]);
    expect(readFileSync(join(home, "plane.pem"), "utf8")).toMatch(/^-----BEGIN PRIVATE KEY-----/);
    expect(readFileSync(join(home, "plane.pub"), "utf8")).toMatch(/^-----BEGIN PUBLIC KEY-----/);
    rmSync(home, { recursive: true });
  });
});

describe("these checks", () => {
  it("find a block that nobody runs, and one that is asked for and not there", () => {
    const call = (name: string, ...words: readonly string[]) =>
      `${name}(${words.map((word) => JSON.stringify(word)).join(", ")})`;
    const found = (source: string) => blocksAskedFor("x", source);
    const [one] = found(call("blockOf", "docs/operations.md", "openssl ecparam"));
    expect(one?.block.text).toContain("openssl ecparam");
    expect(found(call("sectionOf", "README.md", "A tour in 60 seconds")).length).toBeGreaterThanOrEqual(5);
    expect(found(call("readFileSync", "docs/operations.md"))).toEqual([]);
    expect(() => found(call("blockOf", "docs/operations.md", "no such command"))).toThrow("0 shell blocks");
    expect(() => found(call("blockOf", "docs/operations.md", "cordum"))).toThrow(/\d shell blocks/);
  });

  it("are found wrong when they are", async () => {
    const wrong = async (script: string) =>
      (await Promise.all(commandsOf(script).map(faultOf))).filter((fault) => fault !== undefined).length;
    expect(await wrong("cordum job list --nonsense 1")).toBe(1);
    expect(await wrong("cordum jobz list")).toBe(1);
    expect(await wrong("X=$(cordum keys make --name x) && cordum status # well")).toBe(1);
    expect(await wrong("CORDUM_NO_SUCH=1 cordum serve")).toBe(1);
    expect(await wrong("npm run nothing\nnode scripts/none.mjs")).toBe(2);
    expect(await wrong('J=$(npx cordum job submit job.echo --input \'{"a b":1}\' --wait)\ncordum approve "$J"')).toBe(
      0,
    );
  });
});
