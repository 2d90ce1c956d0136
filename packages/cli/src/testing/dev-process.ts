// A real `cordum dev` process for tests.
// Owns:          starting it in a folder of its own, waiting for its ready line, ending it.
// Must not know: what is tested.

import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const COMMAND = fileURLToPath(new URL("../../bin/cordum.mjs", import.meta.url));

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface DevProcess {
  readonly url: string;
  readonly child: ChildProcess;
  /** All of standard output and standard error so far. */
  said(): string;
  /** Resolves when the process has ended. */
  readonly ended: Promise<Ran>;
}

/** Runs the command to its end. */
export function runCommand(
  args: readonly string[],
  at: { readonly cwd: string; readonly env?: NodeJS.ProcessEnv },
): Promise<Ran> {
  return start(args, at).ended;
}

/** Rejects with what was said when the process ends instead of being ready. `args` come behind `dev --port 0`. */
export async function startDev(
  cwd: string,
  args: readonly string[] = [],
  env: NodeJS.ProcessEnv = {},
): Promise<DevProcess> {
  const started = start(["dev", "--port", "0", ...args], { cwd, env });
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const look = () => {
    const url = /^Cordum is ready at (\S+)/m.exec(started.said())?.[1];
    if (url !== undefined && started.said().includes("Ctrl-C stops it.")) resolve(url);
  };
  started.child.stdout?.on("data", look);
  void started.ended.then(({ code }) => reject(new Error(`cordum dev ended with ${code}:\n${started.said()}`)));
  return { ...started, url: await promise };
}

function start(args: readonly string[], { cwd, env }: { readonly cwd: string; readonly env?: NodeJS.ProcessEnv }) {
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
  const ours = /^(CORDUM_|API_|GATEWAY_|REDIS_|SAFETY_|POOL_|TIMEOUT_|TENANT_ID$|JOB_META_|SCHEDULER_|CORS_)/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !ours.test(name)));
}
