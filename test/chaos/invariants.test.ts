// The invariants find what they are there to find: a sound round passes, and each way in which one could be unsound is told by name.

import { approveJob } from "@cordum/control-plane/approvals/answer";
import { cancelJob } from "@cordum/control-plane/jobs/cancel";
import type { Job } from "@cordum/control-plane/jobs/job";
import { parseJob, writeJob } from "@cordum/control-plane/jobs/job-codec";
import { type JobScene, NEVER, openJobScene } from "@cordum/control-plane/testing/job-scene";
import { person } from "@cordum/control-plane/testing/people";
import { addWorker } from "@cordum/control-plane/testing/scene-worker";
import { JobStatus } from "@cordum/protocol";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Execution } from "./effects.ts";
import { type Facts, RoundFacts } from "./facts.ts";
import { expectedOf, POLICIES, TOPICS, type Topic } from "./house-rules.ts";
import { checkAll, INVARIANTS } from "./invariants.ts";
import { KINDS } from "./kinds.ts";
import { Ledger } from "./ledger.ts";

interface Draft {
  readonly ids: { readonly [topic in Topic]?: string };
  readonly ledger: Ledger;
  executions: Execution[];
  dump: Facts["dump"];
  deaths: Facts["deaths"];
  surprises: ReadonlyMap<string, number>;
  states: Map<string, string>;
  now: number;
}

const CHOSEN = ["job.echo", "job.pay", "job.ask", "job.no", "job.long", "job.few"] as const;
let scene: JobScene;
let ids: { [topic in Topic]?: string };
let ledger: (into: Ledger) => void;
/** More of job.few. */
let few: readonly string[];

beforeAll(async () => {
  scene = await openJobScene({ policy: POLICIES[0].text });
  const isLong = (topic: string): boolean => topic === "job.long";
  const answer = ({ topic }: { readonly topic: string }) =>
    isLong(topic) ? undefined : { status: JobStatus.SUCCEEDED };
  await addWorker(scene, { topics: [...CHOSEN], capacity: 20, answer });
  ids = {};
  for (const topic of CHOSEN) ids[topic] = (await scene.submit({ topic })).jobId;
  few = [await scene.submit({ topic: "job.few" }), await scene.submit({ topic: "job.few" })].map(({ jobId }) => jobId);
  await scene.pass(1_000);
  await approveJob(
    ids["job.ask"] ?? "",
    { tenant: "acme", actor: person("bob"), reason: "", note: "" },
    scene.parts,
    NEVER,
  );
  await cancelJob(ids["job.long"] ?? "", { tenant: "acme", by: person("ada"), reason: "" }, scene.parts, NEVER);
  await scene.pass(90_000);
  ledger = (into) => {
    for (const topic of CHOSEN) {
      const about = { kind: topic, topic, tenant: "acme", body: {}, prompt: "hello" } as const;
      const id = ids[topic] ?? "";
      into.accepted.set(id, { id, at: 0, idempotencyKey: topic, ...about });
    }
    into.approvals.add(ids["job.ask"] ?? "");
    into.deeds.push({ jobId: ids["job.ask"] ?? "", action: "job.approve", by: "bob", at: 0 });
    into.deeds.push({ jobId: ids["job.long"] ?? "", action: "job.cancel", by: "ada", at: 0 });
  };
});
afterAll(() => scene[Symbol.asyncDispose]());

async function sound(): Promise<Draft> {
  const executions: Execution[] = [];
  for (const topic of CHOSEN) {
    const { attempts, steps } = await scene.load(ids[topic] ?? "");
    const start = steps.find(({ state }) => state === "DISPATCHED")?.at ?? 0;
    const about = { job: ids[topic] ?? "", topic, attempt: 1, worker: "w1", life: "w1-1", start };
    if (attempts > 0) executions.push({ ...about, end: start, how: topic === "job.long" ? "stopped" : "done" });
  }
  for (const job of few) {
    const { updatedAt: start } = await scene.load(job);
    const about = { job, topic: "job.few", attempt: 1, worker: "w1", life: "w1-1" };
    executions.push({ ...about, start, end: start, how: "done" });
  }
  const dump = scene.state.dump();
  const states = new Map<string, string>();
  for (const id of [...Object.values(ids), ...few]) states.set(id, (await scene.load(id)).phase.state);
  const own = new Ledger();
  ledger(own);
  return {
    ids,
    ledger: own,
    executions,
    dump,
    deaths: [],
    surprises: new Map([["gateway-0", 0]]),
    states,
    now: scene.clock.now(),
  };
}

function brokenIn({ ledger: own, states, ...rest }: Draft): readonly string[] {
  const seen = { states, tenants: new Set(["acme"]), firstAt: 0, failure: undefined };
  const checked = checkAll(new RoundFacts({ ...rest, ledger: own, seen }));
  return checked.filter(({ faults }) => faults.length > 0).map(({ name, faults }) => `${name}: ${faults[0]}`);
}

/** One of the jobs changed, as if somebody had written it so. */
function withJob(dump: Facts["dump"], id: string | undefined, change: (job: Job) => Job): Facts["dump"] {
  const records = dump.records.map((record) => {
    const { stored } = record;
    if (stored.key.kind !== "job" || stored.key.id !== id) return record;
    return { ...record, stored: { ...stored, value: writeJob(change(parseJob(stored.value))) } };
  });
  return { ...dump, records };
}

describe("invariants of chaos", () => {
  it("hold of a sound round", async () => {
    expect(brokenIn(await sound())).toEqual([]);
  });

  const ways: readonly (readonly [string, string, (draft: Draft) => void])[] = [
    [
      "an accepted job is gone",
      "kept",
      (draft) => {
        const records = draft.dump.records.filter(({ stored }) => stored.key.id !== draft.ids["job.pay"]);
        draft.dump = { ...draft.dump, records };
      },
    ],
    [
      "a job has ended twice",
      "ended once",
      (draft) => {
        draft.dump = withJob(draft.dump, draft.ids["job.pay"], (job) => ({
          ...job,
          steps: [...job.steps, ...job.steps.slice(-1)],
        }));
      },
    ],
    [
      "an index entry is missing",
      "records agree",
      (draft) => {
        const indexes = draft.dump.indexes.filter(({ key }) => key.index !== "job.topic");
        draft.dump = { ...draft.dump, indexes };
      },
    ],
    [
      "a slot is still held",
      "slots given back",
      (draft) => {
        const [record] = draft.dump.records;
        if (record === undefined) return;
        const key = { ...record.stored.key, kind: "slot", id: "limit:dispatch" };
        draft.dump = {
          ...draft.dump,
          records: [...draft.dump.records, { ...record, stored: { ...record.stored, key } }],
        };
      },
    ],
    [
      "a confirmed cancel is in no record",
      "deeds stand",
      (draft) => {
        draft.ledger.deeds.push({ jobId: draft.ids["job.echo"] ?? "", action: "job.cancel", by: "ada", at: 0 });
      },
    ],
    [
      "a confirmed approval is in no audit",
      "deeds stand",
      (draft) => {
        draft.dump = { ...draft.dump, logs: [] };
      },
    ],
    [
      "one key names two jobs",
      "one job for one key",
      (draft) => {
        const [first] = draft.ledger.accepted.values();
        if (first !== undefined) draft.ledger.accepted.set("other", { ...first, id: draft.ids["job.pay"] ?? "" });
      },
    ],
    [
      "a job is of another tenant",
      "tenants apart",
      (draft) => {
        const job = draft.ledger.accepted.get(draft.ids["job.echo"] ?? "");
        if (job !== undefined) draft.ledger.accepted.set(job.id, { ...job, tenant: "narrow" });
      },
    ],
    [
      "what is denied was executed",
      "only what is allowed",
      (draft) => {
        const [one] = draft.executions;
        if (one !== undefined) draft.executions.push({ ...one, job: draft.ids["job.no"] ?? "", topic: "job.no" });
      },
    ],
    ["nobody said yes", "only what is allowed", (draft) => draft.ledger.approvals.clear()],
    [
      "it was executed before policy allowed it",
      "only what is allowed",
      (draft) => {
        draft.dump = withJob(draft.dump, draft.ids["job.echo"], (job) => ({ ...job, decisions: [] }));
      },
    ],
    [
      "an attempt was executed twice in one life",
      "executed as promised",
      (draft) => {
        draft.executions.push(...draft.executions.filter(({ topic }) => topic === "job.pay"));
      },
    ],
    [
      "an attempt was executed twice and nobody died",
      "executed as promised",
      (draft) => {
        const [pay] = draft.executions.filter(({ topic }) => topic === "job.pay");
        if (pay !== undefined) draft.executions.push({ ...pay, worker: "w2", life: "w2-1" });
      },
    ],
    [
      "a success without a worker",
      "executed as promised",
      (draft) => {
        draft.executions = draft.executions.filter(({ topic }) => topic !== "job.echo");
      },
    ],
    [
      "more than a limit allows ran at once",
      "limits kept",
      (draft) => {
        draft.executions = draft.executions.map((each) =>
          each.topic === "job.few" ? { ...each, start: 1_000_000, end: 2_000_000 } : each,
        );
      },
    ],
    ["somebody was answered 500", "answers", (draft) => draft.ledger.offend("answers", "500")],
    ["the stream said otherwise", "stream", (draft) => draft.states.set(draft.ids["job.echo"] ?? "", "RUNNING")],
    [
      "a process gave up",
      "no process gives up",
      (draft) => {
        draft.surprises = new Map([["gateway-0", 1]]);
      },
    ],
  ];
  it.each(ways)("find that %s", async (_what, name, spoil) => {
    const draft = await sound();
    spoil(draft);
    expect(brokenIn(draft).map((says) => says.split(":")[0])).toContain(name);
  });

  it("allow a second execution where the worker died in between", async () => {
    const draft = await sound();
    const [pay] = draft.executions.filter(({ topic }) => topic === "job.pay");
    if (pay === undefined) throw new Error("it was executed");
    draft.executions.push({ ...pay, life: "w1-2", start: pay.start + 2 });
    draft.deaths = [{ worker: "w1", at: pay.start + 1 }];
    expect(brokenIn(draft)).toEqual([]);
    expect(draft.ledger.counts.get("executed again after its worker died")).toBe(1);
  });

  it("allow a job to be gone of which something happened while Redis may have forgotten it, and no other", async () => {
    const draft = await sound();
    const id = draft.ids["job.pay"] ?? "";
    draft.dump = { ...draft.dump, records: draft.dump.records.filter(({ stored }) => stored.key.id !== id) };
    const at = Math.max(0, ...draft.executions.filter(({ job }) => job === id).map(({ start }) => start));
    draft.ledger.losses.push({ from: at - 1, to: at + 1, by: "Redis failover" });
    expect(brokenIn(draft).filter((says) => says.startsWith("kept"))).toEqual([]);
    draft.ledger.losses.splice(0, 1, { from: at + 60_000, to: at + 70_000, by: "Redis failover" });
    expect(brokenIn(draft).filter((says) => says.startsWith("kept"))).toHaveLength(1);
  });
});

describe("the house under chaos", () => {
  it("has kinds that make a hundred, on topics that it knows, under policies that say what is expected", () => {
    expect(KINDS.reduce((sum, { share }) => sum + share, 0)).toBe(100);
    expect(KINDS.filter(({ topic }) => !TOPICS.includes(topic))).toEqual([]);
    expect(new Set(INVARIANTS.map(({ name }) => name)).size).toBe(INVARIANTS.length);
    expect(POLICIES.map(({ snapshot }) => expectedOf(snapshot, "job.flip"))).toEqual(["allow", "deny"]);
  });
});
