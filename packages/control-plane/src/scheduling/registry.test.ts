import { describe, expect, it } from "vitest";
import { HEARTBEAT } from "../testing/blanks.ts";
import { Placers } from "./placers.ts";
import { type Heartbeat, type Recalled, Registry } from "./registry.ts";

const NOW = 1_800_000_000_000;

function registryWith(...heartbeats: readonly Partial<Heartbeat>[]): Registry {
  const registry = new Registry(new Placers("p"));
  registry.startListening(NOW);
  for (const heartbeat of heartbeats) registry.hear({ ...HEARTBEAT, ...heartbeat }, NOW);
  return registry;
}

describe("a worker of one tenant (G4)", () => {
  const own = (session: string) => ({
    workerId: "acme.w1",
    labels: { "cordum.tenant": "acme", "cordum.session": session },
  });

  it("is nowhere when it is not on its own subject, and back with its next session", () => {
    const registry = registryWith(own("s1"));
    registry.noteMissed("acme.w1", true, NOW);
    expect(registry.find("acme.w1", NOW)).toMatchObject({ tenant: "acme", listens: "nowhere", free: 0 });
    registry.hear({ ...HEARTBEAT, ...own("s1") }, NOW + 1_000);
    expect(registry.find("acme.w1", NOW + 1_000)).toMatchObject({ listens: "nowhere" });
    registry.hear({ ...HEARTBEAT, ...own("s2") }, NOW + 2_000);
    expect(registry.find("acme.w1", NOW + 2_000)).toMatchObject({ listens: "directly", free: 4 });
  });

  it("is not another incarnation for being connected anew", () => {
    const registry = registryWith(own("s1"));
    expect(registry.hear({ ...HEARTBEAT, ...own("s2") }, NOW + 1)).toBe(false);
  });
});

describe("silence", () => {
  it("G1: does not count while this process could hear nobody", () => {
    const registry = registryWith({});
    registry.startListening(NOW + 40_000); // the bus came back
    expect(registry.expire(NOW + 40_000)).toEqual([]);
    expect(registry.find("w1", NOW + 70_000)).toBeDefined();
    expect(registry.hear(HEARTBEAT, NOW + 69_000)).toBe(false);
    expect(registry.expire(NOW + 99_000)).toEqual([]);
    expect(registry.expire(NOW + 99_001)).toEqual(["w1"]);
  });

  it("G3: does not take away what a worker announced", () => {
    const registry = registryWith({});
    registry.announce("w1", ["job.echo"], NOW);
    expect(registry.expire(NOW + 31_000)).toEqual(["w1"]);
    registry.hear(HEARTBEAT, NOW + 60_000);
    expect(registry.find("w1", NOW + 60_000)?.pools).toEqual(new Set(["default", "@job.echo"]));
  });

  it("lets announcements of workers go that are gone for an hour, and bounds those of strangers", () => {
    const registry = registryWith({});
    registry.announce("w1", ["job.echo"], NOW);
    registry.expire(NOW + 31_000);
    registry.expire(NOW + 3_600_001);
    registry.hear(HEARTBEAT, NOW + 3_600_002);
    expect(registry.find("w1", NOW + 3_600_002)?.topics).toBeUndefined();
    registry.announce("first", ["job.echo"], NOW);
    for (let n = 0; n < 10_000; n++) registry.announce(`stranger${n}`, ["job.echo"], NOW);
    registry.hear({ ...HEARTBEAT, workerId: "first" }, NOW);
    expect(registry.find("first", NOW)?.topics).toBeUndefined();
    registry.hear({ ...HEARTBEAT, workerId: "stranger9999" }, NOW);
    expect(registry.find("stranger9999", NOW)?.topics).toEqual(new Set(["job.echo"]));
  });
});

describe("what another process has heard a worker announce", () => {
  const recalled = (topics: readonly string[], saidAt: number): Recalled => ({
    heartbeat: HEARTBEAT,
    seenAt: NOW,
    announcement: { topics: new Set(topics), saidAt },
  });
  const topicsIn = (registry: Registry) => registry.find("w1", NOW)?.topics;

  it("counts where this process has heard nothing, or what was said before", () => {
    const registry = registryWith({});
    expect(registry.recallTopics(recalled(["job.old"], 0), NOW)).toBe(true);
    expect(registry.recallTopics(recalled(["job.new"], NOW - 60_000), NOW)).toBe(true);
    expect(topicsIn(registry)).toEqual(new Set(["job.new"]));
    expect(registry.recallTopics(recalled(["job.old"], NOW - 66_000), NOW)).toBe(false);
    registry.announce("w1", ["job.newest"], NOW);
    expect(registry.recallTopics(recalled(["job.new"], NOW - 60_000), NOW)).toBe(false);
    expect(topicsIn(registry)).toEqual(new Set(["job.newest"]));
    expect(registry.find("w1", NOW)?.pools).toEqual(new Set(["default", "@job.newest"]));
  });

  it("does not count where their clocks may have made it look later, nor forever where one was far ahead", () => {
    const registry = registryWith({});
    registry.announce("w1", ["job.new"], NOW);
    expect(registry.recallTopics(recalled(["job.old"], NOW + 4_000), NOW)).toBe(false);
    expect(registry.knowsLater(recalled(["job.old"], NOW - 4_000), NOW)).toBe(false);
    expect(registry.recallTopics(recalled(["job.ahead"], NOW + 3_600_000), NOW)).toBe(true);
    expect(registry.recallTopics(recalled(["job.new"], NOW + 6_000), NOW + 6_000)).toBe(true);
  });

  it("is known to be less than this process has heard of a worker that is alive", () => {
    const registry = registryWith({});
    expect(registry.knowsLater(recalled([], 0), NOW)).toBe(false);
    registry.announce("w1", ["job.new"], NOW);
    expect(registry.knowsLater({ ...recalled([], 0), announcement: undefined }, NOW)).toBe(true);
    expect(registry.knowsLater(recalled(["job.old"], NOW - 6_000), NOW)).toBe(true);
    expect(registry.knowsLater(recalled(["job.new"], NOW - 6_000), NOW)).toBe(false);
    expect(registry.knowsLater(recalled(["job.old"], NOW - 6_000), NOW + 31_000)).toBe(false);
  });
});

describe("where a worker listens", () => {
  it("stays known while its announcement is only repeated", () => {
    const registry = registryWith({});
    expect(registry.announce("w1", ["job.echo"], NOW)).toBe(true);
    registry.noteMissed("w1", true, NOW);
    expect(registry.announce("w1", ["job.echo"], NOW)).toBe(false);
    expect(registry.find("w1", NOW)?.listens).toBe("on_topic");
    expect(registry.announce("w1", ["job.echo", "job.new"], NOW)).toBe(true);
    expect(registry.find("w1", NOW)?.listens).toBe("directly");
  });

  it("is tried with one job at a time after a miss, until somebody has heard", () => {
    const registry = registryWith({ capacity: 100 });
    for (let at = 0; at < 100; at++) registry.noteMissed("w1", true, NOW);
    for (let at = 0; at < 100; at++) registry.noteMissed("w1", false, NOW); // a burst is one miss
    registry.hear({ ...HEARTBEAT, capacity: 100 }, NOW + 5_000);
    expect(registry.find("w1", NOW + 5_000)).toMatchObject({ listens: "directly", free: 1 });
    registry.reserve({ workerId: "w1", jobId: "j1", dispatchId: "trial" });
    expect(registry.find("w1", NOW + 5_000)?.free).toBe(0);
    registry.noteHeard("w1");
    expect(registry.find("w1", NOW + 5_000)?.free).toBe(99);
  });

  it("is looked for later each time", () => {
    const registry = registryWith({});
    const waits: number[] = [];
    let now = NOW;
    for (let round = 0; round < 6; round++) {
      registry.noteMissed("w1", true, now);
      registry.noteMissed("w1", false, now);
      const missedAt = now;
      while (registry.find("w1", now)?.listens === "nowhere") {
        now += 1_000;
        registry.hear(HEARTBEAT, now);
      }
      waits.push(now - missedAt);
    }
    expect(waits).toEqual([5_000, 10_000, 20_000, 40_000, 60_000, 60_000]);
  });
});

describe("slots", () => {
  const slot = (n: number) => ({ workerId: "w1", jobId: "j1", dispatchId: `d${n}` });

  it("stay with the dispatch that was committed when others for the same job were not", () => {
    const registry = registryWith({});
    for (const n of [1, 2, 3]) registry.reserve(slot(n));
    expect(registry.find("w1", NOW)?.busy).toBe(3);
    registry.keepOnly("j1", "d2", NOW);
    registry.withdraw("j1", "d1");
    registry.withdraw("j1", "d3");
    expect(registry.find("w1", NOW)?.busy).toBe(1);
    registry.keepOnly("j1", undefined, NOW);
    expect(registry.find("w1", NOW)?.busy).toBe(0);
  });

  it("that were never used count as no job that has ended", () => {
    const registry = registryWith({ activeJobs: 2 });
    registry.reserve(slot(1));
    registry.withdraw("j1", "d1");
    expect(registry.find("w1", NOW)?.busy).toBe(2);
    registry.reserve(slot(2));
    registry.keepOnly("j1", undefined, NOW);
    expect(registry.find("w1", NOW)?.busy).toBe(1);
  });

  it("are free although a heartbeat that crossed the last results still counts them, and no longer than that", () => {
    const registry = registryWith({});
    registry.reserve(slot(1));
    registry.release("j1", NOW);
    registry.hear({ ...HEARTBEAT, activeJobs: 1 }, NOW + 1_900);
    expect(registry.find("w1", NOW + 1_900)?.busy).toBe(0);
    registry.hear({ ...HEARTBEAT, activeJobs: 1 }, NOW + 2_100);
    expect(registry.find("w1", NOW + 2_100)?.busy).toBe(1);
  });

  it("count an ended job once when its result is overheard after thousands of others", () => {
    const registry = registryWith({ capacity: 10_000, activeJobs: 9_000 });
    const jobs = Array.from({ length: 4_096 }, (_, n) => `j${n}`);
    for (const jobId of jobs) {
      registry.reserve({ workerId: "w1", jobId, dispatchId: `d-${jobId}` });
      registry.release(jobId, NOW);
    }
    registry.reserve({ workerId: "w1", jobId: "one more", dispatchId: "d" });
    registry.release("one more", NOW);
    for (const jobId of jobs) registry.noteEnded(jobId, "w1", NOW);
    expect(registry.find("w1", NOW)?.busy).toBe(9_000 - 4_097);
    registry.noteEnded("j0", "w1", NOW); // of another placer
    expect(registry.find("w1", NOW)?.busy).toBe(9_000 - 4_098);
  });
});
