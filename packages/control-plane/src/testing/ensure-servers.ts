// The servers that tests need: found on this machine, or fetched once into a folder of the project.
// Owns:          finding a Redis or Valkey and a NATS server that are new enough; fetching them from the system's own packages; the
//                sentence that says what to install. Never a silent skip: a suite without its server proves nothing.
// Must not know: how a server is configured or started (servers.ts).

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { messageOf } from "../ports/fault.ts";

/** A program that can be started, with the library path it needs ({} when it is installed in the system). */
export interface Program {
  readonly path: string;
  readonly env: { readonly [name: string]: string };
}

const CACHE_FOLDER = fileURLToPath(new URL("../../../../node_modules/.cache/cordum/servers", import.meta.url));
const UNPACKED_FOLDER = join(CACHE_FOLDER, "unpacked");
const VERSION_TIMEOUT_MS = 5_000;
const APT_TIMEOUT_MS = 45_000;
const APT_NETWORK_TIMEOUT_S = 5;

/** Where one test process notes the servers it started: `<owner pid>-<server pid>`, see `killLeftovers`. */
export const STARTED_FOLDER = join(tmpdir(), "cordum-test-servers");

interface Wanted {
  readonly called: string;
  readonly names: readonly string[];
  /** Where packages put it; not always on the PATH. */
  readonly folders: readonly string[];
  /** Captures major and minor of what the program says about its version. */
  readonly versionPattern: RegExp;
  readonly versionMin: readonly [number, number];
  readonly install: { readonly darwin: string; readonly others: string };
  /** Debian packages; of those in `librariesOf` the libraries are fetched too. */
  readonly packages: readonly string[];
  readonly librariesOf?: string;
}

const REDIS: Wanted = {
  called: "Redis 7.0 or later, or Valkey",
  names: ["redis-server", "valkey-server"],
  folders: ["usr/bin"],
  versionPattern: /v=(\d+)\.(\d+)\./,
  versionMin: [7, 0],
  install: { darwin: "brew install redis", others: "apt-get install redis-server" },
  packages: ["redis-server", "redis-tools"],
  librariesOf: "redis-tools",
};
const NATS: Wanted = {
  called: "NATS server 2.9 or later",
  names: ["nats-server"],
  folders: ["usr/sbin", "usr/bin"],
  versionPattern: /v(\d+)\.(\d+)\./,
  versionMin: [2, 9],
  install: { darwin: "brew install nats-server", others: "apt-get install nats-server" },
  packages: ["nats-server"],
};

const found = new Map<Wanted, Program>();

/** The Redis or Valkey to test with. Throws an Error with an install hint when there is none of version 7.0 or later. */
export function findRedis(): Program {
  return find(REDIS);
}

/** The NATS server to test with. Throws an Error with an install hint when there is none of version 2.9 or later. */
export function findNats(): Program {
  return find(NATS);
}

/** Makes sure that tests can start real servers; once per test run. Throws an Error with an install hint, within a minute, when not. */
export function ensureServers(): void {
  killLeftovers();
  for (const wanted of [REDIS, NATS]) {
    try {
      find(wanted);
    } catch (missing) {
      const fetched = fetchWithApt(wanted);
      if (fetched.kind === "failed") throw new Error(`${messageOf(missing)}\n(${fetched.reason})`, { cause: missing });
      find(wanted);
    }
  }
}

/** Ends servers whose test process was killed before it could do so itself. Linux only, where a process can be told by its folder. */
export function killLeftovers(): void {
  if (process.platform !== "linux" || !existsSync(STARTED_FOLDER)) return;
  for (const note of readdirSync(STARTED_FOLDER)) {
    const [owner, server] = note.split("-").map(Number);
    if (owner === undefined || server === undefined || isAlive(owner)) continue;
    const folder = readFileSync(join(STARTED_FOLDER, note), "utf8");
    if (isAlive(server) && worksIn(server, folder)) process.kill(server, "SIGKILL");
    if (basename(folder).startsWith("cordum-")) rmSync(folder, { recursive: true, force: true });
    rmSync(join(STARTED_FOLDER, note), { force: true });
  }
}

function find(wanted: Wanted): Program {
  const known = found.get(wanted);
  if (known !== undefined) return known;
  const tooOld: string[] = [];
  for (const program of candidates(wanted)) {
    const version = versionOf(program, wanted);
    if (version === undefined) continue;
    if (
      version[0] > wanted.versionMin[0] ||
      (version[0] === wanted.versionMin[0] && version[1] >= wanted.versionMin[1])
    ) {
      found.set(wanted, program);
      return program;
    }
    tooOld.push(`${program.path} is ${version.join(".")}`);
  }
  throw new Error(installHint(wanted, tooOld.length === 0 ? "none was found" : tooOld.join(", ")));
}

function candidates({ names, folders }: Wanted): Program[] {
  const env = { LD_LIBRARY_PATH: unpackedLibraryFolders().join(":") };
  const inFolders = (root: string): string[] =>
    folders.flatMap((folder) => names.map((name) => join(root, folder, name))).filter((path) => existsSync(path));
  const installed = [...names, ...inFolders("/")].map((path) => ({ path, env: {} }));
  return [...installed, ...inFolders(UNPACKED_FOLDER).map((path) => ({ path, env }))];
}

function versionOf(program: Program, wanted: Wanted): readonly [number, number] | undefined {
  // An empty environment would also lose the PATH, so it is replaced only where a library path is needed.
  const env = Object.keys(program.env).length === 0 ? {} : { env: { ...program.env } };
  const options = { encoding: "utf8", timeout: VERSION_TIMEOUT_MS, ...env } as const;
  const said = wanted.versionPattern.exec(spawnSync(program.path, ["--version"], options).stdout ?? "");
  return said === null ? undefined : [Number(said[1]), Number(said[2])];
}

function installHint({ called, install }: Wanted, why: string): string {
  const how = process.platform === "darwin" ? install.darwin : install.others;
  return `These tests need a real ${called}; ${why}. Run "${how}" (or your system's own way) and run again.`;
}

type Fetched = { readonly kind: "fetched" } | { readonly kind: "failed"; readonly reason: string };

/** Unpacks Debian's packages into the project, without root and without touching the system. */
function fetchWithApt(wanted: Wanted): Fetched {
  if (run("apt-get", ["--version"], ".").kind === "failed")
    return { kind: "failed", reason: "apt-get is not available" };
  mkdirSync(UNPACKED_FOLDER, { recursive: true });
  let fetched = downloadPackages(wanted);
  if (fetched.kind === "failed" && process.getuid?.() === 0) {
    const updated = run("apt-get", [...aptOptions(), "update"], CACHE_FOLDER);
    fetched = updated.kind === "failed" ? updated : downloadPackages(wanted);
  }
  if (fetched.kind === "failed") return fetched;
  for (const file of readdirSync(CACHE_FOLDER).filter((name) => name.endsWith(".deb"))) {
    const unpacked = run("dpkg", ["-x", file, UNPACKED_FOLDER], CACHE_FOLDER);
    if (unpacked.kind === "failed") return unpacked;
  }
  return { kind: "fetched" };
}

function downloadPackages({ packages, librariesOf }: Wanted): Fetched {
  const libraries = librariesOf === undefined ? [] : librariesNeededBy(librariesOf);
  return run("apt-get", [...aptOptions(), "download", ...packages, ...libraries], CACHE_FOLDER);
}

function librariesNeededBy(name: string): readonly string[] {
  const asked = spawnSync("apt-cache", ["depends", "--no-recommends", "--no-suggests", name], {
    encoding: "utf8",
    timeout: VERSION_TIMEOUT_MS,
  });
  const needed = [...(asked.stdout ?? "").matchAll(/Depends: ((?:lib|lua)[a-z0-9.+-]+)/g)].map(
    (match) => match[1] ?? "",
  );
  // The C library and its relatives belong to the system: a second one beside it would break the program.
  return needed.filter((library) => !/^lib(c6|gcc|stdc|systemd|ssl)/.test(library));
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

/** Servers of tests are started with the folder they work in as an argument. */
function worksIn(pid: number, folder: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}
