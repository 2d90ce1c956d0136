// Settings of `cordum dev`: the environment, with the defaults of a laptop below it and the command line above it.
// Owns:          which of the three wins.
// Must not know: what the settings mean (the control plane's schema does).
// D1. The API listens on this machine only, unless GATEWAY_HTTP_ADDR says otherwise.
// D2. A key of the folder that the shell exports as well is one key, not two.

import { CommandFailure } from "../failure.ts";
import type { Given } from "../given.ts";
import type { LocalKey } from "../local.ts";

type Environment = { readonly [name: string]: string | undefined };

/** What the environment may say otherwise. */
const DEFAULTS = {
  GATEWAY_HTTP_ADDR: "127.0.0.1:8081",
  GATEWAY_METRICS_ADDR: "off",
  SAFETY_POLICY_RELOAD_INTERVAL: "1s",
  SCHEDULER_CONFIG_RELOAD_INTERVAL: "1s",
  CORDUM_DRAIN_TIMEOUT: "10s",
};

export interface DevPaths {
  readonly data: string;
  readonly keys: string;
  readonly policy: string;
}

export interface DevSources {
  readonly given: Given;
  readonly env: Environment;
  readonly paths: DevPaths;
  readonly keys: readonly LocalKey[];
  /** Standard error is read by a person. */
  readonly isLogOnScreen: boolean;
}

export function devEnvironment({ given, env, paths, keys, isLogOnScreen }: DevSources): Environment {
  const isOwnKey = keys.some(({ key }) => key === env.CORDUM_API_KEY);
  const port = given.whole("port", PORTS);
  const pools = given.text("pools");
  return {
    ...DEFAULTS,
    CORDUM_LOG_FORMAT: isLogOnScreen ? "text" : "json",
    ...withoutEmpty(env),
    ...(isOwnKey && { CORDUM_API_KEY: "" }),
    CORDUM_API_KEYS_PATH: paths.keys,
    CORDUM_DATA_DIR: paths.data,
    SAFETY_POLICY_PATH: paths.policy,
    ...(port !== undefined && { GATEWAY_HTTP_ADDR: `127.0.0.1:${port}` }),
    ...(pools !== undefined && { POOL_CONFIG_PATH: pools }),
  };
}

const PORTS = { min: 0, max: 65_535 };

/** Before anything is made: the port, and options that make no sense for a command that is the server itself. */
export function checkOptions(given: Given): void {
  given.whole("port", PORTS);
  const wrong = (["url", "gateway", "apiKey", "apiKeyFile", "as"] as const).find(
    (option) => given.text(option) !== undefined,
  );
  if (wrong !== undefined)
    throw new CommandFailure("USAGE", "`cordum dev` is the server itself: it takes no --url, --api-key or --as");
}

function withoutEmpty(env: Environment): Environment {
  return Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ""));
}
