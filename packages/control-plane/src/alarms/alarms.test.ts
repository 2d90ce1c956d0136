import { describe, expect, it } from "vitest";
import { memoryState } from "../adapters/memory/memory-state.ts";
import { type VirtualClock, virtualClock } from "../adapters/system/virtual-clock.ts";
import { Fault } from "../ports/fault.ts";
import { partitionOf } from "../ports/partition.ts";
import type { State } from "../ports/state.ts";
import { notebook, type Said } from "../testing/scene-ports.ts";
import { DEFAULT_ALARM_SETTINGS, runAlarms, type WakeHandler } from "./alarms.ts";

const PARTITIONS = 4;
const KIND = "thing";
const NEVER = new AbortController().signal;

interface Stage {
  readonly clock: VirtualClock;
  readonly state: State;
  readonly said: readonly Said[];
  readonly stop: AbortController;
  readonly work: AbortController;
  readonly ended: Promise<void>;
  put(id: string, wakeAt: number, kind?: string): Promise<void>;
}

function stage(handler: WakeHandler, between: (state: State) => State = (state) => state): Stage {
  const clock = virtualClock();
  const real = memoryState({ partitions: PARTITIONS, layout: { indexes: {}, logs: {} }, clock });
  const state = between(real);
  const { log, meter, said } = notebook();
  const stop = new AbortController();
  const work = new AbortController();
  const handlers = new Map([[KIND, handler]]);
  const signals = { stopping: stop.signal, work: work.signal };
  const ended = runAlarms({ state, clock, log, meter, handlers }, DEFAULT_ALARM_SETTINGS, signals);
  return {
    clock,
    state: real,
    said,
    stop,
    work,
    ended,
    async put(id, wakeAt, kind = KIND) {
      const key = { partition: partitionOf(id, PARTITIONS), kind, id };
      const changes = [{ do: "put", key, value: 1, wakeAt }] as const;
      await real.commit({ id: clock.id(), partition: key.partition, checks: [{ is: "absent", key }], changes }, NEVER);
    },
  };
}

async function pass(clock: VirtualClock, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 50) {
    await clock.advance(50);
    for (let turn = 0; turn < 10; turn++) await clock.advance(0);
  }
}

describe("alarms", () => {
  it("K5 wait for our clock where it is behind the store's, so that nothing is looked at too early", async () => {
    const rung: number[] = [];
    const { clock, put, stop, ended } = stage(
      async () => void rung.push(clock.now()),
      (state) => {
        const ahead = async (...[partition, limit, leaseMs, signal]: Parameters<State["take"]>) =>
          (await state.take(partition, limit, leaseMs, signal)).map((due) => ({ ...due, at: due.at + 700 }));
        return Object.assign(Object.create(state), { take: ahead });
      },
    );
    const start = clock.now();
    await put("early", start + 1_000);
    await pass(clock, 1_600);
    expect(rung).toEqual([]);
    await pass(clock, 400);
    expect(rung).toHaveLength(1);
    expect(rung[0]).toBeGreaterThanOrEqual(start + 1_700);
    stop.abort();
    await ended;
  });

  it("ring in all partitions, not before their time, soon after it", async () => {
    const rung = new Map<string, number>();
    const { clock, put, stop, ended } = stage(async (id) => void rung.set(id, clock.now()));
    const start = clock.now();
    for (let n = 0; n < 40; n++) await put(`a${n}`, start + 1_000 + n * 10);
    await pass(clock, 900);
    expect(rung.size).toBe(0);
    await pass(clock, 1_000);
    expect(rung.size).toBe(40);
    for (const [id, at] of rung) expect(at - (start + 1_000 + Number(id.slice(1)) * 10)).toBeLessThanOrEqual(250);
    stop.abort();
    await pass(clock, 50);
    await ended;
  });

  it("K2: are handled at most so many at once, and a slow one holds up nobody else", async () => {
    let running = 0;
    let most = 0;
    const done: string[] = [];
    const { clock, put, stop, ended } = stage(async (id) => {
      most = Math.max(most, ++running);
      await clock.sleep(id.startsWith("slow") ? 8_000 : 10, NEVER);
      running--;
      done.push(id);
    });
    for (let n = 0; n < 31; n++) await put(`slow${n}`, clock.now());
    await pass(clock, 300);
    for (let n = 0; n < 20; n++) await put(`fast${n}`, clock.now());
    await pass(clock, 3_000);
    expect(done.filter((id) => id.startsWith("fast"))).toHaveLength(20);
    expect(most).toBe(32);
    stop.abort();
    await pass(clock, 10_000);
    await ended;
    expect(running).toBe(0);
  });

  it("K1: come again after their lease when the handler fails, and stop nobody", async () => {
    const rung: string[] = [];
    const { clock, put, said, stop, ended } = stage(async (id) => {
      rung.push(id);
      if (id === "bad") throw new Fault("JOB_CONTENDED", "no");
    });
    await put("bad", clock.now());
    await put("good", clock.now());
    await pass(clock, 9_000);
    expect([...rung].sort()).toEqual(["bad", "good"]);
    await pass(clock, 2_000);
    expect(rung.filter((id) => id === "bad")).toHaveLength(2);
    expect(said.filter(({ event }) => event === "alarm.failed")).toHaveLength(2);
    stop.abort();
    await pass(clock, 50);
    await ended;
  });

  it("of a kind that nobody handles are said, and do not stop others", async () => {
    const rung: string[] = [];
    const { clock, put, said, stop, ended } = stage(async (id) => void rung.push(id));
    await put("x", clock.now(), "strange");
    await put("y", clock.now());
    await pass(clock, 1_000);
    expect(rung).toEqual(["y"]);
    expect(said.filter(({ event }) => event === "alarm.unknown_kind")).toHaveLength(1);
    stop.abort();
    await pass(clock, 50);
    await ended;
  });

  it("K4: go on when the store is back, and do not fill the log meanwhile", async () => {
    let isAway = true;
    const rung: string[] = [];
    const { clock, put, said, stop, ended } = stage(
      async (id) => void rung.push(id),
      (real) => ({
        ...real,
        traits: real.traits,
        take: (...asked) => (isAway ? Promise.reject(new Fault("STATE_UNAVAILABLE", "away")) : real.take(...asked)),
        sweep: (...asked) => real.sweep(...asked),
      }),
    );
    await put("a", clock.now());
    await pass(clock, 10_000);
    expect(said.length).toBeLessThanOrEqual(11 * PARTITIONS);
    isAway = false;
    await pass(clock, 1_500);
    expect(rung).toEqual(["a"]);
    stop.abort();
    await pass(clock, 50);
    await ended;
  });

  it("let what is under way end before they do", async () => {
    let finished = false;
    const { clock, put, stop, work, ended } = stage(async (_, signal) => {
      await clock.sleep(1_000, signal);
      finished = !signal.aborted;
    });
    await put("a", clock.now());
    await pass(clock, 300);
    stop.abort();
    await pass(clock, 1_100);
    await ended;
    expect(finished).toBe(true);
    expect(work.signal.aborted).toBe(false);
  });
});
