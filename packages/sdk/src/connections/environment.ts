// Environment: the names under which operators say where NATS and Redis are, or the gateway.
// Owns:          the names, and how their texts are read.
// Must not know: where the texts come from (runtime.ts), what is done with them.
// E1. All problems are told at once. E2. Values stay unsaid: among them are passwords.

import type { GatewayTarget } from "./gateway-target.ts";
import type { ConnectionTarget } from "./target.ts";
import type { TlsFiles } from "./tls.ts";

/** The text behind a name; undefined when there is none. */
type Read = (name: string) => string | undefined;

const YES = /^(1|true|yes|y|on)$/i;
const NO = /^(0|false|no|n|off)$/i;

/** Throws one TypeError with a line per problem. NATS is taken where both are named: a worker of the house has its credentials. */
export function targetFromEnvironment(read: Read): ConnectionTarget | GatewayTarget {
  const gateway = read("CORDUM_API_URL") ?? read("CORDUM_GATEWAY");
  return gateway === undefined || read("NATS_URL") !== undefined ? fleetFromEnvironment(read) : { gateway };
}

function fleetFromEnvironment(read: Read): ConnectionTarget {
  const problems: string[] = [];
  const servers = read("NATS_URL");
  const url = read("REDIS_URL");
  const clusterAddresses = read("REDIS_CLUSTER_ADDRESSES")
    ?.split(/[\s,]+/)
    .filter((address) => address !== "");
  if (servers === undefined) problems.push("NATS_URL  expected nats://host:port or tls://host:port, got nothing");
  if (url === undefined && clusterAddresses === undefined)
    problems.push("REDIS_URL  expected redis://host:port or rediss://host:port, got nothing");
  const username = read("NATS_USERNAME");
  const password = read("NATS_PASSWORD");
  if ((username === undefined) !== (password === undefined))
    problems.push("NATS_USERNAME and NATS_PASSWORD  expected both or neither");
  const natsTls = tlsOf("NATS", read, problems);
  const redisTls = tlsOf("REDIS", read, problems);
  if (problems.length > 0) throw new TypeError(`the environment names no connection:\n  ${problems.join("\n  ")}`);
  return {
    nats: {
      servers: servers ?? "",
      ...given("username", username),
      ...given("password", password),
      ...given("token", read("NATS_TOKEN")),
      ...given("nkeySeed", read("NATS_NKEY")),
      ...given("tls", natsTls),
    },
    redis: { ...given("url", url), ...given("clusterAddresses", clusterAddresses), ...given("tls", redisTls) },
  };
}

function tlsOf(whose: "NATS" | "REDIS", read: Read, problems: string[]): TlsFiles | undefined {
  const files = {
    ...given("caFile", read(`${whose}_TLS_CA`)),
    ...given("certFile", read(`${whose}_TLS_CERT`)),
    ...given("keyFile", read(`${whose}_TLS_KEY`)),
    ...given("serverName", read(`${whose}_TLS_SERVER_NAME`)),
    ...given("insecure", flagOf(`${whose}_TLS_INSECURE`, read, problems)),
  };
  if ("certFile" in files !== "keyFile" in files)
    problems.push(`${whose}_TLS_CERT and ${whose}_TLS_KEY  expected both or neither`);
  return Object.keys(files).length === 0 ? undefined : files;
}

function flagOf(name: string, read: Read, problems: string[]): boolean | undefined {
  const text = read(name);
  if (text === undefined) return undefined;
  if (!YES.test(text) && !NO.test(text)) problems.push(`${name}  expected true or false`);
  return YES.test(text);
}

function given<K extends string, V>(name: K, value: V | undefined): { readonly [P in K]?: V } {
  return value === undefined ? {} : ({ [name]: value } as { readonly [P in K]?: V });
}
