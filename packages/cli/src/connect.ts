// Which server the command talks to, and as whom.
// Owns:          the order in which address and key are looked for.
// Must not know: what is asked of the server.
// N1. Address: --url (or --gateway), CORDUM_API_URL, CORDUM_GATEWAY, the `cordum dev` of this folder, http://localhost:8081.
// N2. Key: --api-key, --api-key-file, --as, CORDUM_API_KEY, then the admin key of the `cordum dev` of this folder.
// N3. A key from the folder is sent to this machine only.

import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Client } from "@cordum/sdk";
import { CommandFailure } from "./failure.ts";
import type { Given } from "./given.ts";
import { DEFAULT_FOLDER, isOwnMachine, KEYS_FILE, loadAddress, loadKeys } from "./local.ts";
import type { Terminal } from "./terminal.ts";

export const DEFAULT_URL = "http://localhost:8081";

export interface Target {
  readonly url: string;
  readonly apiKey: string | undefined;
}

/** Throws CommandFailure USAGE when what was given cannot be right. */
export function connect(given: Given, terminal: Terminal): Client {
  const { url, apiKey } = findTarget(given, terminal);
  try {
    return new Client({ url, ...(apiKey !== undefined && { apiKey }) });
  } catch (error) {
    if (error instanceof TypeError) throw new CommandFailure("USAGE", error.message);
    throw error;
  }
}

export function findTarget(given: Given, terminal: Terminal): Target {
  const folder = resolve(terminal.folder, terminal.env.CORDUM_DATA_DIR || DEFAULT_FOLDER);
  const url =
    given.text("url") ??
    given.text("gateway") ??
    (terminal.env.CORDUM_API_URL || terminal.env.CORDUM_GATEWAY || (local(() => loadAddress(folder)) ?? DEFAULT_URL));
  return { url, apiKey: findKey({ given, terminal, folder, url }) };
}

interface Search {
  readonly given: Given;
  readonly terminal: Terminal;
  readonly folder: string;
  readonly url: string;
}

function findKey(search: Search): string | undefined {
  const { given, terminal } = search;
  const file = given.text("apiKeyFile");
  const as = given.text("as");
  if (given.text("apiKey") !== undefined) return given.text("apiKey");
  if (file !== undefined) return keyFromFile(file);
  if (as !== undefined) return localKey(search, as);
  if ((terminal.env.CORDUM_API_KEY ?? "") !== "") return terminal.env.CORDUM_API_KEY;
  return isOwnMachine(search.url)
    ? local(() => loadKeys(search.folder))?.find(({ role }) => role === "admin")?.key
    : undefined;
}

function localKey({ folder, url }: Search, name: string): string {
  const path = join(folder, KEYS_FILE);
  if (!isOwnMachine(url))
    throw new CommandFailure("USAGE", `--as takes a key from ${path}, which is not sent to another machine (${url})`);
  const keys = local(() => loadKeys(folder));
  if (keys === undefined) {
    throw new CommandFailure(
      "USAGE",
      `--as ${name}: there is no ${path}`,
      "Run it in the folder where `cordum dev` runs.",
    );
  }
  const found = keys.find((key) => key.principal_id === name);
  if (found !== undefined) return found.key;
  const names = keys.map((key) => key.principal_id).join(", ");
  throw new CommandFailure("USAGE", `--as ${name}: ${path} has keys for ${names}`);
}

function keyFromFile(path: string): string {
  const text = local(() => readFileSync(path, "utf8")) ?? "";
  if (text.trim() === "") throw new CommandFailure("USAGE", `--api-key-file: ${path} is empty`);
  return text.trim();
}

function local<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new CommandFailure("USAGE", error instanceof Error ? error.message : String(error));
  }
}
