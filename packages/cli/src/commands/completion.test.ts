import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { run } from "../program.ts";
import { systemRuntime } from "../runtime.ts";
import { testTerminal } from "../testing/terminal.ts";

async function script(shell: string) {
  const { terminal, out, err } = testTerminal();
  const code = await run(["completion", shell], { terminal, runtime: systemRuntime });
  return { code, out: out(), err: err() };
}

/** What a real bash offers for the last of `words`. */
async function offers(...words: readonly string[]): Promise<readonly string[]> {
  const { out } = await script("bash");
  const ask = `${out}
COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")})
COMP_CWORD=${words.length - 1}
_cordum
printf '%s\\n' "\${COMPREPLY[@]}"`;
  const asked = spawnSync("bash", ["--norc", "-c", ask], { encoding: "utf8" });
  expect(asked.stderr).toBe("");
  return asked.stdout.split("\n").filter((word) => word !== "");
}

describe("completion", () => {
  it("offers commands, then what is below them, then their options", async () => {
    expect(await offers("cordum", "")).toEqual(expect.arrayContaining(["job", "approve", "status", "--json"]));
    expect(await offers("cordum", "appr")).toEqual(["approvals", "approve"]);
    expect(await offers("cordum", "job", "s")).toEqual(["submit", "status"]);
    expect(await offers("cordum", "job", "submit", "--risk")).toEqual(["--risk-tags"]);
    expect(await offers("cordum", "--url", "http://x", "dlq", "r")).toEqual(["retry"]);
    expect(await offers("cordum", "dlq", "delete", "--dry")).toEqual(["--dry-run"]);
    expect(await offers("cordum", "job", "e")).toEqual(["events"]);
    expect(await offers("cordum", "job", "submit", "x", "job")).toEqual([]);
  });

  it("has a script for each shell that it names, and says which those are", async () => {
    for (const shell of ["bash", "zsh", "fish"]) expect((await script(shell)).code).toBe(0);
    expect((await script("fish")).out).toContain(
      "complete -c cordum -f -n '__fish_seen_subcommand_from job' -a submit",
    );
    const { code, err } = await script("tcsh");
    expect([code, err]).toEqual([2, expect.stringContaining("bash, zsh, fish")]);
  });
});
