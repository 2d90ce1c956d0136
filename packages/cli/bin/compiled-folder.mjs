// Where Node keeps what it has compiled of the command, so that the next start has less to do.
// Owns:          a folder that nobody else can write into: who writes there decides what runs.
// Must not know: who asks.
// Source: "Module compile cache" in Node's documentation of node:module.
import { mkdirSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const WRITABLE_BY_OTHERS = 0o022;

/** Made if need be. Undefined where there is none to be trusted: starts take longer then, and nothing else changes. */
export function compiledFolder() {
  try {
    const folder = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "cordum", "compiled");
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const { uid, mode } = statSync(folder);
    const isOurs = process.getuid === undefined || (uid === process.getuid() && (mode & WRITABLE_BY_OTHERS) === 0);
    return isOurs ? folder : undefined;
  } catch {
    return undefined;
  }
}
