// A real `cordum dev` or `cordum serve` process for tests and the bench.
// Owns:          starting it in a folder of its own, waiting for its ready line, ending it.
// Must not know: what is tested.

import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const COMMAND = fileURLToPath(new URL("../../bin/cordum.mjs", import.meta.url));

const START_MS_MAX = 30_000;

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface ServerProcess {
  readonly child: ChildProcess;
  /** All of standard output and standard error so far. */
  said(): string;
  /** Resolves when the process has ended. */
  readonly ended: Promise<Ran>;
}
export interface DevProcess extends ServerProcess {
  readonly url: string;
}

/** Runs the command to its end. */
export function runCommand(
  args: readonly string[],
  at: { readonly cwd: string; readonly env?: NodeJS.ProcessEnv },
): Promise<Ran> {
  return start(args, at).ended;
}

/** Rejects with what was said when the process ends instead of being ready, or is not ready after START_MS_MAX. `args` come behind `dev --port 0`. */
export async function startDev(
  cwd: string,
  args: readonly string[] = [],
  env: NodeJS.ProcessEnv = {},
): Promise<DevProcess> {
  const started = start(["dev", "--port", "0", ...args], { cwd, env });
  const url = await untilSaid(started, /^Cordum is ready at (\S+)[\s\S]*Ctrl-C stops it\./m);
  return { ...started, url };
}

/** `args` come behind `serve`. `url` is that of the API, "" without a gateway. Rejects as `startDev` does. */
export async function startServe(
  args: readonly string[],
  at: { readonly cwd: string; readonly env?: NodeJS.ProcessEnv },
): Promise<DevProcess> {
  const started = start(["serve", ...args], at);
  const url = await untilSaid(started, /^Cordum [\w ]+ ready(?: at (\S+))? after/m);
  return { ...started, url };
}

/** What the pattern's group has found in what the process said. */
function untilSaid(started: ServerProcess, pattern: RegExp): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  started.child.stdout?.on("data", () => {
    const found = pattern.exec(started.said());
    if (found !== null) resolve(found[1] ?? "");
  });
  void started.ended.then(({ code }) => reject(new Error(`the command ended with ${code}:\n${started.said()}`)));
  const late = setTimeout(() => {
    started.child.kill("SIGKILL");
    reject(new Error(`the command is not ready after ${START_MS_MAX / 1_000} s:\n${started.said()}`));
  }, START_MS_MAX);
  return promise.finally(() => clearTimeout(late));
}

function start(
  args: readonly string[],
  { cwd, env }: { readonly cwd: string; readonly env?: NodeJS.ProcessEnv },
): ServerProcess {
  const child = spawn(process.execPath, [COMMAND, ...args], {
    cwd,
    env: { ...cleanEnvironment(), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [out, err] = ["", ""];
  child.stdout.on("data", (chunk) => {
    out += String(chunk);
  });
  child.stderr.on("data", (chunk) => {
    err += String(chunk);
  });
  const ended = new Promise<Ran>((resolve) => child.on("close", (code) => resolve({ code, out, err })));
  return { child, ended, said: () => out + err };
}

/** Without settings of whoever runs the tests. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const ours = /^(CORDUM_|API_|GATEWAY_|NATS_|REDIS_|SAFETY_|POOL_|TIMEOUT_|TENANT_ID$|JOB_META_|SCHEDULER_|CORS_)/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !ours.test(name)));
}
