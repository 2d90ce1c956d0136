// The scripts of the repository, as README.md, CONTRIBUTING.md and docs/performance.md name them: run here, or by the test that is named.

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, it } from "vitest";
import { blockOf, commandsOf } from "./documents/shell-blocks.ts";

const ROOT = join(import.meta.dirname, "..");
const read = (path: string) => readFileSync(join(ROOT, path), "utf8");
const { scripts } = JSON.parse(read("package.json"));

/** As they stand they take minutes, or their time is the reader's: the same programs are run by these. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  demo: "examples/demo/demo.test.ts",
  sim: "packages/control-plane/src/simulation/jobs/jobs.test.ts",
  chaos: "test/chaos.test.ts",
  bench: "test/bench.test.ts",
};
/** What every run of CI begins with, and what this is a part of. */
const BY_CI = ["npm ci", "npm test"];
const HERE = [
  "npm run check",
  "npm run bench -- --help",
  "npm test -- packages/control-plane/src/policy/evaluate.test.ts",
];

const documented = [
  blockOf("README.md", "npm run demo"),
  blockOf("CONTRIBUTING.md", "npm run sim"),
  blockOf("CONTRIBUTING.md", "npm test -- "),
  blockOf("docs/performance.md", "npm run bench -- --quick"),
].flatMap((block) => commandsOf(block).map(({ words }) => words.join(" ")));

describe("scripts in the documents", () => {
  it.each([...new Set(documented)])("%s is run", (command) => {
    if (HERE.includes(command)) return;
    if (BY_CI.includes(command)) return expect(read(".ci/run")).toMatch(new RegExp(`^.*\\b${command} -`, "m"));
    const [, , name = ""] = command.split(" ");
    const program = basename(scripts[name].split(" ").at(-1));
    return expect(read(ELSEWHERE[name] ?? "package.json")).toContain(program);
  });

  it.each(HERE)(
    "%s ends well",
    async (command) => {
      expect(documented).toContain(command);
      const { code, said } = await run(command);
      expect(code, said.slice(-4_000)).toBe(0);
      expect(said).toMatch(/all checks hold|--scenario <a,b>|Tests .*passed/);
    },
    240_000,
  );
});

function run(command: string): Promise<{ readonly code: number | null; readonly said: string }> {
  // Without what this run tells its own processes.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(VITEST|NODE_ENV|TEST$)/.test(name)),
  );
  const child = spawn("bash", ["-c", `exec ${command}`], { cwd: ROOT, env: { ...env, NO_COLOR: "1" } });
  let said = "";
  for (const output of [child.stdout, child.stderr])
    output.on("data", (chunk) => {
      said += String(chunk);
    });
  return new Promise((resolve) => child.once("close", (code) => resolve({ code, said })));
}
