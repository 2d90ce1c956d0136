// A reader's terminal: a folder in which commands of the documents are typed.
// Owns:          the folder, the commands `cordum`, `npx` and `redis-cli` as an installation has them, an environment without anybody's
//                settings, what was said, the end of everything that was started.
// Must not know: which commands, and which documents.

import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, delimiter, dirname, join } from "node:path";
import { findRedis } from "@cordum/control-plane/testing/ensure-servers";

const ROOT = join(import.meta.dirname, "..", "..");
/** Without the launcher, so that the process id is that of the command itself. */
const COMMAND = `"${process.execPath}" --conditions=source --disable-warning=ExperimentalWarning "${join(ROOT, "packages/cli/src/main.ts")}"`;
const READY_MS_MAX = 60_000;
const SETTINGS = /^(CORDUM_|API_|GATEWAY_|NATS_|REDIS_|SAFETY_|POOL_|TIMEOUT_|TENANT_ID$|JOB_META_|SCHEDULER_|OTEL_)/;

/** None outlives the process that started it. */
const live = new Set<ChildProcess>();
process.once("exit", () => live.forEach((child) => void child.kill("SIGKILL")));

export interface Said {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface Started {
  readonly pid: number;
  /** Both streams so far. */
  said(): string;
  kill(signal: NodeJS.Signals): void;
  readonly ended: Promise<Said>;
}

/** As an installation has them. */
function programs(bin: string): readonly (readonly [string, string])[] {
  const redis = findRedis();
  const cli = join(dirname(redis.path), basename(redis.path).replace("server", "cli"));
  const libraries = Object.entries(redis.env).map(([name, value]) => `${name}="${value}" `);
  return [
    ["cordum", `exec ${COMMAND} "$@"`],
    ["npx", `test "$1" = cordum || exit 127\nshift\nexec "${join(bin, "cordum")}" "$@"`],
    // Behind this folder on the path where it is installed in the system.
    ["redis-cli", `PATH="\${PATH#*:}"; ${libraries.join("")}exec ${cli} "$@"`],
  ];
}

export class Terminal implements AsyncDisposable {
  readonly home: string;
  readonly #env: Record<string, string | undefined>;
  readonly #started: Started[] = [];

  private constructor(home: string, env: Readonly<Record<string, string | undefined>>) {
    this.home = home;
    this.#env = { ...env };
  }

  /** In a folder of its own, which goes with it. */
  static open(): Terminal {
    const home = mkdtempSync(join(tmpdir(), "cordum-reader-"));
    const bin = join(home, "bin");
    mkdirSync(bin);
    for (const [name, script] of programs(bin)) {
      writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
      chmodSync(join(bin, name), 0o755);
    }
    for (const folder of ["node_modules", "scripts"]) symlinkSync(join(ROOT, folder), join(home, folder));
    writeFileSync(join(home, "package.json"), '{"type":"module"}');
    const rest = Object.entries(process.env).filter(([name]) => !SETTINGS.test(name) && name !== "FORCE_COLOR");
    const PATH = `${bin}${delimiter}${process.env.PATH}`;
    return new Terminal(home, { ...Object.fromEntries(rest), PATH, NO_COLOR: "1" });
  }

  /** A second one in the same folder, with an environment of its own; to be ended before this one. */
  another(): Terminal {
    return new Terminal(this.home, this.#env);
  }

  path(...names: readonly string[]): string {
    return join(this.home, ...names);
  }

  /** As `export` does, for all that follows. */
  set(env: Readonly<Record<string, string>>): void {
    Object.assign(this.#env, env);
  }

  /** Runs a script to its end, and its first fault is its end. */
  run(script: string): Promise<Said> {
    return this.#spawn(script).ended;
  }

  /** What a script says that must succeed. */
  async says(script: string): Promise<string> {
    const { code, out, err } = await this.run(script);
    if (code !== 0) throw new Error(`${script}\nended with ${code}:\n${out}${err}`);
    return out;
  }

  /** Starts one command that goes on, and resolves when it has said that it is ready. It has the process id of the shell. */
  async start(command: string, ready: RegExp, env: Readonly<Record<string, string>> = {}): Promise<Started> {
    const started = this.#spawn(`exec env ${command}`, env);
    this.#started.push(started);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const look = (): void => {
      if (ready.test(started.said())) resolve();
    };
    started.heard(look);
    void started.ended.then(({ code }) => reject(new Error(`${command}\nended with ${code}:\n${started.said()}`)));
    const tooLate = setTimeout(() => reject(new Error(`${command}\nis not ready:\n${started.said()}`)), READY_MS_MAX);
    await promise.finally(() => clearTimeout(tooLate));
    return started;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const started of this.#started) started.kill("SIGKILL");
    await Promise.all(this.#started.map(({ ended }) => ended));
    rmSync(this.home, { recursive: true, force: true });
  }

  #spawn(script: string, env: Readonly<Record<string, string>> = {}) {
    const child = spawn("bash", ["-ec", script], {
      cwd: this.home,
      env: { ...this.#env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    live.add(child);
    child.once("close", () => live.delete(child));
    let [out, err] = ["", ""];
    child.stdout.on("data", (chunk) => {
      out += String(chunk);
    });
    child.stderr.on("data", (chunk) => {
      err += String(chunk);
    });
    const ended = new Promise<Said>((resolve) => child.once("close", (code) => resolve({ code, out, err })));
    return {
      pid: child.pid ?? 0,
      said: () => out + err,
      heard: (listener: () => void) => {
        child.stdout.on("data", listener);
        child.stderr.on("data", listener);
      },
      kill: (signal: NodeJS.Signals) => void child.kill(signal),
      ended,
    };
  }
}
