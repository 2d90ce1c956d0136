import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { virtualClock } from "../adapters/system/virtual-clock.ts";
import { silentLog } from "../telemetry/log.ts";
import { followFile } from "./followed-file.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "cordum-followed-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const INTERVAL_MS = 1_000;
const NOTHING = (): void => undefined;

/** Follows a file of which `steps` make something else, one in each sleep; what was used. */
async function follow(first: string, steps: readonly ((path: string) => void)[]): Promise<readonly string[]> {
  const path = join(folder, "policy.yaml");
  writeFileSync(path, first);
  const used: string[] = [];
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const left = [...steps];
  const sleep = async (): Promise<boolean> => {
    const step = left.shift();
    step?.(path);
    if (step === undefined) resolve();
    return step !== undefined;
  };
  const use = (text: string): readonly string[] => {
    used.push(text);
    return [];
  };
  const clock = Object.assign(virtualClock(), { sleep });
  const file = { setting: "SAFETY_POLICY_PATH", path, intervalMs: INTERVAL_MS, use };
  await followFile(file, { clock, log: silentLog() }, new AbortController().signal);
  await over;
  return used;
}
const writes =
  (text: string) =>
  (path: string): void =>
    writeFileSync(path, text);

describe("a followed file", () => {
  it("W3 does not count while it is being written, though what is there is valid", async () => {
    const half = "default_decision: allow\n";
    const whole = `${half}rules: [{ id: no, match: { topics: ["job.no"] }, decision: deny }]\n`;
    expect(await follow("old", [writes(half), writes(whole), NOTHING, NOTHING, NOTHING])).toEqual(["old", whole]);
  });

  it("W3 does not count when it goes away in that moment", async () => {
    const gone = (path: string): void => rmSync(path);
    expect(await follow("old", [writes("new"), gone, writes("new"), NOTHING, NOTHING])).toEqual(["old", "new"]);
  });
});
