import { describe, expect, it } from "vitest";
import { HEARTBEAT } from "../testing/blanks.ts";
import { place } from "./placement.ts";
import { Placers } from "./placers.ts";
import { type Heartbeat, Registry } from "./registry.ts";
import { OPEN_ROUTING, type Routing } from "./routing.ts";

const NOW = 1_000_000;
const ROUTING: Routing = {
  topics: new Map([
    ["job.echo", ["default"]],
    ["job.gpu", ["default", "gpu"]],
  ]),
  pools: new Map([["gpu", { requires: ["GPU", "cuda"] }]]),
  isOpen: false,
};
const needs = (over: Partial<Parameters<typeof place>[0]> = {}) => ({
  tenant: "acme",
  topic: "job.echo",
  requires: [],
  labels: {},
  ...over,
});

function fleet(...heartbeats: readonly Partial<Heartbeat>[]): Registry {
  const registry = new Registry(new Placers("p"));
  for (const heartbeat of heartbeats) registry.hear({ ...HEARTBEAT, ...heartbeat }, NOW);
  return registry;
}
const placeOn = (registry: Registry, asked = needs(), routing = ROUTING) =>
  place(asked, routing, registry.alive(NOW), () => 0);

describe("place", () => {
  it("P4: gives a worker of one tenant no job of another, even where nobody else is there", () => {
    const others = fleet({ labels: { "cordum.tenant": "other" } });
    expect(placeOn(others)).toEqual({ kind: "unplaced", waiting: "no_workers", pools: ["default"] });
    expect(placeOn(others, needs({ labels: { preferred_worker_id: "w1" } }))).toMatchObject({ kind: "unplaced" });
    expect(placeOn(others, needs({ tenant: "other" }))).toMatchObject({ kind: "placed", worker: { id: "w1" } });
    const mixed = fleet({ labels: { "cordum.tenant": "other" } }, { workerId: "w2", activeJobs: 3 });
    expect(placeOn(mixed)).toMatchObject({ kind: "placed", worker: { id: "w2" } });
  });

  it("says that a topic no pool runs can never be placed", () => {
    expect(placeOn(fleet({}), needs({ topic: "job.nope" }))).toMatchObject({
      kind: "unroutable",
      code: "no_pool_mapping",
    });
    expect(placeOn(fleet({}), needs({ labels: { preferred_pool: "other" } }))).toMatchObject({ kind: "unroutable" });
    expect(placeOn(fleet({}), needs({ requires: ["tpu"] }))).toMatchObject({ kind: "unroutable" });
  });

  it("uses only pools that declare all that a job requires, in any case", () => {
    const registry = fleet({}, { workerId: "g1", pool: "gpu" });
    expect(placeOn(registry, needs({ topic: "job.gpu", requires: ["gpu", " CUDA "] }))).toMatchObject({
      worker: { id: "g1" },
      pool: "gpu",
    });
  });

  it("tells no workers from no free slots", () => {
    expect(placeOn(fleet({ pool: "other" }))).toEqual({ kind: "unplaced", waiting: "no_workers", pools: ["default"] });
    expect(placeOn(fleet({ activeJobs: 4 }))).toEqual({
      kind: "unplaced",
      waiting: "pool_overloaded",
      pools: ["default"],
    });
    expect(placeOn(fleet({ cpuLoad: 95 }))).toMatchObject({ waiting: "pool_overloaded" });
    expect(placeOn(fleet({ labels: { draining: "true" } }))).toMatchObject({ waiting: "workers_draining" });
  });

  it("spreads a burst between two heartbeats evenly", () => {
    const registry = fleet(
      { workerId: "a", capacity: 50 },
      { workerId: "b", capacity: 50 },
      { workerId: "c", capacity: 50 },
    );
    const counts = new Map<string, number>();
    for (let at = 0; at < 90; at++) {
      const placement = placeOn(registry);
      if (placement.kind !== "placed") throw new Error("no place");
      registry.reserve({ workerId: placement.worker.id, jobId: `j${at}`, dispatchId: `d${at}` });
      counts.set(placement.worker.id, (counts.get(placement.worker.id) ?? 0) + 1);
    }
    expect([...counts.values()]).toEqual([30, 30, 30]);
  });

  it("lets business labels be and obeys placement labels", () => {
    const registry = fleet({}, { workerId: "eu", labels: { "placement.region": "eu" } });
    expect(placeOn(registry, needs({ labels: { customer: "x" } })).kind).toBe("placed");
    expect(placeOn(registry, needs({ labels: { "placement.region": "eu" } }))).toMatchObject({ worker: { id: "eu" } });
    expect(placeOn(registry, needs({ labels: { "placement.region": "us" } }))).toMatchObject({ waiting: "no_workers" });
  });

  it("grants a preferred worker while it can be had", () => {
    const registry = fleet({ activeJobs: 0 }, { workerId: "w2", activeJobs: 2 });
    expect(placeOn(registry, needs({ labels: { preferred_worker_id: "w2" } }))).toMatchObject({ worker: { id: "w2" } });
    expect(placeOn(registry, needs({ labels: { preferred_worker_id: "gone" } }))).toMatchObject({
      worker: { id: "w1" },
    });
  });

  it("sends topics that nobody maps to whoever announced them, where routing is open", () => {
    const registry = fleet({}, { workerId: "w2" });
    expect(placeOn(registry, needs({ topic: "job.new" }), OPEN_ROUTING)).toMatchObject({
      waiting: "no_workers",
      pools: ["@job.new"],
    });
    registry.announce("w2", ["job.new"], NOW);
    expect(placeOn(registry, needs({ topic: "job.new" }), OPEN_ROUTING)).toMatchObject({
      worker: { id: "w2" },
      pool: "@job.new",
    });
  });

  it("limits a worker to its announced topics, and nobody else", () => {
    const registry = fleet({});
    registry.announce("w1", ["job.other"], NOW);
    expect(placeOn(registry)).toMatchObject({ waiting: "no_workers" });
  });
});

describe("Registry", () => {
  it("forgets workers that are silent for 30 seconds", () => {
    const registry = fleet({});
    expect(registry.alive(NOW + 30_000)).toHaveLength(1);
    expect(registry.alive(NOW + 30_001)).toHaveLength(0);
    expect(registry.expire(NOW + 30_001)).toEqual(["w1"]);
    expect(registry.hear(HEARTBEAT, NOW + 40_000)).toBe(true);
  });

  it("counts its own jobs and those that the worker reports", () => {
    const registry = fleet({});
    registry.reserve({ workerId: "w1", jobId: "j1", dispatchId: "d1" });
    registry.reserve({ workerId: "w1", jobId: "j1", dispatchId: "d1" });
    expect(registry.find("w1", NOW)).toMatchObject({ busy: 1, free: 3 });
    registry.hear({ ...HEARTBEAT, activeJobs: 3 }, NOW);
    expect(registry.find("w1", NOW)).toMatchObject({ busy: 3 });
    expect(registry.release("j1", NOW)).toBe(true);
    expect(registry.release("j1", NOW)).toBe(false);
    expect(registry.find("w1", NOW)).toMatchObject({ busy: 2, free: 2 });
  });

  it("leaves a worker alone that listens nowhere, for longer each time, and tries again", () => {
    const registry = fleet({});
    registry.noteMissed("w1", true, NOW);
    expect(registry.find("w1", NOW)).toMatchObject({ listens: "on_topic", free: 4 });
    registry.noteMissed("w1", false, NOW);
    expect(registry.find("w1", NOW)).toMatchObject({ listens: "nowhere", free: 0 });
    registry.hear(HEARTBEAT, NOW + 4_999);
    expect(registry.find("w1", NOW + 4_999)?.listens).toBe("nowhere");
    registry.hear(HEARTBEAT, NOW + 5_000);
    expect(registry.find("w1", NOW + 5_000)?.listens).toBe("directly");
  });
});
