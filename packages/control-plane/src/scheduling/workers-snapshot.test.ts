import { describe, expect, it } from "vitest";
import { HEARTBEAT } from "../testing/blanks.ts";
import { Placers } from "./placers.ts";
import { type Heartbeat, Registry, type Worker } from "./registry.ts";
import { OPEN_ROUTING, type Routing } from "./routing.ts";
import { readSnapshot, snapshotOf } from "./workers-snapshot.ts";

const NOW = Date.parse("2026-01-18T10:00:00Z");
const PLAIN: Partial<Heartbeat> = { pool: "default", activeJobs: 2, capacity: 4, capabilities: ["echo"], cpuLoad: 3.5 };

function alive(...heartbeats: readonly (Partial<Heartbeat> & { readonly topics?: readonly string[] })[]) {
  const registry = new Registry(new Placers("p"));
  for (const [nth, { topics = [], ...heartbeat }] of heartbeats.entries()) {
    const workerId = heartbeat.workerId ?? `w${nth + 1}`;
    registry.announce(workerId, topics, NOW);
    registry.hear({ ...HEARTBEAT, ...PLAIN, ...heartbeat, workerId }, NOW);
  }
  return registry.alive(NOW);
}
const routing = (topics: { readonly [topic: string]: readonly string[] }, isOpen = false): Routing => ({
  ...OPEN_ROUTING,
  topics: new Map(Object.entries(topics)),
  isOpen,
});

describe("the snapshot of workers", () => {
  it("is the original's, member by member, and ours", () => {
    const said = { region: "eu", type: "gpu", labels: { zone: "a" }, memoryLoad: 40, gpuUtilization: 7 };
    const snapshot = snapshotOf(alive(said), routing({ "job.default": ["default"] }), NOW);
    expect(JSON.parse(JSON.stringify(snapshot))).toEqual({
      captured_at: "2026-01-18T10:00:00.000Z",
      pools: { default: { workers: 1, active_jobs: 2, capacity: 4 } },
      topics: { "job.default": { pool: "default", workers: 1, capacity: 4, available: true } },
      workers: [
        {
          worker_id: "w1",
          pool: "default",
          active_jobs: 2,
          max_parallel_jobs: 4,
          capabilities: ["echo"],
          cpu_load: 3.5,
          region: "eu",
          type: "gpu",
          labels: { zone: "a" },
          memory_load: 40,
          gpu_utilization: 7,
          seen_at: "2026-01-18T10:00:00.000Z",
        },
      ],
    });
  });

  it("is read as it was written", () => {
    const labels = JSON.parse('{"cordum.instance":"i1","__proto__":"x"}');
    const [worker] = alive({ topics: ["job.echo"], instance: "i1", labels, region: "eu", type: "gpu", memoryLoad: 40 });
    const read = readSnapshot(JSON.stringify(snapshotOf(worker === undefined ? [] : [worker], routing({}), NOW)));
    const announcement = { topics: new Set(["job.echo"]), saidAt: NOW };
    expect(read).toEqual([{ heartbeat: worker?.heartbeat, seenAt: NOW, announcement }]);
  });

  it("sums pools, and over the pools of a topic; says which topics nobody serves", () => {
    const workers = alive({ pool: "a" }, { pool: "b", capacity: 6 }, { pool: "b", labels: { draining: "true" } });
    const { pools, topics, workers: shown } = snapshotOf(workers, routing({ both: ["a", "b"], none: ["c"] }), NOW);
    expect(pools).toEqual({
      a: { workers: 1, active_jobs: 2, capacity: 4 },
      b: { workers: 2, active_jobs: 4, capacity: 10 },
    });
    expect(topics).toEqual({
      both: { pool: "a", workers: 3, capacity: 14, available: true },
      none: { pool: "c", workers: 0, capacity: 0, available: false },
    });
    expect(shown.map(({ draining }) => draining)).toEqual([undefined, undefined, true]);
  });

  it("has announced topics where routing is open, and no virtual pools", () => {
    const workers = alive({ topics: ["job.echo"] }, { topics: ["job.echo", "job.mine"] });
    const { pools, topics } = snapshotOf(workers, routing({}, true), NOW);
    expect(Object.keys(pools)).toEqual(["default"]);
    expect(topics["job.echo"]).toEqual({ pool: "@job.echo", workers: 2, capacity: 8, available: true });
    expect(topics["job.mine"]).toMatchObject({ workers: 1 });
    expect(snapshotOf(workers, routing({}), NOW).topics).toEqual({});
  });

  it("keeps names of strangers for names, and lists as many as it may", () => {
    const { pools } = snapshotOf(alive({ pool: "__proto__" }), routing({}), NOW);
    expect(JSON.stringify(pools)).toBe('{"__proto__":{"workers":1,"active_jobs":2,"capacity":4}}');
    const crowd: readonly Worker[] = alive(...Array.from({ length: 1_003 }, (_, n) => ({ workerId: `w${n}` })));
    const { workers, workers_omitted, pools: all } = snapshotOf(crowd, routing({}), NOW);
    expect([workers.length, workers_omitted, all.default?.workers]).toEqual([1_000, 3, 1_003]);
  });
});
