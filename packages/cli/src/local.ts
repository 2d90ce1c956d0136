// What `cordum dev` leaves in its data folder for the other commands.
// Owns:          the names and forms of keys.json and dev.json.
// Must not know: servers.
// L1. keys.json holds secrets and is readable by its owner alone. L2. Both files are read as untrusted input: a folder may come
//     from anybody, so its address counts only when it is this machine's own.

import { readFileSync } from "node:fs";
import { join } from "node:path";

export const KEYS_FILE = "keys.json";
export const ADDRESS_FILE = "dev.json";
export const DEFAULT_FOLDER = ".cordum";

/** One entry of CORDUM_API_KEYS_PATH. */
export interface LocalKey {
  readonly key: string;
  readonly tenant: string;
  readonly role: string;
  readonly principal_id: string;
}

/** Undefined when there is no such file. Throws Error with a sentence when it is there and cannot be read. */
export function loadKeys(folder: string): readonly LocalKey[] | undefined {
  const path = join(folder, KEYS_FILE);
  const value = loadJson(path);
  if (value === undefined) return undefined;
  if (!Array.isArray(value) || !value.every(isKey))
    throw new Error(`${path} is no list of keys; delete it to get new ones`);
  return value;
}

/** Address of the `cordum dev` that runs (or ran last) on this folder. */
export function loadAddress(folder: string): string | undefined {
  const value = loadJson(join(folder, ADDRESS_FILE));
  const url = typeof value === "object" && value !== null && "url" in value ? value.url : undefined;
  return typeof url === "string" && isOwnMachine(url) ? url : undefined;
}

export function isOwnMachine(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, hostname } = new URL(url);
  return (protocol === "http:" || protocol === "https:") && /^(localhost|127\.0\.0\.1|\[::1\])$/.test(hostname);
}

function loadJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw new Error(`cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

function isKey(value: unknown): value is LocalKey {
  if (typeof value !== "object" || value === null) return false;
  return ["key", "tenant", "role", "principal_id"].every((member) => {
    const found: unknown = Object.hasOwn(value, member) ? Reflect.get(value, member) : undefined;
    return typeof found === "string" && found !== "";
  });
}
