// What was recorded of the original, replayed: its packets and its people's calls reach our gateway and scheduler on NATS and Redis, and
// what ours send and answer is compared with what the original sent and answered.
// Different everywhere, on purpose, and so not compared:
// - no CORDUM_EFFECTIVE_CONFIG in the environment of jobs: there is no configuration service yet, and the original's leaked pools and
//   timeouts to every worker (W-25);
// - dispatches carry a DispatchIdentity, so that a result can be told from one of an earlier attempt;
// - dead letters and ends carry the trace of their job and the worker that reported it (the original: the job's id, and nobody).

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "@cordum/sdk";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startNodes } from "./nodes.ts";
import { RECORDED_POLICY, RECORDED_POOLS, RECORDED_TIMEOUTS, SCENARIOS } from "./recording.ts";
import { type Fields, hearOurs, Replay } from "./replay.ts";
import { startServers } from "./servers.ts";

interface Difference {
  readonly scenarios: readonly string[];
  /** By field: what ours says instead. */
  readonly ours: Fields;
  readonly why: string;
}
const NO_MAPPING = 'no_pool_mapping: topic "job.unrouted" is not mapped to a pool';
const DIFFERENCES: readonly Difference[] = [
  {
    scenarios: ["denied", "failed", "no_pool"],
    ours: { "job result_ptr": "" },
    why: "no result is invented for a job that has none; the original's took the place of a real one (W-32)",
  },
  {
    scenarios: ["denied"],
    ours: { "job last_state": "PENDING" },
    why: "the last state is the one before the end: the end is the state",
  },
  { scenarios: ["no_pool"], ours: { "job last_state": "SCHEDULED" }, why: "as above" },
  { scenarios: ["failed", "cancelled", "timeout"], ours: { "job last_state": "DISPATCHED" }, why: "as above" },
  {
    scenarios: ["denied"],
    ours: { "dispatched besides": ["073d169d-e411-4f6e-a863-d5d985b440fa"] },
    why: "a remediated job finds a worker: its labels are no constraints (W-1)",
  },
  {
    scenarios: ["dlq_retry"],
    ours: { "dispatched besides": ["e566c817-abff-4a3d-bba1-869e632d50f2-retry-3a3b2af4"] },
    why: "so does a job that is retried (W-1)",
  },
  {
    scenarios: ["approval_with_note"],
    ours: {
      "job state": "DISPATCHED",
      "job attempts": 1,
      "job safety_decision": "ALLOW",
      "job safety_reason": "approval granted",
      "dispatched besides": ["1818460b-2b02-44ba-b481-5ad1a04d9160"],
    },
    why: "so does a job that is approved with a note: there the note became a label (W-1)",
  },
  {
    scenarios: ["approval"],
    ours: { "dispatch labels": { why: "test" } },
    why: "an approval is a record of its own, not labels that anybody could write (W-3)",
  },
  {
    scenarios: ["no_pool"],
    ours: { "job error_message": NO_MAPPING, "sys.job.dlq error_message": NO_MAPPING },
    why: "the message is a sentence; programs read the code",
  },
  {
    scenarios: ["no_worker"],
    ours: { "job state": "SCHEDULED" },
    why: "a job that is allowed and waits for a worker says so; it is not parked as a message (W-15)",
  },
  {
    scenarios: ["approval_with_note", "cancelled", "throttled", "no_worker"],
    ours: { "sys.job.result error_code": "cancelled", "sys.job.result error_message": "cancelled via api" },
    why: "whoever waits for the result learns why",
  },
  {
    scenarios: ["approval_with_note", "cancelled"],
    ours: { "sys.job.cancel requested_by": "ops" },
    why: "it was a person, not the gateway, and the worker's log may say so",
  },
  {
    scenarios: ["throttled", "no_worker"],
    ours: { "sys.job.cancel": "nothing" },
    why: "no worker has the job, so none is told to stop",
  },
  {
    scenarios: ["cancelled"],
    ours: {
      "job error_code": "cancelled",
      "job error_message": "cancelled via api",
      "job error_status": "JOB_STATUS_CANCELLED",
    },
    why: "so does whoever looks at the job",
  },
  {
    scenarios: ["timeout"],
    ours: {
      "job error_code": "running_timeout",
      "job error_message": "no result within the time allowed",
      "job error_status": "JOB_STATUS_TIMEOUT",
    },
    why: "a timeout says what it is, and lies in the dead letters (W-17)",
  },
];

describe("the recorded exchange", () => {
  const opened = new AsyncDisposableStack();
  let nats: NatsConnection;
  let people: Client;
  let heard: Awaited<ReturnType<typeof hearOurs>>;

  beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), "cordum-recorded-"));
    opened.defer(() => rm(folder, { recursive: true, force: true }));
    const file = async (name: string, text: string): Promise<string> => {
      await writeFile(join(folder, name), text);
      return join(folder, name);
    };
    const { env } = opened.use(await startServers({ state: "Redis", bus: "NATS" }, folder));
    const settings = {
      ...env,
      SAFETY_POLICY_PATH: await file("policy.yaml", RECORDED_POLICY),
      POOL_CONFIG_PATH: await file("pools.yaml", RECORDED_POOLS),
      TIMEOUT_CONFIG_PATH: await file("timeouts.yaml", RECORDED_TIMEOUTS),
      CORDUM_OPEN_ROUTING: "false",
      CORDUM_API_KEYS: "default:key-ops-0000000000:admin:ops",
    };
    const nodes = opened.use(await startNodes([["gateway"], ["scheduler"]], settings));
    people = new Client({ url: nodes.urls[0] ?? "", apiKey: "key-ops-0000000000" });
    nats = await connect({ servers: env.NATS_URL ?? "" });
    opened.defer(() => nats.close());
    heard = await hearOurs(nats);
  });
  afterAll(() => opened.disposeAsync());

  it.each(SCENARIOS.map((scenario) => [scenario.name, scenario] as const))(
    "%s",
    async (name, scenario) => {
      const own = DIFFERENCES.filter(({ scenarios }) => scenarios.includes(name));
      const differences = new Map(own.flatMap(({ ours }) => Object.entries(ours)));
      await new Replay({ nats, people, heard, differences }).play(scenario);
    },
    30_000,
  );

  it("has every scenario that a difference names", () => {
    const names = new Set(SCENARIOS.map(({ name }) => name));
    expect(DIFFERENCES.flatMap(({ scenarios }) => scenarios).filter((name) => !names.has(name))).toEqual([]);
  });
});
