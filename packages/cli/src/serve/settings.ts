// Settings of `cordum serve`.
// Owns:          its roles, its own defaults, what may not stand beside them, and what it says about the servers that it uses.
// Must not know: how a process starts.
// V1. A process of a fleet keeps jobs in Redis and speaks over NATS unless the environment says otherwise: nothing is left in one
//     process by forgetting a setting. V2. There are no workers in this process, and those of others read inputs from Redis: any other
//     store is of no use. V3. Passwords are not said.

import { ALL_ROLES, type Config, type ConfigProblem, ROLES, type Role } from "@cordum/control-plane";
import { CommandFailure } from "../failure.ts";
import type { Given } from "../given.ts";
import { withoutProcessNumber } from "./processes.ts";

type Environment = { readonly [name: string]: string | undefined };

/** What the environment may say otherwise. */
const DEFAULTS = { CORDUM_STATE: "redis", NATS_URL: "nats://localhost:4222" };

/** Throws CommandFailure USAGE. */
export function rolesOf(given: Given): ReadonlySet<Role> {
  const wrong = (["url", "gateway", "apiKey", "apiKeyFile", "as"] as const).find(
    (option) => given.text(option) !== undefined,
  );
  if (wrong !== undefined)
    throw new CommandFailure("USAGE", "`cordum serve` is the server itself: it takes no --url, --api-key or --as");
  if (given.text("roles") === undefined) return ALL_ROLES;
  const roles = new Set<Role>();
  for (const name of given.list("roles")) {
    const role = ROLES.find((known) => known === name);
    if (role === undefined)
      throw new CommandFailure("USAGE", `--roles expects ${ROLES.join(", ")} or both, got "${name}"`);
    roles.add(role);
  }
  if (roles.size === 0) throw new CommandFailure("USAGE", `--roles expects ${ROLES.join(", ")} or both`);
  return roles;
}

export function serveEnvironment(env: Environment, isLogOnScreen: boolean): Environment {
  const own = { ...DEFAULTS, CORDUM_LOG_FORMAT: isLogOnScreen ? "text" : "json" };
  return { ...own, ...withoutEmpty(withoutProcessNumber(env)) };
}

/** The same for the `number`th of several processes: each has metrics of its own, at a port of its own. Throws CommandFailure USAGE. */
export function forProcess(config: Config, number: number): Config {
  const { metricsAddress } = config.http;
  if (metricsAddress === "off" || metricsAddress.port === 0) return config;
  const port = metricsAddress.port + number - 1;
  if (port <= PORT_MAX) return { ...config, http: { ...config.http, metricsAddress: { ...metricsAddress, port } } };
  throw new CommandFailure(
    "USAGE",
    `the metrics of process ${number} would be at port ${port}; there is none above ${PORT_MAX}`,
  );
}

const PORT_MAX = 65_535;

/** What is wrong although each setting is right for itself. */
export function problemsTogether({ state }: Config): readonly ConfigProblem[] {
  if (state.kind === "redis") return [];
  const expected = "redis, because workers of other processes read inputs and store results there";
  return [{ name: "CORDUM_STATE", expected, got: JSON.stringify(state.kind) }];
}

/** What the process connects to, for its log. */
export function serversOf({ state, bus }: Config): { readonly state: string; readonly bus: string } {
  return { state: describeState(state), bus: describeBus(bus) };
}

function describeState(state: Config["state"]): string {
  if (state.kind !== "redis") return state.kind;
  if (state.clusterAddresses.length === 0) return `Redis at ${withoutSecrets(state.url)}`;
  return `Redis Cluster at ${state.clusterAddresses.map(({ host, port }) => `${host}:${port}`).join(", ")}`;
}

function describeBus(bus: Config["bus"]): string {
  if (bus.kind === "in_process") return "in this process";
  return `NATS${bus.usesJetStream ? " with JetStream" : ""} at ${bus.url.split(",").map(withoutSecrets).join(", ")}`;
}

function withoutSecrets(url: string): string {
  return url.trim().replace(/\/\/.*@/, "//");
}

function withoutEmpty(env: Environment): Environment {
  return Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value.trim() !== ""));
}
