// The data folder of `cordum dev`.
// Owns:          making it, its keys, its policy file and the note of the address.
// Must not know: what the keys and the policy are used for.
// F1. The folder and the keys are for their owner alone. F2. What is there stays: nothing that a user may have edited is written again.
// F3. Nothing outside the folder is written: a folder may have come with somebody's repository, links in it included.

import { constants, copyFileSync, existsSync, lstatSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ADDRESS_FILE, KEYS_FILE, type LocalKey, loadKeys } from "../local.ts";

export interface DevFolder {
  readonly path: string;
  readonly keysPath: string;
  readonly keys: readonly LocalKey[];
}

/** Three principals, so that nobody needs to approve a job of their own to see an approval. */
const PRINCIPALS = [
  { principal_id: "admin", role: "admin" },
  { principal_id: "submitter", role: "submitter" },
  { principal_id: "approver", role: "approver" },
];
const KEY_BYTES = 24;

/** What is written to while `cordum dev` runs. */
const WRITTEN = [ADDRESS_FILE, "cordum.db", "cordum.db-wal", "cordum.db-shm", "cordum.db.lock"];

/** `secret`: random bytes as text. Throws Error when the folder cannot be made, its keys not be read, or something in it leads elsewhere. */
export function openFolder(path: string, tenant: string, secret: (bytes: number) => string): DevFolder {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const link = WRITTEN.map((name) => join(path, name)).find(isLink);
  if (link !== undefined) throw new Error(`${link} is a link: what it leads to would be overwritten; delete it`);
  const keysPath = join(path, KEYS_FILE);
  return { path, keysPath, keys: loadKeys(path) ?? makeKeys(keysPath, tenant, secret) };
}

/** Path of the policy file in the folder, which is made from the sample when there is none. */
export function ensurePolicy(folder: DevFolder): string {
  const path = join(folder.path, "policy.yaml");
  if (!existsSync(path)) copyFileSync(new URL("./policy.yaml", import.meta.url), path, constants.COPYFILE_EXCL);
  return path;
}

/** Lets the other commands find the server. */
export function noteAddress(folder: DevFolder, url: string): void {
  writeFileSync(join(folder.path, ADDRESS_FILE), `${JSON.stringify({ url })}\n`, { mode: 0o600 });
}

export function forgetAddress(folder: DevFolder): void {
  rmSync(join(folder.path, ADDRESS_FILE), { force: true });
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
}

function makeKeys(path: string, tenant: string, secret: (bytes: number) => string): readonly LocalKey[] {
  const keys = PRINCIPALS.map((principal) => ({ key: `cordum_${secret(KEY_BYTES)}`, tenant, ...principal }));
  writeFileSync(path, `${JSON.stringify(keys, undefined, 2)}\n`, { mode: 0o600, flag: "wx" });
  return keys;
}
