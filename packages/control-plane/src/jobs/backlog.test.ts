// Jobs that wait for a worker: order, fairness, and what a look at them costs.

import { JobStatus } from "@cordum/protocol";
import { afterEach, describe, expect, it } from "vitest";
import { LANES_INDEX } from "../scheduling/backlog-lanes.ts";
import { NO_TIMEOUTS, OPEN_ROUTING, type Routing } from "../scheduling/routing.ts";
import { type JobScene, openJobScene, type SceneOptions } from "../testing/job-scene.ts";
import { withState } from "../testing/scene-ports.ts";
import { addWorker, type SceneWorker } from "../testing/scene-worker.ts";
import { cancelJob } from "./cancel.ts";
import { JOB_INDEX } from "./job-indexes.ts";
import { JOB_KIND } from "./job-store.ts";
import type { SubmitCommand } from "./submit-command.ts";

let scene: JobScene;
const open = async (options: SceneOptions = {}): Promise<void> => {
  scene = await openJobScene(options);
};
afterEach(async () => {
  await scene.settle();
  expect(scene.said.filter((said) => said.level === "error")).toEqual([]);
});

const mapped = (pools: readonly string[], topic = "job.echo"): Routing => ({
  topics: new Map([[topic, pools]]),
  pools: new Map(pools.map((pool) => [pool, { requires: [] }])),
  isOpen: false,
});
const submitMany = async (count: number, over: Partial<SubmitCommand> = {}): Promise<readonly string[]> => {
  const ids: string[] = [];
  for (let n = 0; n < count; n++) {
    ids.push((await scene.submit(over)).jobId);
    await scene.clock.advance(1); // so that each was accepted at a moment of its own
  }
  return ids;
};
const idsSeen = (worker: SceneWorker): readonly string[] => worker.seen.map((request) => request.jobId);
/** Ends what the worker has in hand, again and again, until it has seen so many. */
async function workOff(worker: SceneWorker, count: number): Promise<void> {
  for (let ended = 0; worker.seen.length < count || ended < count; ) {
    const next = worker.seen[ended];
    if (next === undefined) throw new Error(`only ${worker.seen.length} of ${count} arrived`);
    await worker.result({ jobId: next.jobId, status: JobStatus.SUCCEEDED });
    ended++;
    await scene.quiet();
    if (worker.seen.length <= ended) await scene.pass(1_000);
  }
}
const lanesNamed = (): number => scene.state.dump().indexes.filter(({ key }) => key.index === LANES_INDEX).length;
const waitingNow = (): number =>
  scene.state
    .dump()
    .indexes.filter(({ key }) => key.index === JOB_INDEX.backlog)
    .reduce((sum, { entries }) => sum + entries.length, 0);

describe("order", () => {
  it("is by priority, then by acceptance within a tenant", async () => {
    await open({ partitions: 1 });
    const batch = await submitMany(2, { priority: "batch" });
    const interactive = await submitMany(2);
    const critical = await submitMany(2, { priority: "critical" });
    const worker = await addWorker(scene, { capacity: 1 });
    await workOff(worker, 6);
    expect(idsSeen(worker)).toEqual([...critical, ...interactive, ...batch]);
  });

  it("lets no new job pass those that wait already", async () => {
    await open();
    const worker = await addWorker(scene, { capacity: 1 });
    const [first] = await submitMany(1);
    const waiting = await submitMany(3);
    for (let round = 0; round < 3; round++) {
      const current = worker.seen.at(-1)?.jobId ?? "";
      await worker.result({ jobId: current, status: JobStatus.SUCCEEDED });
      // While the freed slot is on its way to the oldest job, another comes in.
      for (let hop = 0; hop < 8; hop++) {
        await Promise.resolve();
        await scene.submit();
      }
      await scene.quiet();
    }
    expect(worker.seen[0]?.jobId).toBe(first);
    expect([...idsSeen(worker).slice(1)].sort()).toEqual([...waiting].sort());
  });

  it("shares between tenants: one with 500 jobs does not starve another", async () => {
    await open();
    const worker = await addWorker(scene, { capacity: 4 });
    await submitMany(500, { tenant: "big" });
    const small = await submitMany(8, { tenant: "small" });
    await workOff(worker, 30);
    const ran = new Set(idsSeen(worker));
    expect(small.filter((id) => ran.has(id))).toHaveLength(8);
  });

  it("shares also the slots that a new worker brings at once", async () => {
    await open();
    await submitMany(100, { tenant: "big" });
    const small = await submitMany(10, { tenant: "small" });
    const worker = await addWorker(scene, { capacity: 20 });
    await scene.quiet();
    const ran = new Set(idsSeen(worker));
    expect(ran.size).toBe(20);
    expect(small.filter((id) => ran.has(id)).length).toBeGreaterThanOrEqual(9);
  });
});

describe("jobs that nobody can take", () => {
  it("do not block those behind them", async () => {
    await open({ partitions: 1 });
    const worker = await addWorker(scene, { capacity: 1 });
    const [running] = await submitMany(1);
    await submitMany(120, { labels: { "placement.gpu": "a100" } });
    const plain = await submitMany(2);
    await workOff(worker, 3);
    expect(idsSeen(worker)).toEqual([running, ...plain]);
  });

  it("do not block even when there are more of them than one look takes in", async () => {
    await open({ partitions: 1 });
    const worker = await addWorker(scene, { capacity: 1 });
    await submitMany(1);
    await submitMany(1_300, { labels: { "placement.gpu": "a100" } });
    const [last] = await submitMany(1);
    await worker.result({ jobId: worker.seen[0]?.jobId ?? "", status: JobStatus.SUCCEEDED });
    await scene.pass(5_000);
    expect(idsSeen(worker).at(-1)).toBe(last);
    const gpu = await addWorker(scene, { id: "gpu", capacity: 1, labels: { "placement.gpu": "a100" } });
    await scene.pass(5_000);
    expect(gpu.seen).toHaveLength(1);
  });

  it("end when they have waited for too long, with the reason as code", async () => {
    await open({ settings: { backlogMaxMs: 60_000 } });
    const { jobId } = await scene.submit({ labels: { "placement.gpu": "a100" } });
    await scene.pass(59_000);
    expect((await scene.load(jobId)).phase.state).toBe("SCHEDULED");
    const job = await scene.until(jobId, "FAILED", 3_000);
    expect(job.phase).toMatchObject({ outcome: { code: "no_workers", by: "scheduler" } });
    expect(waitingNow()).toBe(0);
  });

  it("end so, too, when a worker seems to be there and never listens", async () => {
    await open({ settings: { backlogMaxMs: 120_000 } });
    await addWorker(scene, { listens: "nowhere", capacity: 100 });
    const { jobId } = await scene.submit();
    const job = await scene.until(jobId, "FAILED", 200_000);
    expect(job.phase).toMatchObject({ outcome: { code: "no_listener" } });
    expect(job.attempts).toBe(0);
  });

  it("end so, too, when a worker gives them back again and again", async () => {
    await open({ settings: { backlogMaxMs: 60_000 } });
    const full = () => ({ status: JobStatus.FAILED_RETRYABLE, errorCode: "WORKER_FULL" });
    await addWorker(scene, { answer: full });
    const { jobId } = await scene.submit();
    expect((await scene.load(jobId)).phase.state).toBe("DISPATCHED");
    await scene.until(jobId, "FAILED", 90_000);
  });
});

describe("cost", () => {
  it("of a worker that listens nowhere is a few commits a minute, however many wait for it", async () => {
    await open();
    await submitMany(300);
    await addWorker(scene, { listens: "nowhere", capacity: 100 });
    await scene.pass(60_000);
    const before = scene.committed.length;
    await scene.pass(300_000);
    const perMinute = (scene.committed.length - before) / 5;
    expect(perMinute).toBeLessThan(250); // trials, and a look at each job that grows rarer
    await scene.pass(3_600_000 - 360_000);
    const late = scene.committed.length;
    await scene.pass(600_000);
    expect((scene.committed.length - late) / 10).toBeLessThan(60); // a look at each falls into these ten minutes
  }, 60_000);

  it("of waiting is nothing while nothing changes", async () => {
    await open();
    await addWorker(scene, { capacity: 1 });
    await submitMany(50);
    await scene.pass(2_000);
    const before = scene.committed.length;
    await scene.pass(20_000);
    expect(scene.committed.length - before).toBeLessThan(5);
  });
});

/** Counts what is asked of State. */
const counted = (asked: { lists: number; gets: number }): SceneOptions => ({
  state: (real) =>
    withState(real, {
      get(...call) {
        asked.gets++;
        return real.get(...call);
      },
      list(...call) {
        asked.lists++;
        return real.list(...call);
      },
    }),
});

describe("W5: slots that come free one by one where many wait", () => {
  it("ask State for the next jobs once for many of them", async () => {
    const asked = { lists: 0, gets: 0 };
    await open({ partitions: 1, ...counted(asked) });
    const ids = await submitMany(60);
    const worker = await addWorker(scene, { capacity: 1 });
    await scene.quiet();
    Object.assign(asked, { lists: 0, gets: 0 });
    await workOff(worker, 31);
    expect(idsSeen(worker)).toEqual(ids.slice(0, worker.seen.length));
    expect(asked.lists).toBeLessThanOrEqual(8);
    expect(asked.gets).toBeLessThanOrEqual(8);
  });

  it("go to a more urgent job at once, though others were read ahead", async () => {
    await open({ partitions: 1 });
    const ids = await submitMany(20);
    const worker = await addWorker(scene, { capacity: 1 });
    await scene.quiet();
    const urgent = (await scene.submit({ priority: "critical" })).jobId;
    await workOff(worker, 2);
    expect(idsSeen(worker).slice(0, 3)).toEqual([ids[0], urgent, ids[1]]);
  });
});

describe("lanes", () => {
  it("lose their name when they are empty, and get it back", async () => {
    await open();
    const ids = await submitMany(6);
    expect(lanesNamed()).toBeGreaterThan(0);
    for (const id of ids)
      await cancelJob(
        id,
        { tenant: "acme", by: "ada", reason: "" },
        scene.parts,
        scene.core.parts.clock.deadline(new AbortController().signal, 1_000),
      );
    const worker = await addWorker(scene, { capacity: 1 });
    await scene.pass(3_000);
    expect(lanesNamed()).toBe(0);
    await submitMany(4);
    expect(lanesNamed()).toBeGreaterThan(0);
    await workOff(worker, 4);
    await scene.pass(3_000);
    expect(lanesNamed()).toBe(0);
  });
});

describe("new routing", () => {
  it("moves waiting jobs to the workers that may run them now", async () => {
    await open({ scheduling: { routing: mapped(["typo"]), timeouts: NO_TIMEOUTS } });
    const worker = await addWorker(scene, { pool: "right", topics: [], capacity: 100 });
    const ids = await submitMany(20);
    await scene.pass(3_000);
    expect(worker.seen).toEqual([]);
    scene.core.useScheduling({ routing: mapped(["right"]), timeouts: NO_TIMEOUTS });
    await scene.quiet();
    expect([...idsSeen(worker)].sort()).toEqual([...ids].sort());
  });

  it("ends waiting jobs whose topic is mapped no more", async () => {
    await open({ scheduling: { routing: mapped(["p"]), timeouts: NO_TIMEOUTS } });
    const [id] = await submitMany(1);
    scene.core.useScheduling({ routing: mapped(["p"], "job.other"), timeouts: NO_TIMEOUTS });
    await scene.quiet();
    expect((await scene.load(id ?? "")).phase).toMatchObject({ state: "FAILED", outcome: { code: "no_pool_mapping" } });
  });

  it("takes jobs off the pool of all workers that announce their topic", async () => {
    await open();
    const [id] = await submitMany(1);
    const worker = await addWorker(scene, { pool: "p", topics: [] });
    scene.core.useScheduling({ routing: { ...mapped(["p"]), isOpen: true }, timeouts: NO_TIMEOUTS });
    await scene.quiet();
    expect(idsSeen(worker)).toEqual([id]);
  });

  it("is noticed by waiting jobs also when a process starts with it", async () => {
    await open({ scheduling: { routing: mapped(["typo"]), timeouts: NO_TIMEOUTS } });
    const worker = await addWorker(scene, { pool: "right", topics: [] });
    const [id] = await submitMany(1);
    await scene.pass(30_000);
    await scene.settle();
    const core = await scene.addCore();
    core.useScheduling({ routing: mapped(["right"]), timeouts: NO_TIMEOUTS });
    await scene.pass(120_000);
    expect(idsSeen(worker)).toEqual([id]);
  });

  it("fails a topic at once that nothing maps, with a dead letter", async () => {
    await open({ scheduling: { routing: { ...OPEN_ROUTING, isOpen: false }, timeouts: NO_TIMEOUTS } });
    const { jobId, state } = await scene.submit();
    expect(state).toBe("FAILED");
    expect((await scene.load(jobId)).phase).toMatchObject({ outcome: { code: "no_pool_mapping" } });
    expect(
      scene.state
        .dump()
        .records.map(({ stored }) => stored.key.kind)
        .sort(),
    ).toEqual(["dead", JOB_KIND]);
  });
});

describe("a look at pools where nothing waits", () => {
  it("is rare: heartbeats and ticks ask for nothing", async () => {
    const asked = { lists: 0, gets: 0 };
    await open(counted(asked));
    for (let n = 0; n < 10; n++)
      await addWorker(scene, { id: `w${n}`, topics: ["job.a", "job.b"], heartbeatMs: 1_000 });
    await scene.pass(5_000);
    asked.lists = 0;
    await scene.pass(30_000);
    expect(asked.lists).toBeLessThanOrEqual(3 * 3 * 4); // three pools in three partitions, every ten seconds
  });

  it("finds a job that only a worker with a new label can take", async () => {
    await open();
    const worker = await addWorker(scene, { topics: ["job.echo"] });
    const { jobId } = await scene.submit({ labels: { "placement.gpu": "a100" } });
    await scene.pass(2_000);
    await worker.heartbeat({ labels: { "placement.gpu": "a100" } });
    await scene.until(jobId, "DISPATCHED", 11_000);
  });
});

describe("workers of one tenant", () => {
  const ownedBy = (tenant: string) => ({ "cordum.tenant": tenant });

  it("take the jobs of their tenant past those of others, and no other", async () => {
    await open();
    const foreign = await submitMany(3, { tenant: "other" });
    const own = await submitMany(2, { tenant: "acme" });
    const worker = await addWorker(scene, { id: "acme.w1", capacity: 1, labels: ownedBy("acme") });
    await workOff(worker, 2);
    expect(idsSeen(worker)).toEqual(own);
    await scene.pass(15_000);
    expect(worker.seen).toHaveLength(2);
    for (const id of foreign)
      expect((await scene.load(id)).phase).toMatchObject({ state: "SCHEDULED", waiting: "no_workers" });
    const latest = await scene.submit({ tenant: "acme" });
    expect((await scene.load(latest.jobId)).phase.state).toBe("DISPATCHED");
    await worker.result({ jobId: latest.jobId, status: JobStatus.SUCCEEDED });
    const forAll = await addWorker(scene, { id: "w2" });
    await scene.quiet();
    expect(idsSeen(forAll)).toEqual(foreign);
  });
});
