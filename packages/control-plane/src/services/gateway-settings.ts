// Settings of the gateway that have to be read or checked before it can start.
// Owns:          turning configured keys and origins into what the gateway works with; every fault of them at once.
// Must not know: requests.

import { readTextFile } from "../adapters/system/text-file.ts";
import { parseApiKeys } from "../gateway/api-keys.ts";
import { type Auth, createAuth } from "../gateway/auth.ts";
import { type OriginRules, parseOrigins } from "../gateway/origins.ts";
import type { Config } from "./configuration.ts";

const KEY_FILE_BYTES_MAX = 4_194_304;

/** Throws a sentence for the operator; never shows a key. */
export async function openAuth(config: Config): Promise<Auth> {
  const { auth } = config;
  const { keys, faults } = parseApiKeys({
    keys: auth.apiKeys,
    file: await keyFile(auth.apiKeysPath),
    single: [auth.apiKey],
    defaultTenant: auth.tenant,
    allowsNoKeys: auth.allowsNoAuth,
  });
  if (faults.length > 0) throw new Error(`API keys:\n  ${faults.join("\n  ")}`);
  return createAuth(keys, auth.tenant);
}

export function openOrigins(config: Config): OriginRules {
  const { rules, faults } = parseOrigins(config.http.allowedOrigins ?? []);
  if (faults.length > 0) throw new Error(`CORDUM_ALLOWED_ORIGINS:\n  ${faults.join("\n  ")}`);
  return rules;
}

async function keyFile(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  const file = await readTextFile(path, KEY_FILE_BYTES_MAX);
  if (file.kind === "unreadable") throw new Error(`CORDUM_API_KEYS_PATH: ${file.reason}`);
  return file.text;
}
