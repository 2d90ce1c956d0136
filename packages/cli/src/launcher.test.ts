// The launcher in bin/: which process the command becomes, and what it keeps from one start to the next.

import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runCommand, startDev } from "./testing/dev-process.ts";

let home = "";
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "cordum-launcher-"));
});
afterEach(() => rmSync(home, { recursive: true }));

const compiled = (): string => join(home, "cache", "cordum", "compiled");
const version = (env: NodeJS.ProcessEnv = {}) =>
  runCommand(["--version"], {
    cwd: home,
    env: { XDG_CACHE_HOME: join(home, "cache"), NODE_COMPILE_CACHE: undefined, ...env },
  });

describe("the launcher", () => {
  it("is the command's process where this Node can replace itself: killed, it leaves nothing behind", async () => {
    const { child, ended, url } = await startDev(home);
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    child.kill("SIGKILL");
    await ended;
    await expect(fetch(`${url}/healthz`)).rejects.toThrow("fetch failed");
  });

  it("keeps what was compiled in a folder of the user's own", async () => {
    expect(await version()).toMatchObject({ code: 0, err: "" });
    expect(statSync(compiled()).mode & 0o777).toBe(0o700);
    expect(readdirSync(compiled())).not.toEqual([]);
  });

  it("keeps nothing where others may write, and starts all the same", async () => {
    mkdirSync(compiled(), { recursive: true });
    chmodSync(compiled(), 0o777);
    expect(await version()).toMatchObject({ code: 0, err: "" });
    expect(readdirSync(compiled())).toEqual([]);
  });

  it("starts where there is no place for such a folder", async () => {
    expect(await version({ XDG_CACHE_HOME: "/dev/null" })).toMatchObject({ code: 0, err: "" });
  });

  it("leaves the place to NODE_COMPILE_CACHE where that is set", async () => {
    const given = join(home, "given");
    expect(await version({ NODE_COMPILE_CACHE: given })).toMatchObject({ code: 0, err: "" });
    expect(readdirSync(given)).not.toEqual([]);
    expect(readdirSync(home)).toEqual(["given"]);
  });
});
