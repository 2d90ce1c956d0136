// The servers that tests need: found on this machine, or fetched once into a folder of the project.
// Owns:          finding a Redis or Valkey that is new enough; fetching it from the system's own packages; the sentence that says what
//                to install. Never a silent skip: a suite without its server proves nothing.
// Must not know: how a server is configured or started (servers.ts).

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

/** A program that can be started, with the library path it needs ({} when it is installed in the system). */
export interface Program {
  readonly path: string;
  readonly env: { readonly [name: string]: string };
}

const CACHE_FOLDER = fileURLToPath(new URL("../../../../node_modules/.cache/cordum/servers", import.meta.url));
const UNPACKED_FOLDER = join(CACHE_FOLDER, "unpacked");
const NAMES = ["redis-server", "valkey-server"] as const;
const REDIS_MAJOR_MIN = 7;
const VERSION_TIMEOUT_MS = 5_000;
const APT_TIMEOUT_MS = 45_000;
const APT_NETWORK_TIMEOUT_S = 5;

/** Where one test process notes the servers it started: `<owner pid>-<server pid>`, see `killLeftovers`. */
export const STARTED_FOLDER = join(tmpdir(), "cordum-test-servers");

let found: Program | undefined;

/** The Redis or Valkey to test with. Throws an Error with an install hint when there is none of version 7.0 or later. */
export function findRedis(): Program {
  const tooOld: string[] = [];
  for (const program of found === undefined ? candidates() : [found]) {
    const version = versionOf(program);
    if (version === undefined) continue;
    if (version.major >= REDIS_MAJOR_MIN) {
      found = program;
      return program;
    }
    tooOld.push(`${program.path} is ${version.text}`);
  }
  throw new Error(installHint(tooOld.length === 0 ? "none was found on the PATH" : tooOld.join(", ")));
}

/** Makes sure that tests can start real servers; once per test run. Throws an Error with an install hint, within a minute, when not. */
export function ensureServers(): void {
  killLeftovers();
  try {
    findRedis();
  } catch (missing) {
    const fetched = fetchWithApt();
    if (fetched.kind === "failed") throw new Error(`${messageOf(missing)}\n(${fetched.reason})`, { cause: missing });
    findRedis();
  }
}

/** Ends servers whose test process was killed before it could do so itself. Linux only, where a process can be told by its folder. */
export function killLeftovers(): void {
  if (process.platform !== "linux" || !existsSync(STARTED_FOLDER)) return;
  for (const note of readdirSync(STARTED_FOLDER)) {
    const [owner, server] = note.split("-").map(Number);
    if (owner === undefined || server === undefined || isAlive(owner)) continue;
    const folder = readFileSync(join(STARTED_FOLDER, note), "utf8");
    if (isAlive(server) && workingFolderOf(server) === folder) process.kill(server, "SIGKILL");
    if (basename(folder).startsWith("cordum-")) rmSync(folder, { recursive: true, force: true });
    rmSync(join(STARTED_FOLDER, note), { force: true });
  }
}

function candidates(): Program[] {
  const libraries = unpackedLibraryFolders().join(":");
  const fetched = NAMES.map((name) => ({
    path: join(UNPACKED_FOLDER, "usr/bin", name),
    env: { LD_LIBRARY_PATH: libraries },
  })).filter((program) => existsSync(program.path));
  return [...NAMES.map((name) => ({ path: name, env: {} })), ...fetched];
}

function versionOf(program: Program): { readonly major: number; readonly text: string } | undefined {
  // An empty environment would also lose the PATH, so it is replaced only where a library path is needed.
  const env = Object.keys(program.env).length === 0 ? {} : { env: { ...program.env } };
  const asked = spawnSync(program.path, ["--version"], { encoding: "utf8", timeout: VERSION_TIMEOUT_MS, ...env });
  const text = /v=(\d+\.\d+\.\d+)/.exec(asked.stdout ?? "")?.[1];
  return text === undefined ? undefined : { major: Number(text.split(".")[0]), text };
}

function installHint(why: string): string {
  const how =
    process.platform === "darwin"
      ? 'Run "brew install redis"'
      : 'Run "apt-get install redis-server" (or "apk add redis", "dnf install redis")';
  return `These tests need a real Redis ${REDIS_MAJOR_MIN}.0 or later, or Valkey; ${why}. ${how} and run again.`;
}

type Fetched = { readonly kind: "fetched" } | { readonly kind: "failed"; readonly reason: string };

/** Unpacks Debian's packages into the project, without root and without touching the system. */
function fetchWithApt(): Fetched {
  if (run("apt-get", ["--version"], ".").kind === "failed")
    return { kind: "failed", reason: "apt-get is not available" };
  mkdirSync(UNPACKED_FOLDER, { recursive: true });
  let fetched = downloadPackages();
  if (fetched.kind === "failed" && process.getuid?.() === 0) {
    const updated = run("apt-get", [...aptOptions(), "update"], CACHE_FOLDER);
    fetched = updated.kind === "failed" ? updated : downloadPackages();
  }
  if (fetched.kind === "failed") return fetched;
  for (const file of readdirSync(CACHE_FOLDER).filter((name) => name.endsWith(".deb"))) {
    const unpacked = run("dpkg", ["-x", file, UNPACKED_FOLDER], CACHE_FOLDER);
    if (unpacked.kind === "failed") return unpacked;
  }
  return { kind: "fetched" };
}

function downloadPackages(): Fetched {
  const asked = spawnSync("apt-cache", ["depends", "--no-recommends", "--no-suggests", "redis-tools"], {
    encoding: "utf8",
    timeout: VERSION_TIMEOUT_MS,
  });
  const needed = [...(asked.stdout ?? "").matchAll(/Depends: ((?:lib|lua)[a-z0-9.+-]+)/g)].map(
    (match) => match[1] ?? "",
  );
  // The C library and its relatives belong to the system: a second one beside it would break the program.
  const libraries = needed.filter((name) => !/^lib(c6|gcc|stdc|systemd|ssl)/.test(name));
  return run("apt-get", [...aptOptions(), "download", "redis-server", "redis-tools", ...libraries], CACHE_FOLDER);
}

function aptOptions(): string[] {
  const seconds = String(APT_NETWORK_TIMEOUT_S);
  return [
    "-q",
    "-o",
    "Acquire::Retries=0",
    "-o",
    `Acquire::http::Timeout=${seconds}`,
    "-o",
    `Acquire::https::Timeout=${seconds}`,
  ];
}

function run(command: string, args: readonly string[], folder: string): Fetched {
  const ended = spawnSync(command, args, { cwd: folder, encoding: "utf8", timeout: APT_TIMEOUT_MS });
  if (ended.status === 0) return { kind: "fetched" };
  const why = ended.error?.message ?? ended.stderr.trim().split("\n").at(-1) ?? "";
  return {
    kind: "failed",
    reason: `${command} ${args.find((arg) => arg === "update" || arg === "download") ?? ""} failed: ${why}`,
  };
}

function unpackedLibraryFolders(): string[] {
  const root = join(UNPACKED_FOLDER, "usr/lib");
  if (!existsSync(root)) return [];
  return [root, ...readdirSync(root).map((name) => join(root, name))];
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function workingFolderOf(pid: number): string | undefined {
  try {
    // The first lines of a server's own configuration are its arguments; ours always name the folder.
    const args = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    return args[args.indexOf("--dir") + 1];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
