// Whatever happens, records, indexes, lanes, alarms, slots and dead letters agree.

import fc from "fast-check";
import { expect, it } from "vitest";
import type { Dump } from "../adapters/memory/memory-state.ts";
import { approveJob, rejectJob } from "../approvals/answer.ts";
import { DEAD_LETTER_KIND } from "../dead-letters/dead-letter.ts";
import { Fault } from "../ports/fault.ts";
import { LANES_INDEX, nameLane } from "../scheduling/backlog-lanes.ts";
import { NO_TIMEOUTS, OPEN_ROUTING } from "../scheduling/routing.ts";
import { SLOT_KIND } from "../scheduling/slots.ts";
import { type JobScene, NEVER, openJobScene, POLICY } from "../testing/job-scene.ts";
import { person } from "../testing/people.ts";
import { addWorker, type SceneWorker } from "../testing/scene-worker.ts";
import { cancelJob } from "./cancel.ts";
import { alarmOf, isTerminal, type Job } from "./job.ts";
import { parseJob } from "./job-codec.ts";
import { entriesOfJob } from "./job-indexes.ts";
import { isDeadLetter } from "./job-moves.ts";
import { JOB_KIND } from "./job-store.ts";

const TOPICS = ["job.echo", "job.small", "job.ask", "job.slow", "job.no.x", "job.few", "job.nobody"];
const LIMITED = `${POLICY}  - id: few
    match: { topics: ["job.few"] }
    decision: allow_with_constraints
    constraints: { budgets: { max_concurrent_jobs: 1 } }
`;
const POLICIES = [
  LIMITED,
  LIMITED.replace("a person must look", "look"),
  LIMITED.replace("decision: deny", "decision: allow"),
  "",
];

interface Act {
  readonly kind:
    | "submit"
    | "cancel"
    | "approve"
    | "reject"
    | "result"
    | "progress"
    | "restart"
    | "policy"
    | "pass"
    | "route";
  readonly which: number;
}
const acts: fc.Arbitrary<Act> = fc.record({
  kind: fc.oneof(
    { weight: 8, arbitrary: fc.constant("submit" as const) },
    { weight: 6, arbitrary: fc.constant("result" as const) },
    { weight: 3, arbitrary: fc.constant("pass" as const) },
    {
      weight: 6,
      arbitrary: fc.constantFrom("cancel", "approve", "reject", "progress", "restart", "policy", "route"),
    },
  ),
  which: fc.nat(999),
});

class Play {
  readonly ids: string[] = [];
  readonly scene: JobScene;
  readonly worker: SceneWorker;

  constructor(scene: JobScene, worker: SceneWorker) {
    this.scene = scene;
    this.worker = worker;
  }

  async act({ kind, which }: Act): Promise<void> {
    const { scene, worker, ids } = this;
    const id = ids[which % Math.max(1, ids.length)] ?? "nothing";
    const tenant = which % 4 === 0 ? "other" : "acme";
    const answer = { tenant, actor: person(`p${which % 3}`), reason: "", note: "" };
    switch (kind) {
      case "submit":
        return this.#submit(which);
      case "cancel":
        await cancelJob(id, { tenant: undefined, by: person("ada"), reason: "" }, scene.parts, NEVER);
        return;
      case "approve":
        await approveJob(id, answer, scene.parts, NEVER);
        return;
      case "reject":
        await rejectJob(id, answer, scene.parts, NEVER);
        return;
      case "result":
        return worker.result({ jobId: id, status: which % 12, errorCode: which % 7 === 0 ? "WORKER_FULL" : "" });
      case "progress":
        return worker.progress(id, which % 101);
      case "restart":
        return worker.restart(`i-${which}`);
      case "policy":
        scene.policy.replace(POLICIES[which % POLICIES.length] ?? "");
        return;
      case "route":
        scene.core.useScheduling({ routing: { ...OPEN_ROUTING, isOpen: which % 3 !== 0 }, timeouts: NO_TIMEOUTS });
        return;
      case "pass":
        return scene.pass([50, 1_000, 7_000, 40_000][which % 4] ?? 0);
    }
  }

  async #submit(which: number): Promise<void> {
    const { jobId } = await this.scene.submit({
      topic: TOPICS[which % TOPICS.length] ?? "",
      tenant: which % 5 === 0 ? "other" : "acme",
      team: which % 3 === 0 ? "red" : "",
      priority: (["critical", "interactive", "batch"] as const)[which % 3] ?? "batch",
      deadlineMs: which % 6 === 0 ? 20_000 : 0,
      idempotencyKey: which % 4 === 0 ? `k${which % 10}` : "",
      labels: which % 9 === 0 ? { "placement.gpu": "a100" } : {},
    });
    this.ids.push(jobId);
  }
}

interface StoredJob {
  readonly job: Job;
  readonly partition: number;
  readonly alarmAt: number | "never";
  readonly expires: boolean;
}

function disagreements(scene: JobScene): readonly string[] {
  const dump = scene.state.dump();
  const jobs = dump.records
    .filter(({ stored }) => stored.key.kind === JOB_KIND)
    .map(({ stored, alarmAt, expiresAt }): StoredJob => {
      return {
        job: parseJob(stored.value),
        partition: stored.key.partition,
        alarmAt,
        expires: expiresAt !== undefined,
      };
    });
  return [
    ...jobs.flatMap((stored) => faultsOf(stored, scene.clock.now())),
    ...difference("index entry", entriesThere(dump), entriesWanted(jobs)),
    ...difference("dead letter", idsOf(dump, DEAD_LETTER_KIND), idsWhere(jobs, isDeadLetter)),
    ...difference("slot", idsOf(dump, SLOT_KIND), slotsWanted(jobs)),
    ...lanesWanted(jobs).filter((lane) => !lanesThere(dump).has(lane)),
  ];
}

function faultsOf({ job, alarmAt, expires }: StoredJob, now: number): readonly string[] {
  const alarm = alarmOf(job);
  const isLeased = alarm !== "never" && alarmAt !== "never" && alarm <= now && alarmAt >= alarm;
  const faults: string[] = [];
  if (alarm !== alarmAt && !isLeased) faults.push(`alarm of ${job.id} at ${alarmAt}, not ${alarm}`);
  if (isTerminal(job) !== expires) faults.push(`${job.id} is ${job.phase.state} and expires: ${expires}`);
  const isAwake = alarm !== "never" && alarm !== job.wakes.stop;
  if (isTerminal(job) === isAwake) faults.push(`${job.id} is ${job.phase.state} and wakes ${alarm}`);
  return faults;
}

function difference(what: string, there: ReadonlySet<string>, wanted: ReadonlySet<string>): readonly string[] {
  return [
    ...[...wanted].filter((name) => !there.has(name)).map((name) => `${what} missing: ${name}`),
    ...[...there].filter((name) => !wanted.has(name)).map((name) => `${what} too much: ${name}`),
  ];
}

function entriesWanted(jobs: readonly StoredJob[]): ReadonlySet<string> {
  const entries = jobs.flatMap(({ job, partition }) =>
    entriesOfJob(job).map(({ index, of, score }) => JSON.stringify([partition, index, of, job.id, score])),
  );
  return new Set(entries);
}

function entriesThere({ indexes }: Dump): ReadonlySet<string> {
  const ofJobs = indexes.filter(({ key }) => key.index.startsWith("job.") && key.index !== LANES_INDEX);
  return new Set(
    ofJobs.flatMap(({ key, entries }) =>
      entries.map(({ member, score }) => JSON.stringify([key.partition, key.index, key.of, member, score])),
    ),
  );
}

function lanesWanted(jobs: readonly StoredJob[]): readonly string[] {
  return jobs.flatMap(({ job, partition }) => {
    const pools = job.phase.state === "SCHEDULED" ? job.phase.pools : [];
    const changes = pools.map((pool) => nameLane({ pool, priority: job.priority, tenant: job.tenant }, partition));
    return changes.map((change) => (change.do === "enter" ? JSON.stringify([change.index, change.member]) : ""));
  });
}

function lanesThere({ indexes }: Dump): ReadonlySet<string> {
  const lanes = indexes.filter(({ key }) => key.index === LANES_INDEX);
  return new Set(lanes.flatMap(({ key, entries }) => entries.map(({ member }) => JSON.stringify([key, member]))));
}

function slotsWanted(jobs: readonly StoredJob[]): ReadonlySet<string> {
  return new Set(
    jobs.flatMap(({ job: { phase } }) =>
      "dispatch" in phase ? phase.dispatch.limits.map((limit) => `${limit}:${phase.dispatch.id}`) : [],
    ),
  );
}

function idsOf({ records }: Dump, kind: string): ReadonlySet<string> {
  return new Set(records.filter(({ stored }) => stored.key.kind === kind).map(({ stored }) => stored.key.id));
}

function idsWhere(jobs: readonly StoredJob[], claim: (job: Job) => boolean): ReadonlySet<string> {
  return new Set(jobs.filter(({ job }) => claim(job)).map(({ job }) => job.id));
}

it("agree after any sequence of what people, workers and time do", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(acts, { minLength: 5, maxLength: 60 }), fc.nat(), async (sequence, seed) => {
      const scene = await openJobScene({
        shared: true,
        seed,
        policy: LIMITED,
        settings: { approvalTtlMs: 50_000, backlogMaxMs: 90_000, upkeepMs: 30_000, relistMs: 60_000 },
      });
      await scene.addCore();
      const play = new Play(
        scene,
        await addWorker(scene, { topics: TOPICS.slice(0, -1), capacity: 3, instance: "i-0" }),
      );
      for (const act of sequence) {
        try {
          await play.act(act);
        } catch (error) {
          if (!(error instanceof Fault)) throw error;
        }
        await scene.quiet();
        expect(disagreements(scene)).toEqual([]);
      }
      scene.policy.replace(LIMITED);
      await scene.pass(5_000);
      await play.worker.die();
      await scene.pass(260_000);
      expect(disagreements(scene)).toEqual([]);
      const left = scene.state.dump().records.filter(({ stored }) => stored.key.kind === JOB_KIND);
      const open = left.map(({ stored }) => parseJob(stored.value)).filter((job) => !isTerminal(job));
      expect(open.filter(({ phase }) => phase.state !== "PENDING").map(({ phase }) => phase)).toEqual([]);
      expect(scene.said.filter(({ level }) => level === "error")).toEqual([]);
      await scene.settle();
      expect(scene.parts.outbound.size).toBe(0);
    }),
    { numRuns: 40 },
  );
}, 120_000);
