import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, it } from "vitest";

const program = `${import.meta.dirname}/long.ts`;

function start(...args: readonly string[]): ChildProcess {
  return spawn(process.execPath, ["--conditions=source", program, ...args], { stdio: ["ignore", "pipe", "pipe"] });
}

async function output(child: ChildProcess): Promise<{ readonly code: number | null; readonly text: string }> {
  let text = "";
  child.stdout?.on("data", (bytes: Buffer) => {
    text += bytes.toString("utf8");
  });
  child.stderr?.on("data", (bytes: Buffer) => {
    text += bytes.toString("utf8");
  });
  const [code] = await once(child, "close");
  return { code, text };
}

describe("npm run sim:long", { timeout: 60_000 }, () => {
  it("ends after as many seeds as it is given, and says how fast it was", async () => {
    const { code, text } = await output(start("--world", "toy", "--seed", "5", "--seeds", "2", "--steps", "200"));
    expect(text).toMatch(/no violation in 2 seeds \(from 5\), \d+ steps, \d+ seeds\/min/);
    expect(code).toBe(0);
  });

  it("ends with a summary when it is interrupted (L1)", async () => {
    const child = start("--world", "toy", "--seed", "1", "--steps", "200");
    const ended = output(child);
    await once(child.stdout as NonNullable<ChildProcess["stdout"]>, "data"); // it has begun
    child.kill("SIGINT");
    const { code, text } = await ended;
    expect(text).toMatch(/no violation in \d+ seeds/);
    expect(code).toBe(0);
  });

  it("refuses what is no number", async () => {
    expect(await output(start("--seeds", "many"))).toMatchObject({ code: 2, text: expect.stringContaining("whole") });
  });

  it("says how it is used, to whoever asks and to whoever asks for what there is not", async () => {
    const usage = expect.stringContaining("npm run sim:long -- [options]");
    expect(await output(start("--help"))).toMatchObject({ code: 0, text: usage });
    expect(await output(start("--often"))).toMatchObject({ code: 2, text: usage });
    expect(await output(start("--world", "none"))).toMatchObject({ code: 2, text: usage });
  });
});
