import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startNats } from "@cordum/control-plane/testing/nats-servers";
import { startRedis } from "@cordum/control-plane/testing/servers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { withoutThrottle } from "./acts.ts";
import { parseArguments } from "./arguments.ts";
import { survey } from "./survey.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const LAUNCHER = join(ROOT, "scripts", "on-node-26.mjs");
const DEMO = join(import.meta.dirname, "demo.ts");

let temporary = "";
beforeEach(() => {
  temporary = mkdtempSync(join(tmpdir(), "cordum-demo-test-"));
});
afterEach(() => rmSync(temporary, { recursive: true }));

interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Our environment without anybody's wish for colour or against it: Node warns of two that contradict each other. */
function environmentWithoutColours(): NodeJS.ProcessEnv {
  const { FORCE_COLOR: _forced, NO_COLOR: _refused, ...rest } = process.env;
  return rest;
}

/** Runs the demo from a foreign folder, without a terminal; `during` sees the output as it grows. */
function runDemo(
  args: readonly string[],
  during: (out: string, child: ChildProcess) => void = () => undefined,
): Promise<Ran> {
  const env = { ...environmentWithoutColours(), TMPDIR: temporary };
  const child = spawn(process.execPath, [LAUNCHER, DEMO, ...args], {
    cwd: temporary,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [out, err] = ["", ""];
  child.stdout.on("data", (chunk) => {
    out += String(chunk);
    during(out, child);
  });
  child.stderr.on("data", (chunk) => {
    err += String(chunk);
  });
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, out, err })));
}

describe("the demo", () => {
  it("ends well, with every kind of decision, without colour and without leaving anything behind", async () => {
    const { code, out, err } = await runDemo(["--yes"]);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    for (const decision of ["ALLOW", "ALLOW_WITH_CONSTRAINTS", "DENY", "THROTTLE", "REQUIRE_APPROVAL"])
      expect(out).toMatch(new RegExp(`^  \\w+ +${decision} .* yes$`, "m"));
    expect(out).toContain("rule never-drop-a-database: nobody drops the production database");
    expect(out).toContain("demo-reporter was given limits: read only docs/, at most 5000 ms");
    expect(out).toContain("refused (SELF_APPROVAL_DENIED)");
    expect(out).toContain("demo-cleaner deleted old-1.log, old-2.log, old-3.log");
    expect(out).toContain("Every job ended as it should.");
    expect(out).not.toContain("\u001b");
    expect(readdirSync(temporary)).toEqual([]);
  }, 60_000);

  it("runs over Redis and NATS, and leaves the jobs there", async () => {
    await using redis = await startRedis();
    await using nats = await startNats({ jetstream: true });
    const { code, out, err } = await runDemo(["--yes", "--redis", redis.url, "--nats", nats.url]);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toContain("Redis, packets over NATS");
    expect(out).toContain("Every job ended as it should.");
    const admin = redis.admin();
    expect(await admin.dbsize()).toBeGreaterThan(5);
    admin.disconnect();
  }, 60_000);

  it("says what to do where nobody can be asked, and starts nothing", async () => {
    const { code, out, err } = await runDemo([]);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toContain("--yes");
    expect(readdirSync(temporary)).toEqual([]);
  });

  it("drains and cleans up when it is stopped in the middle", async () => {
    const { code, out } = await runDemo(["--yes"], (text, child) => {
      if (text.includes("Five jobs go in")) child.kill("SIGTERM");
    });
    expect(code).toBe(130);
    expect(out).toContain("stopping");
    expect(readdirSync(temporary)).toEqual([]);
  }, 60_000);
});

describe("parts of the demo", () => {
  it("reads its arguments", () => {
    const servers = { redis: undefined, nats: undefined };
    expect(parseArguments([], true)).toEqual({ kind: "run", approves: false, servers });
    expect(parseArguments(["-y"], false)).toEqual({ kind: "run", approves: true, servers });
    expect(parseArguments(["-y", "--nats", "nats://n:4222", "--redis=redis://r"], false)).toEqual({
      kind: "run",
      approves: true,
      servers: { redis: "redis://r", nats: "nats://n:4222" },
    });
    expect(parseArguments(["--yes", "--help"], false)).toEqual({ kind: "help" });
    expect(parseArguments(["--no"], true)).toMatchObject({
      kind: "wrong",
      says: expect.stringContaining("'--no'"),
    });
    expect(parseArguments(["-y", "--redis"], true)).toMatchObject({
      kind: "wrong",
      says: expect.stringContaining("argument missing"),
    });
  });

  it("lifts the throttle and nothing else", () => {
    const text = "a:\n  decision: deny\nb:\n  decision: throttle\n  retry_after_ms: 1000\nc: 1\n";
    expect(withoutThrottle(text)).toBe("a:\n  decision: deny\nb:\n  decision: allow\nc: 1\n");
  });

  it("surveys sources: counts lines, leaves out what is not ours, keeps to the folders", async () => {
    const write = (path: string, content: string) => {
      mkdirSync(join(temporary, path, ".."), { recursive: true });
      writeFileSync(join(temporary, path), content);
    };
    write("packages/a/src/one.ts", "1\n2\n3\n");
    write("packages/a/node_modules/x.ts", "1\n");
    write("docs/page.md", "1\n2");
    write(".hidden/x.ts", "1\n");
    write("picture.svg", "<svg/>");
    write("empty.ts", "");
    const all = await survey(temporary, [""], new AbortController().signal);
    expect(all).toEqual({
      files: 3,
      lines: 5,
      folders: [
        { folder: "packages/a", files: 1, lines: 3 },
        { folder: "docs", files: 1, lines: 2 },
        { folder: ".", files: 1, lines: 0 },
      ],
      longest: [
        { path: "packages/a/src/one.ts", lines: 3 },
        { path: "docs/page.md", lines: 2 },
        { path: "empty.ts", lines: 0 },
      ],
    });
    const docs = await survey(temporary, ["docs"], new AbortController().signal);
    expect(docs.folders).toEqual([{ folder: "docs", files: 1, lines: 2 }]);
    await expect(survey(temporary, [""], AbortSignal.abort(new Error("stop")))).rejects.toThrow("stop");
  });
});
