import { beforeEach, describe, expect, it } from "vitest";
import type { Lane } from "../scheduling/backlog-lanes.ts";
import { BacklogMemory, type LanePage } from "./backlog-memory.ts";

const NOW = 1_000_000;
const big: Lane = { pool: "p", priority: "interactive", tenant: "big", partitions: [0] };
const small: Lane = { ...big, tenant: "small" };
/** Jobs of a lane that goes on behind them, accepted at 1, 2, 3 … */
const pageOf = (count: number): LanePage => {
  const places = Array.from({ length: count }, (_, n) => ({ score: n + 1, member: `job-${n + 1}` }));
  return { jobs: places.map(() => undefined), places, next: places.at(-1) };
};
const membersOf = (page: LanePage | undefined): readonly string[] | undefined =>
  page?.places.map(({ member }) => member);

let memory: BacklogMemory;
beforeEach(() => {
  memory = new BacklogMemory();
  memory.keepLanes("p", [big], NOW);
});

describe("what was read ahead", () => {
  it("comes in its order, each once, and says where the lane goes on", () => {
    const first = memory.keepBehind(big, pageOf(5), 2, NOW);
    expect([membersOf(first), first.next]).toEqual([["job-1", "job-2"], { score: 2, member: "job-2" }]);
    const second = memory.take(big, 2, NOW);
    expect([membersOf(second), second?.next]).toEqual([["job-3", "job-4"], { score: 4, member: "job-4" }]);
    const last = memory.take(big, 2, NOW);
    expect([membersOf(last), last?.next]).toEqual([["job-5"], { score: 5, member: "job-5" }]);
  });

  it("M1: never says that nobody waits", () => {
    memory.keepBehind(big, { ...pageOf(1), next: undefined }, 1, NOW);
    expect(memory.take(big, 1, NOW)).toBeUndefined();
    expect(memory.lanesOf("p", NOW)).toBeUndefined();
  });

  it("M2: is not believed for long", () => {
    memory.keepBehind(big, pageOf(5), 2, NOW);
    expect(memory.lanesOf("p", NOW + 99)).toEqual([big]);
    expect(memory.lanesOf("p", NOW + 100)).toBeUndefined();
    expect(memory.take(big, 1, NOW + 100)).toBeUndefined();
  });

  it("M2: is not believed by a clock that was set back", () => {
    memory.keepBehind(big, pageOf(5), 2, NOW);
    expect(memory.take(big, 1, NOW - 1)).toBeUndefined();
  });
});

describe("M3: a job that begins to wait here", () => {
  beforeEach(() => void memory.keepBehind(big, pageOf(5), 2, NOW));

  it("is behind those that were seen, as a rule", () => {
    memory.note(big, 6);
    expect(membersOf(memory.take(big, 1, NOW))).toEqual(["job-3"]);
  });

  it("makes its lane be read again when it comes before one of them", () => {
    memory.note(big, 4);
    expect(memory.take(big, 1, NOW)).toBeUndefined();
  });

  it("makes lanes be asked for again when its own is new", () => {
    memory.note(small, 6);
    expect(memory.lanesOf("p", NOW)).toBeUndefined();
  });
});
