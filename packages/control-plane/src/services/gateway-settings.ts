// Settings of the gateway that have to be read or checked before it can start.
// Owns:          turning configured keys and origins into what the gateway works with; every fault of them at once.
// Must not know: requests.

import { readTextFile } from "../adapters/system/text-file.ts";
import { parseApiKeys } from "../gateway/api-keys.ts";
import type { ConfiguredAccess } from "../gateway/key-access.ts";
import { type OriginRules, parseOrigins } from "../gateway/origins.ts";
import { hasLiveKeys } from "../keys/manage.ts";
import type { Clock } from "../ports/clock.ts";
import type { State } from "../ports/state.ts";
import type { Config } from "./configuration.ts";

const KEY_FILE_BYTES_MAX = 4_194_304;

/** What is configured. Throws a sentence for the operator; never shows a key. */
export async function readKeys(config: Config): Promise<ConfiguredAccess> {
  const { auth } = config;
  const { keys, faults } = parseApiKeys({
    keys: auth.apiKeys,
    file: await keyFile(auth.apiKeysPath),
    single: [auth.apiKey],
    defaultTenant: auth.tenant,
    allowsNoKeys: auth.allowsNoAuth || auth.managedKeysOnly,
  });
  if (faults.length > 0) throw new Error(`API keys:\n  ${faults.join("\n  ")}`);
  return {
    configured: keys,
    openTenant: auth.tenant,
    isOpen: keys.length === 0 && auth.allowsNoAuth && !auth.managedKeysOnly,
  };
}

const FIRST_LOOK_MS = 5_000;

/** Nobody could come in, and nobody could make a key: such a start is refused. */
export async function refuseWithoutKeys(
  access: ConfiguredAccess,
  { state, clock }: { readonly state: State; readonly clock: Clock },
): Promise<void> {
  if (access.configured.length > 0 || access.isOpen) return;
  if (await hasLiveKeys(state, clock.deadline(NEVER, FIRST_LOOK_MS))) return;
  throw new Error(
    "API keys:\n  CORDUM_MANAGED_KEYS_ONLY is set, but no key was made yet: start with CORDUM_API_KEY, make one with `cordum keys create`, then start without",
  );
}

const NEVER = new AbortController().signal;

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
