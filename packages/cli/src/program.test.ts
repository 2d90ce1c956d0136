import { describe, expect, it } from "vitest";
import type { Machine } from "./machine.ts";
import { run } from "./program.ts";
import { systemRuntime } from "./runtime.ts";
import { testTerminal } from "./testing/terminal.ts";

/** A port on which nothing listens: reserved, and refused at once. */
const NOBODY = "http://127.0.0.1:1";

async function call(...argv: string[]) {
  const { terminal, out, err } = testTerminal();
  const machine: Machine = { terminal, runtime: systemRuntime };
  return { code: await run(argv, machine), out: out(), err: err() };
}

describe("the command line", () => {
  it("shows help and version on standard output", async () => {
    const help = await call("--help");
    expect(help).toMatchObject({ code: 0, err: "" });
    expect(help.out).toContain("Usage: cordum");
    expect(await call("--version")).toMatchObject({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+/) });
    expect((await call("job", "submit", "--help")).out).toContain("--risk-tags");
  });

  it.each([
    [["wrong"], "unknown command"],
    [["job", "submt"], "submit"],
    [["status", "--wrong"], "unknown option"],
    [["job", "get"], "missing required argument"],
    [["job", "get", "a", "b"], "too many arguments"],
    [["approve"], "missing required argument"],
    [[], "Usage: cordum"],
    [["job", "submit"], "job topic required"],
    [["job", "submit", "job.echo"], "prompt required (use --prompt or --input)"],
    [["job", "submit", "job.echo", "--input", "{wrong"], "--input: invalid json"],
    [["job", "submit", "job.echo", "--input", "/no/such/file"], "no such file"],
    [["job", "submit", "job.echo", "--prompt", "p", "--labels", '{"a":1}'], "labels values must be strings"],
    [
      ["job", "submit", "job.echo", "--prompt", "p", "--priority", "urgent"],
      "--priority expects interactive or batch or critical",
    ],
    [["job", "list", "--limit", "many"], "--limit expects a number"],
    [["job", "list", "--since", "soon"], "--since expects a time"],
    [["dlq", "retry"], "name a job, or what to look for"],
    [["dlq", "delete", "j1", "--all"], "not both"],
    [["why"], "missing required argument"],
    [["job", "watch", "j1", "--timeout", "soon"], "--timeout expects a time"],
    [["status", "--url", "ftp://x"], "url"],
    [["keys", "create", "--role", "viewer"], "--name is needed"],
    [["keys", "create", "--name", "n"], "--role is needed"],
    [["keys", "create", "--name", "n", "--role", "viewer", "--expires", "soon"], "--expires expects days"],
    [["keys", "rotate", "k"], "--grace is needed"],
    [["keys", "rotate", "k", "--grace", "soon"], "--grace expects a time"],
    [["keys", "revoke"], "missing required argument"],
    [["dev", "--as", "admin"], "is the server itself"],
    [["dev", "--port", "70000"], "--port expects a number from 0 to 65535"],
  ])("refuses %j with exit code 2 and says why", async (argv, says) => {
    const { code, out, err } = await call(...argv);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err.toLowerCase()).toContain(says.toLowerCase());
  });

  it("says how to start a server when there is none", async () => {
    const { code, err } = await call("job", "cancel", "j1", "--url", NOBODY);
    expect(code).toBe(8);
    expect(err).toContain("cordum dev");
  }, 30_000);
});
