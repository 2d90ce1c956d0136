// A control plane of real processes for the contract: one process on SQLite, or a gateway and a scheduler on Redis and NATS.
// Owns:          starting and ending them; keys, policy and worker that the table counts on.
// Must not know: what the table demands.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startNats } from "@cordum/control-plane/testing/nats-servers";
import { startRedis } from "@cordum/control-plane/testing/servers";
import { Client, JobError, type Serving, serve, worker } from "@cordum/sdk";
import { type DevProcess, startDev, startServe } from "../../packages/cli/src/testing/dev-process.ts";

/** Who calls: a role of tenant acme, the same of another tenant, one who may name any tenant, or nobody. */
export const PEOPLE = ["admin", "operator", "approver", "submitter", "viewer", "worker", "foreign", "root"] as const;
export type Person = (typeof PEOPLE)[number] | "nobody" | "stranger";

const KEYS = PEOPLE.map((person) => ({
  key: keyOf(person),
  tenant: person === "foreign" ? "other" : "acme",
  role: person === "foreign" || person === "root" ? "admin" : person,
  principal_id: person,
  ...(person === "root" ? { allow_cross_tenant: true } : {}),
}));

export function keyOf(person: Person): string {
  return `key-${person}-0000000000`;
}

/** What a gateway makes of the name of a worker that connects with a key of acme. */
export const WORKER_ID = "acme.contract-worker";

const POLICY = `
version: contract-1
default_decision: allow
rules:
  - { id: no, match: { topics: ["job.no"] }, decision: deny, reason: never }
  - { id: ask, match: { topics: ["job.ask"] }, decision: require_approval, reason: a person must look }
  - { id: slow, match: { topics: ["job.slow"] }, decision: throttle, retry_after_ms: 60000, reason: too many }
  - id: small
    match: { topics: ["job.small"] }
    decision: allow_with_constraints
    reason: small ones only
    constraints: { budgets: { max_runtime_ms: 60000 }, sandbox: { isolated: true, network_allowlist: [a.example] } }
  - id: better
    match: { topics: ["job.better"] }
    decision: deny
    reason: there is a better way
    remediations: [{ id: this-way, title: This way, replacement_topic: job.echo, add_labels: { way: this } }]
  - id: ways
    match: { topics: ["job.ways"] }
    decision: deny
    reason: choose
    remediations: [{ id: one, replacement_topic: job.echo }, { id: two, replacement_topic: job.ask }]
`;

export interface Town extends AsyncDisposable {
  readonly url: string;
  /** Of the one process, or of the gateway. */
  said(): string;
  client(person: Person): Client;
}
export type OpenTown = () => Promise<Town>;

const ENV = {
  GATEWAY_HTTP_ADDR: "127.0.0.1:0",
  GATEWAY_METRICS_ADDR: "off",
  SCHEDULER_METRICS_ADDR: "off",
  API_RATE_LIMIT_RPS: "100000",
  API_RATE_LIMIT_BURST: "100000",
  API_PUBLIC_RATE_LIMIT_RPS: "100000",
  API_PUBLIC_RATE_LIMIT_BURST: "100000",
  ARTIFACT_MAX_BYTES: "4096",
};

async function open(start: (home: string, stack: AsyncDisposableStack) => Promise<DevProcess>): Promise<Town> {
  await using stack = new AsyncDisposableStack();
  const home = mkdtempSync(join(tmpdir(), "cordum-contract-"));
  stack.defer(() => rmSync(home, { recursive: true, force: true }));
  writeFileSync(join(home, "policy.yaml"), POLICY);
  writeFileSync(join(home, "keys.json"), JSON.stringify(KEYS));
  const { url, said } = await start(home, stack);
  const serving = await work(url);
  stack.defer(() => serving.drain());
  const owned = stack.move();
  return {
    url,
    said,
    client: (person) => new Client({ url, apiKey: keyOf(person) }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** A process that lets each key send two requests at once, and one a second. */
export async function openBusyTown(): Promise<Pick<Town, "url"> & AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const home = mkdtempSync(join(tmpdir(), "cordum-contract-"));
  stack.defer(() => rmSync(home, { recursive: true, force: true }));
  mkdirSync(join(home, ".cordum"));
  writeFileSync(join(home, ".cordum", "keys.json"), JSON.stringify(KEYS), { mode: 0o600 });
  const limits = { API_RATE_LIMIT_RPS: "1", API_RATE_LIMIT_BURST: "2" };
  const { url } = ending(stack, await startDev(home, ["--no-sample-workers"], { ...ENV, ...limits }));
  const owned = stack.move();
  return { url, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

export const TOWNS: { readonly [engine: string]: OpenTown } = {
  "one process on SQLite": () =>
    open(async (home, stack) => {
      mkdirSync(join(home, ".cordum"));
      writeFileSync(join(home, ".cordum", "keys.json"), JSON.stringify(KEYS), { mode: 0o600 });
      return ending(stack, await startDev(home, ["--policy", "policy.yaml", "--no-sample-workers"], ENV));
    }),
  "a gateway and a scheduler on Redis and NATS": () =>
    open(async (home, stack) => {
      const redis = stack.use(await startRedis());
      const nats = stack.use(await startNats());
      const env = {
        ...ENV,
        CORDUM_STATE: "redis",
        REDIS_URL: redis.url,
        NATS_URL: nats.url,
        CORDUM_API_KEYS_PATH: "keys.json",
        SAFETY_POLICY_PATH: "policy.yaml",
      };
      const [, gateway] = [
        ending(stack, await startServe(["--roles", "scheduler"], { cwd: home, env })),
        ending(stack, await startServe(["--roles", "gateway"], { cwd: home, env })),
      ];
      return gateway;
    }),
};

function ending(stack: AsyncDisposableStack, process: DevProcess): DevProcess {
  stack.defer(async () => {
    process.child.kill("SIGTERM");
    await process.ended;
  });
  return process;
}

/** job.echo gives its input back, job.fail fails, job.hold works until it is stopped. */
function work(url: string): Promise<Serving> {
  const nothing = (): void => undefined;
  const log = { debug: nothing, info: nothing, warn: nothing, error: nothing };
  return serve(
    [
      worker("job.echo", (input) => ({ echo: input })),
      worker("job.small", (input) => ({ echo: input })),
      worker("job.ask", () => "approved"),
      worker("job.fail", () => {
        throw new JobError("MAILBOX_FULL", "mailbox 4711 is full");
      }),
      worker(
        "job.hold",
        (_, { signal }) => new Promise((_resolve, reject) => signal.addEventListener("abort", reject)),
      ),
    ],
    { url: { gateway: url, apiKey: keyOf("worker") }, workerId: "contract-worker", log },
  );
}
