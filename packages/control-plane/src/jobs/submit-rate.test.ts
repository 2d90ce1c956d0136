// The rate at which a tenant submits, over several processes.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { memoryState } from "../adapters/memory/memory-state.ts";
import { type VirtualClock, virtualClock } from "../adapters/system/virtual-clock.ts";
import { Fault } from "../ports/fault.ts";
import type { State } from "../ports/state.ts";
import { DEFAULT_RETENTION, stateLayout } from "../services/core.ts";
import { withState } from "../testing/scene-ports.ts";
import { NO_SUBMIT_RATES, SubmitLimiter, type SubmitRate, type SubmitRates } from "./submit-rate.ts";

const NEVER = new AbortController().signal;
const never = (): AbortSignal => NEVER;
const RATE: SubmitRate = { perSecond: 50, burst: 100 };

interface Scene {
  readonly clock: VirtualClock;
  readonly calls: () => number;
  process(rates?: SubmitRates): SubmitLimiter;
}

function open(between: (real: State) => State = (real) => real): Scene {
  const clock = virtualClock();
  const real = between(memoryState({ partitions: 3, layout: stateLayout(DEFAULT_RETENTION), clock }));
  let calls = 0;
  const counted = <A extends unknown[], R>(call: (...args: A) => R) => {
    return (...args: A): R => {
      calls++;
      return call(...args);
    };
  };
  const state = withState(real, {
    get: counted((...args: Parameters<State["get"]>) => real.get(...args)),
    commit: counted((...args: Parameters<State["commit"]>) => real.commit(...args)),
  });
  return {
    clock,
    calls: () => calls,
    process: (rates = { preset: RATE, ofTenant: new Map() }) =>
      new SubmitLimiter(rates, { state, clock, storeTimeoutMs: 5_000 }),
  };
}

async function take(limiter: SubmitLimiter, jobs = 1, tenant = "acme"): Promise<number> {
  const admission = await limiter.take(tenant, jobs, never);
  return admission === undefined || admission.kind === "admitted" ? 0 : admission.waitMs;
}

const HOUR = 3_600_000;
/** When a job's turn comes, from now on; undefined: too late. */
async function turn({ clock }: Scene, limiter: SubmitLimiter, waitMsMax = HOUR): Promise<number | undefined> {
  const given = await limiter.queue("acme", waitMsMax, NEVER);
  if (given.kind === "none") return undefined;
  return given.kind === "now" ? 0 : given.at - clock.now();
}
const turns = async (scene: Scene, limiter: SubmitLimiter, jobs: number, waitMsMax = HOUR) =>
  Promise.all(Array.from({ length: jobs }, () => turn(scene, limiter, waitMsMax)));

/** How many of so many single jobs are let in. */
async function admitted(limiter: SubmitLimiter, jobs: number): Promise<number> {
  const waits = await Promise.all(Array.from({ length: jobs }, () => take(limiter)));
  return waits.filter((wait) => wait === 0).length;
}

describe("a tenant's rate of submits", () => {
  it("lets a burst in, then as many as the rate, and says when", async () => {
    const { clock, process } = open();
    const limiter = process();
    expect(await admitted(limiter, 150)).toBe(100);
    expect(await take(limiter)).toBe(20);
    await clock.advance(19);
    expect(await take(limiter)).toBe(1);
    await clock.advance(1);
    expect([await take(limiter), await take(limiter)]).toEqual([0, 20]);
    await clock.advance(3_600_000);
    expect(await admitted(limiter, 150)).toBe(100);
  });

  it("counts each job of a batch, lets a batch beyond the burst in when it is full, and makes it wait for what it owes", async () => {
    const { clock, process } = open();
    const limiter = process();
    expect(await take(limiter, 60)).toBe(0);
    expect(await take(limiter, 60)).toBe(400);
    await clock.advance(400);
    expect(await take(limiter, 60)).toBe(0);
    expect(await take(limiter, 1_000)).toBe(2_000);
    await clock.advance(2_000);
    expect(await take(limiter, 1_000)).toBe(0);
    expect(await take(limiter)).toBe(18_020);
  });

  it("is each tenant's own, as set for it; 0 is none, and costs nothing", async () => {
    const { process, calls } = open();
    const ofTenant = new Map([
      ["small", { perSecond: 1, burst: 2 }],
      ["free", { perSecond: 0, burst: 1 }],
    ]);
    const limiter = process({ preset: RATE, ofTenant });
    expect([await take(limiter, 2, "small"), await take(limiter, 1, "small")]).toEqual([0, 1_000]);
    expect(await take(limiter, 100, "acme")).toBe(0);
    const before = calls();
    expect(limiter.take("free", 1_000_000, never)).toBeUndefined();
    expect(calls()).toBe(before);
  });

  it("is one for all processes", async () => {
    const { clock, process } = open();
    const processes = [process(), process(), process()];
    const first = await Promise.all(processes.map((each) => admitted(each, 100)));
    expect(first.reduce((sum, count) => sum + count, 0)).toBe(100);
    await clock.advance(1_000);
    const later = await Promise.all(processes.map((each) => admitted(each, 100)));
    expect(later.reduce((sum, count) => sum + count, 0)).toBe(50);
  });

  it("never lets more in than burst and rate allow, however many processes ask how often and how much", async () => {
    const asks = fc.array(
      fc.record({ ms: fc.nat(400), at: fc.nat(2), jobs: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 30 })) }),
      { minLength: 20, maxLength: 200 },
    );
    await fc.assert(
      fc.asyncProperty(asks, async (sequence) => {
        const { clock, process } = open();
        const rate = { perSecond: 20, burst: 40 };
        const processes = [0, 1, 2].map(() => process({ preset: rate, ofTenant: new Map() }));
        const start = clock.now();
        let jobsIn = 0;
        for (const { ms, at, jobs } of sequence) {
          await clock.advance(ms);
          const limiter = processes[at];
          if (limiter !== undefined && (await take(limiter, jobs)) === 0) jobsIn += jobs;
          expect(jobsIn).toBeLessThanOrEqual(rate.burst + (rate.perSecond * (clock.now() - start)) / 1_000);
        }
      }),
      { numRuns: 60 },
    );
  });

  it("does not starve a tenant that stays below it in many processes", async () => {
    const { clock, process } = open();
    const processes = Array.from({ length: 10 }, () => process());
    for (let second = 0; second < 60; second++) {
      for (const each of processes) for (let nth = 0; nth < 4; nth++) expect(await take(each)).toBe(0);
      await clock.advance(1_000);
    }
  });

  it("costs State little where much is submitted, and nothing where all is refused", async () => {
    const { clock, process, calls } = open();
    const limiter = process({ preset: { perSecond: 10_000, burst: 20_000 }, ofTenant: new Map() });
    for (let past = 0; past < 1_000; past += 10) {
      expect(await admitted(limiter, 80)).toBe(80);
      await clock.advance(10);
    }
    expect(calls()).toBeLessThan(30);
    const small = process({ preset: { perSecond: 1, burst: 1 }, ofTenant: new Map() });
    await take(small, 1, "other");
    const before = calls();
    for (let nth = 0; nth < 1_000; nth++) expect(await take(small, 1, "other")).toBeGreaterThan(0);
    expect(calls()).toBe(before);
  });

  it("gives turns to those who cannot be sent away: at once for a burst, then one after the other at the rate", async () => {
    const scene = open();
    const limiter = scene.process();
    const first = await turns(scene, limiter, 103);
    expect(first.toSorted((a = 0, b = 0) => a - b)).toEqual([...Array<number>(100).fill(0), 20, 40, 60]);
    await scene.clock.advance(50);
    expect(await turns(scene, limiter, 2)).toEqual([30, 50]);
    await scene.clock.advance(10_000);
    expect(await turns(scene, limiter, 100)).toEqual(Array<number>(100).fill(0));
    expect([limiter.limits("acme"), scene.process(NO_SUBMIT_RATES).limits("acme")]).toEqual([true, false]);
  });

  it("makes those who come with a request wait behind those turns, and gives no turn behind a line that is too long", async () => {
    const scene = open();
    const [limiter, gateway] = [scene.process(), scene.process()];
    await turns(scene, limiter, 110);
    expect(await take(gateway)).toBe(220);
    expect(await turn(scene, limiter, 219)).toBeUndefined();
    const before = scene.calls();
    expect(await turns(scene, limiter, 50, 100)).toEqual(Array(50).fill(undefined));
    expect(scene.calls()).toBe(before);
    await scene.clock.advance(220);
    expect(await take(gateway)).toBe(0);
    expect(await turn(scene, limiter)).toBe(20);
  });

  it("gives turns in few calls, however many want one", async () => {
    const scene = open();
    const limiter = scene.process({ preset: { perSecond: 1, burst: 1 }, ofTenant: new Map() });
    const given = await turns(scene, limiter, 256);
    expect(given).toEqual(Array.from({ length: 256 }, (_, nth) => nth * 1_000));
    expect(scene.calls()).toBeLessThan(10);
  });

  it("never lets turns and requests together come faster than burst and rate allow", async () => {
    const asks = fc.array(fc.record({ ms: fc.nat(200), at: fc.nat(2), isRequest: fc.boolean(), jobs: fc.nat(8) }), {
      minLength: 20,
      maxLength: 150,
    });
    await fc.assert(
      fc.asyncProperty(asks, async (sequence) => {
        const scene = open();
        const rate = { perSecond: 20, burst: 10 };
        const processes = [0, 1, 2].map(() => scene.process({ preset: rate, ofTenant: new Map() }));
        const start = scene.clock.now();
        const begins: number[] = [];
        for (const { ms, at, isRequest, jobs } of sequence) {
          await scene.clock.advance(ms);
          const limiter = processes[at] ?? scene.process();
          const now = scene.clock.now() - start;
          const waits = isRequest
            ? Array<number>(await admitted(limiter, jobs)).fill(0)
            : await turns(scene, limiter, jobs);
          begins.push(...waits.map((wait = Number.POSITIVE_INFINITY) => now + wait));
        }
        for (const [nth, at] of begins.toSorted((a, b) => a - b).entries())
          expect(nth + 1).toBeLessThanOrEqual(rate.burst + (rate.perSecond * at) / 1_000 + 1e-6);
      }),
      { numRuns: 60 },
    );
  });

  it("lets nobody in while State cannot say, and tells all who wait so", async () => {
    let isAway = true;
    const away = () => Promise.reject(new Fault("STATE_UNAVAILABLE", "away"));
    const { process } = open((real) =>
      withState(real, { commit: (...args) => (isAway ? away() : real.commit(...args)) }),
    );
    const limiter = process();
    const asked = await Promise.allSettled(Array.from({ length: 20 }, () => take(limiter)));
    expect(asked.every(({ status }) => status === "rejected")).toBe(true);
    isAway = false;
    expect(await take(limiter)).toBe(0);
  });
});
