// Processes of the control plane as a test needs them, inside the test's own process.
// Owns:          their settings, starting them, ending them in an order in which jobs could still be finished.
// Must not know: servers (servers.ts), what is tested.

import { parseConfiguration } from "@cordum/control-plane/services/configuration";
import { type Running, startNode } from "@cordum/control-plane/services/node";
import type { Role } from "@cordum/control-plane/services/roles";
import { silentLog } from "@cordum/control-plane/telemetry/log";

export const KEYS = [
  { key: "key-ada-0000000000", tenant: "acme", role: "submitter", principal_id: "ada" },
  { key: "key-bob-0000000000", tenant: "acme", role: "approver", principal_id: "bob" },
  { key: "key-ops-0000000000", tenant: "acme", role: "admin", principal_id: "ops" },
  { key: "key-eve-0000000000", tenant: "evil", role: "admin", principal_id: "eve" },
  { key: "key-wes-0000000000", tenant: "acme", role: "worker", principal_id: "wes" },
  { key: "key-wim-0000000000", tenant: "evil", role: "worker", principal_id: "wim" },
];

/** What tests want of every node: free ports, known keys, no limit of rate. */
export const NODE_ENV: Readonly<Record<string, string>> = {
  GATEWAY_HTTP_ADDR: "127.0.0.1:0",
  GATEWAY_METRICS_ADDR: "off",
  SCHEDULER_METRICS_ADDR: "off",
  CORDUM_API_KEYS: JSON.stringify(KEYS),
  CORDUM_OPEN_ROUTING: "true",
  API_RATE_LIMIT_RPS: "100000",
  API_RATE_LIMIT_BURST: "100000",
};

export interface Nodes extends AsyncDisposable {
  readonly running: readonly Running[];
  /** Of the gateways. */
  readonly urls: readonly string[];
}

/** One node for each set of roles, all with the same settings. */
export async function startNodes(
  roles: readonly (readonly Role[])[],
  env: Readonly<Record<string, string>>,
): Promise<Nodes> {
  await using started = new AsyncDisposableStack();
  const running: Running[] = [];
  for (const each of roles) {
    const parsed = parseConfiguration({ ...NODE_ENV, ...env }, new Set(each));
    if (parsed.kind === "invalid") throw new Error(JSON.stringify(parsed.problems));
    const node = await startNode({ config: parsed.config, log: silentLog(), roles: new Set(each) });
    started.defer(() => node.drain());
    running.push(node);
  }
  const owned = started.move();
  return {
    running,
    urls: running.flatMap(({ url }) => url ?? []),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
