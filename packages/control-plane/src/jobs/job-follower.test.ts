import { JobStatus } from "@cordum/protocol";
import { afterEach, describe, expect, it } from "vitest";
import { seededRandom } from "../adapters/system/seeded-random.ts";
import type { Bus } from "../ports/bus.ts";
import { Fault } from "../ports/fault.ts";
import { partitionOf } from "../ports/partition.ts";
import { type JobScene, NEVER, openJobScene, type SceneOptions } from "../testing/job-scene.ts";
import { withSending, withState } from "../testing/scene-ports.ts";
import { addWorker } from "../testing/scene-worker.ts";
import { JOB_NEWS_SUBJECT } from "./announce.ts";
import { cancelJob } from "./cancel.ts";
import type { Job } from "./job.ts";
import { JobFeed, SCAN_MS } from "./job-feed.ts";
import { type Followed, JobFollower } from "./job-follower.ts";
import { JOB_KIND } from "./job-store.ts";
import { watchJob } from "./job-watch.ts";

let scene: JobScene;
const stop = new Set<AbortController>();
afterEach(async () => {
  for (const each of stop) each.abort();
  stop.clear();
  await scene.settle();
});

function openFeed(): JobFeed {
  const life = new AbortController();
  stop.add(life);
  const feed = new JobFeed(scene.parts);
  void feed.run(life.signal);
  return feed;
}

interface Reader {
  readonly seen: Followed<string>[];
  readonly follower: JobFollower<string>;
  /** The last state told of each job. */
  states(): ReadonlyMap<string, string>;
  /** Where another reader goes on. */
  readonly safeAt: number;
  pause(): void;
  goOn(): void;
  stop(): Promise<void>;
}

function read(feed: JobFeed, over: { tenant?: string; since?: number; waitingMax?: number } = {}): Reader {
  const { tenant = "acme", since, waitingMax = 256 } = over;
  const show = (job: Job): string => job.phase.state;
  const follower = new JobFollower(feed, scene.parts, { tenant, since, waitingMax, show });
  const seen: Followed<string>[] = [];
  const life = new AbortController();
  stop.add(life);
  const startedAt = follower.safeAt;
  let gate = Promise.withResolvers<void>();
  gate.resolve();
  const ended = (async () => {
    for await (const change of follower.changes(life.signal)) {
      await gate.promise;
      if (life.signal.aborted) return;
      seen.push(change);
    }
  })();
  return {
    seen,
    follower,
    states: () => new Map(seen.map(({ jobId, shown }) => [jobId, shown])),
    get safeAt() {
      return seen.at(-1)?.safeAt ?? startedAt;
    },
    pause() {
      gate.resolve();
      gate = Promise.withResolvers<void>();
    },
    goOn: () => gate.resolve(),
    async stop() {
      life.abort();
      gate.resolve();
      await ended;
    },
  };
}

async function open(options: SceneOptions = {}): Promise<JobFeed> {
  scene = await openJobScene(options);
  return openFeed();
}

const told = (reader: Reader): readonly string[] => reader.seen.map(({ jobId, shown }) => `${jobId} ${shown}`);
const forge = (news: object): Promise<void> =>
  scene.bus.publish(JOB_NEWS_SUBJECT, Buffer.from(JSON.stringify({ news: [news] })), NEVER);

describe("a follower", () => {
  it("hears of what changes from now on, of its own tenant alone (E1)", async () => {
    const feed = await open();
    const before = await scene.submit({ topic: "job.ask" });
    await scene.pass(SCAN_MS * 3);
    const [acme, other] = [read(feed), read(feed, { tenant: "other" })];
    await scene.quiet();
    const own = await scene.submit({ topic: "job.ask" });
    const foreign = await scene.submit({ topic: "job.ask", tenant: "other" });
    await scene.pass(100);
    expect(told(acme)).toEqual([`${own.jobId} APPROVAL_REQUIRED`]);
    expect(told(other)).toEqual([`${foreign.jobId} APPROVAL_REQUIRED`]);
    await cancelJob(before.jobId, { tenant: "acme", by: "ada", reason: "" }, scene.parts, NEVER);
    await scene.pass(100);
    expect(told(acme).at(-1)).toBe(`${before.jobId} CANCELLED`);
    expect(other.seen).toHaveLength(1);
  });

  it("is shown nothing for a news that names another's job as its own (E1)", async () => {
    const feed = await open();
    const acme = read(feed);
    await scene.quiet();
    const foreign = await scene.submit({ topic: "job.ask", tenant: "other" });
    await scene.quiet();
    const lie = { tenant: "acme", state: "SUCCEEDED", topic: "job.ask", at: scene.clock.now() };
    await forge({ id: foreign.jobId, ...lie });
    await forge({ id: "nobody", ...lie });
    await forge({ id: "x".repeat(100_000), ...lie });
    const own = await scene.submit({ topic: "job.ask" });
    await forge({ id: own.jobId, ...lie });
    await scene.pass(SCAN_MS * 3);
    expect(told(acme)).toEqual([`${own.jobId} APPROVAL_REQUIRED`]);
  });

  it("hears of what news did not tell, by the next scan (E2), or by a gap that the bus reports", async () => {
    const feed = await open({
      bus: (real) => withSending(real, { publish: losing(real, () => true) }),
    });
    const acme = read(feed);
    await scene.quiet();
    const { jobId } = await scene.submit({ topic: "job.ask" });
    await scene.pass(100);
    expect(acme.seen).toEqual([]);
    await scene.pass(SCAN_MS);
    expect(told(acme)).toEqual([`${jobId} APPROVAL_REQUIRED`]);
    await cancelJob(jobId, { tenant: "acme", by: "ada", reason: "" }, scene.parts, NEVER);
    feed.catchUp();
    await scene.quiet();
    expect(told(acme)).toEqual([`${jobId} APPROVAL_REQUIRED`, `${jobId} CANCELLED`]);
    await scene.pass(SCAN_MS * 4);
    expect(acme.seen).toHaveLength(2);
  });

  it("hears of a change that no news told, by a process whose clock is behind that of the change before (E2)", async () => {
    let isAway = false;
    const feed = await open({ bus: (real) => withSending(real, { publish: losing(real, () => isAway) }) });
    const acme = read(feed);
    await scene.quiet();
    const { jobId } = await scene.submit({ topic: "job.ask" });
    await scene.pass(SCAN_MS);
    expect(told(acme)).toEqual([`${jobId} APPROVAL_REQUIRED`]);
    isAway = true;
    const { updatedAt, steps } = await scene.load(jobId);
    const clock = Object.create(scene.parts.clock, {
      now: { value: () => updatedAt - 30 },
    }) as typeof scene.parts.clock;
    await cancelJob(jobId, { tenant: "acme", by: "ada", reason: "" }, { ...scene.parts, clock }, NEVER);
    await scene.pass(SCAN_MS * 2);
    expect(told(acme)).toEqual([`${jobId} APPROVAL_REQUIRED`, `${jobId} CANCELLED`]);
    const after = await scene.load(jobId);
    expect(after.updatedAt).toBeGreaterThan(updatedAt);
    expect(after.steps.at(-1)?.at).toBeGreaterThan(steps.at(-1)?.at ?? 0);
  });

  it("that reads nothing keeps a bounded number, and then gets the latest state of everything (F1)", async () => {
    const feed = await open();
    const reader = read(feed, { waitingMax: 10 });
    await scene.quiet();
    reader.pause();
    const jobs = await Promise.all(Array.from({ length: 200 }, () => scene.submit({ topic: "job.ask" })));
    await scene.pass(100);
    for (const { jobId } of jobs.slice(0, 150))
      await cancelJob(jobId, { tenant: "acme", by: "ada", reason: "" }, scene.parts, NEVER);
    await scene.pass(SCAN_MS);
    expect(reader.follower.waiting).toBeLessThanOrEqual(10);
    reader.goOn();
    await scene.pass(SCAN_MS * 4);
    const states = reader.states();
    expect(states.size).toBe(200);
    for (const [at, { jobId }] of jobs.entries())
      expect(states.get(jobId)).toBe(at < 150 ? "CANCELLED" : "APPROVAL_REQUIRED");
    expect(reader.follower.passes).toBeGreaterThan(0);
  });

  it("goes on from a safe moment in another process, and misses nothing (F3)", async () => {
    const feed = await open();
    const first = read(feed);
    await scene.quiet();
    const jobs = await Promise.all(Array.from({ length: 30 }, () => scene.submit({ topic: "job.ask" })));
    await scene.pass(1_000);
    const since = first.safeAt;
    await first.stop();
    for (const { jobId } of jobs.slice(0, 10))
      await cancelJob(jobId, { tenant: "acme", by: "ada", reason: "" }, scene.parts, NEVER);
    await scene.pass(60_000);
    const second = read(openFeed(), { since });
    await scene.pass(1_000);
    const states = new Map([...first.states(), ...second.states()]);
    for (const [at, { jobId }] of jobs.entries())
      expect(states.get(jobId)).toBe(at < 10 ? "CANCELLED" : "APPROVAL_REQUIRED");
  });

  it("may come while the last one leaves, and hears as well", async () => {
    const gate = Promise.withResolvers<void>();
    let asked = 0;
    const feed = await open({
      bus: (real) => ({
        ...withSending(real, {}),
        subscribe: async (spec, handle) => {
          if (spec.subject === JOB_NEWS_SUBJECT && asked++ === 0) await gate.promise;
          return real.subscribe(spec, handle);
        },
      }),
    });
    const [first, second] = [read(feed), read(feed)];
    const leaving = first.stop();
    gate.resolve();
    await leaving;
    await scene.quiet();
    const { jobId } = await scene.submit({ topic: "job.ask" });
    await scene.pass(100);
    expect(told(second)).toEqual([`${jobId} APPROVAL_REQUIRED`]);
    await second.stop();
    await scene.quiet();
    const third = read(feed);
    await scene.quiet();
    await cancelJob(jobId, { tenant: "acme", by: "ada", reason: "" }, scene.parts, NEVER);
    await scene.pass(100);
    expect(told(third).at(-1)).toBe(`${jobId} CANCELLED`);
  });

  it("that is ended in the middle of a pass is given nothing from behind it (F3)", async () => {
    const feed = await open();
    const ids: string[] = [];
    for (let n = 0; n < 3; n++) ids.push((await scene.submit({ topic: "job.ask" })).jobId);
    await scene.pass(100);
    const life = new AbortController();
    const follower = new JobFollower(feed, scene.parts, { tenant: "acme", since: 0, waitingMax: 10, show: () => "" });
    const changes = follower.changes(life.signal);
    const first = await changes.next();
    const other = ids.findLast((id) => id !== first.value?.jobId) ?? "";
    await cancelJob(other, { tenant: "acme", by: "ada", reason: "" }, scene.parts, NEVER);
    await scene.pass(100);
    expect(follower.waiting).toBe(1);
    life.abort();
    expect(await changes.next()).toMatchObject({ done: true });
  });

  it("says so when State does not answer, and leaves the feed", async () => {
    let isAway = false;
    const feed = await open({
      state: (real) =>
        withState(real, {
          list: async (...call) => {
            if (isAway) throw new Fault("STATE_UNAVAILABLE", "away");
            return real.list(...call);
          },
        }),
    });
    isAway = true;
    const follower = new JobFollower(feed, scene.parts, { tenant: "acme", since: 0, waitingMax: 10, show: String });
    await expect(follower.changes(NEVER).next()).rejects.toMatchObject({ code: "STATE_UNAVAILABLE" });
    isAway = false;
  });

  it.each(Array.from({ length: 12 }, (_, n) => n + 1))(
    "ends with the true state of every job, whatever is lost and however it reads (seed %i)",
    async (seed) => {
      const chance = seededRandom(seed);
      await open({ seed, bus: (real) => withSending(real, { publish: losing(real, () => chance.next() < 0.3) }) });
      await addWorker(scene, { id: "w1", capacity: 1_000 });
      const ids: string[] = [];
      const town = new Readers();
      const deeds: readonly (() => unknown)[] = [
        async () => ids.push((await scene.submit({ topic: "job.ask" })).jobId),
        async () => ids.push((await scene.submit()).jobId),
        async () => {
          const jobId = ids[chance.below(ids.length)] ?? "";
          await cancelJob(jobId, { tenant: "acme", by: "ada", reason: "" }, scene.parts, NEVER);
        },
        () => town.reader.pause(),
        () => town.reader.goOn(),
        () => town.replace(chance.once(2)),
      ];
      await deeds[0]?.();
      for (let step = 0; step < 120; step++) {
        await deeds[chance.below(deeds.length)]?.();
        await scene.pass(chance.once(10) ? 20_000 : chance.below(200));
      }
      town.reader.goOn();
      await scene.pass(30_000);
      const states = town.states();
      for (const id of ids) expect([id, states.get(id)]).toEqual([id, (await scene.load(id)).phase.state]);
    },
  );
});

/** One client after another, each going on where the one before stopped. */
class Readers {
  feed = openFeed();
  reader = read(this.feed, { waitingMax: 5 });
  readonly #told = new Map<string, string>();

  async replace(inAnotherProcess: boolean): Promise<void> {
    const since = this.reader.safeAt;
    await this.reader.stop();
    this.states();
    if (inAnotherProcess) this.feed = openFeed();
    this.reader = read(this.feed, { waitingMax: 5, since });
  }

  states(): ReadonlyMap<string, string> {
    for (const [id, state] of this.reader.states()) this.#told.set(id, state);
    return this.#told;
  }
}

/** Sends everything but some of the news. */
function losing(real: Bus, isLost: () => boolean): Bus["publish"] {
  return async (...call) => {
    if (call[0] === JOB_NEWS_SUBJECT && isLost()) throw new Fault("BUS_UNAVAILABLE", "lost");
    return real.publish(...call);
  };
}

describe("watching a job", () => {
  async function watch(jobId: string, tenant = "acme"): Promise<string[]> {
    const states: string[] = [];
    for await (const { job } of watchJob({ tenant, jobId }, openFeed(), scene.parts, NEVER))
      states.push(job.phase.state);
    return states;
  }

  it("ends when the record goes, as a failover may forget it (T3)", async () => {
    await open();
    const { jobId } = await scene.submit();
    const states = watch(jobId);
    await scene.pass(1_000);
    const key = { partition: partitionOf(jobId, scene.state.traits.partitions), kind: JOB_KIND, id: jobId };
    const [stored] = await scene.state.get([key], NEVER);
    const checks = [{ is: "at", key, version: stored?.version ?? "" }] as const;
    const changes = [{ do: "delete", key }] as const;
    await scene.state.commit({ id: "forgotten001", partition: key.partition, checks, changes }, NEVER);
    await scene.pass(2 * SCAN_MS);
    expect(await states).toEqual(["SCHEDULED"]);
  });

  it("begins with the job as it is and ends with its end", async () => {
    await open();
    const worker = await addWorker(scene, { id: "w1" });
    const { jobId } = await scene.submit();
    await scene.until(jobId, "DISPATCHED");
    const states = watch(jobId);
    await scene.pass(100);
    await worker.result({ jobId, status: JobStatus.SUCCEEDED });
    await scene.pass(100);
    expect(await states).toEqual(["DISPATCHED", "SUCCEEDED"]);
    expect(await watch(jobId)).toEqual(["SUCCEEDED"]);
  });

  it("of another tenant is watching nothing", async () => {
    await open();
    const { jobId } = await scene.submit();
    await expect(watch(jobId, "other")).rejects.toMatchObject({ code: "JOB_NOT_FOUND" });
    await expect(watch("nobody")).rejects.toMatchObject({ code: "JOB_NOT_FOUND" });
  });

  it("hears of an end that no news told", async () => {
    await open({
      bus: (real) => withSending(real, { publish: losing(real, () => true) }),
    });
    const { jobId } = await scene.submit({ topic: "job.ask" });
    const states = watch(jobId);
    await scene.pass(100);
    await cancelJob(jobId, { tenant: "acme", by: "ada", reason: "" }, scene.parts, NEVER);
    await scene.pass(SCAN_MS);
    expect(await states).toEqual(["APPROVAL_REQUIRED", "CANCELLED"]);
  });
});
