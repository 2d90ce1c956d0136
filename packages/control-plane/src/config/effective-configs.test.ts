import { beforeEach, describe, expect, it } from "vitest";
import { inProcessBus } from "../adapters/inprocess/bus.ts";
import { memoryState } from "../adapters/memory/memory-state.ts";
import { type VirtualClock, virtualClock } from "../adapters/system/virtual-clock.ts";
import { auditLayout } from "../audit/audit-entry.ts";
import type { Bus } from "../ports/bus.ts";
import { Fault } from "../ports/fault.ts";
import type { JsonObject } from "../ports/json.ts";
import type { State } from "../ports/state.ts";
import { silentLog } from "../telemetry/log.ts";
import { withState } from "../testing/scene-ports.ts";
import { listenForConfig } from "./config-news.ts";
import { configLayout, openConfigStore } from "./config-store.ts";
import { addressOf, type ConfigAddress, type Scope } from "./document.ts";
import { EffectiveConfigs, FRESH_MS, REFRESH_MS } from "./effective-configs.ts";
import { type By, replaceConfig } from "./use-config.ts";

const NEVER = new AbortController().signal;
const BY: By = { tenant: "acme", actor: { tenant: "acme", principal: "ann", role: "admin", keyId: "k" } };
const ACME = { tenant: "acme", team: "", workflow: "", step: "" };

let clock: VirtualClock;
let bus: Bus;
let state: State;
let configs: EffectiveConfigs;
/** Calls of the store that read configuration. */
let calls: string[];
let isAway: boolean;
/** Runs while a read of configuration is under way, once. */
let meanwhile: (() => Promise<void>) | undefined;

function storeOf(real: State): State {
  const called = async <T>(name: string, go: () => Promise<T>): Promise<T> => {
    calls.push(name);
    if (isAway) throw new Fault("STATE_UNAVAILABLE", "away");
    const answer = await go();
    const act = meanwhile;
    meanwhile = undefined;
    await act?.();
    return answer;
  };
  return withState(real, {
    get: (keys, signal) => called(`get ${keys.length}`, () => real.get(keys, signal)),
    count: (spans, signal) => called(`count ${spans.length}`, () => real.count(spans, signal)),
  });
}

beforeEach(() => {
  clock = virtualClock();
  bus = inProcessBus({ clock, log: silentLog() });
  calls = [];
  isAway = false;
  meanwhile = undefined;
  const real = memoryState({
    partitions: 3,
    layout: { indexes: configLayout(), logs: auditLayout(1_000_000) },
    clock,
  });
  state = real;
  const watched = storeOf(real);
  configs = new EffectiveConfigs({
    state: watched,
    store: openConfigStore(watched, clock),
    clock,
    log: silentLog(),
  });
});

/** By another process, which tells this one nothing. */
async function set(scope: Scope, data: JsonObject, id = "", tenant = "acme"): Promise<ConfigAddress> {
  const address = addressOf(scope, id, tenant);
  const parts = { state, clock, log: silentLog(), bus, forget: () => undefined, storeTimeoutMs: 1_000 };
  await replaceConfig(address, { data, meta: {} }, "", BY, parts, NEVER);
  return address;
}
const load = async (over: Partial<typeof ACME> = {}) => (await configs.load({ ...ACME, ...over })).forWorkers;
const find = (over: Partial<typeof ACME> = {}) => configs.find({ ...ACME, ...over })?.forWorkers;
const isKnown = (over: Partial<typeof ACME> = {}) => configs.find({ ...ACME, ...over }) !== undefined;

/** Lets the cycle run for a while. */
async function running(work: () => Promise<void>): Promise<void> {
  const stopping = new AbortController();
  const cycle = configs.run(stopping.signal);
  await work();
  stopping.abort();
  await clock.advance(0);
  await cycle;
}
async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 500) {
    await clock.advance(Math.min(500, left));
    for (let turn = 0; turn < 10; turn++) await clock.advance(0);
  }
}

describe("what is configured, in memory", () => {
  it("F1 F4 is read once, in two calls; a tenant with nothing narrower is asked no more, whatever its jobs name", async () => {
    await set("org", { a: 1 });
    expect(isKnown()).toBe(false);
    expect(await load()).toEqual({ a: 1 });
    expect(calls).toEqual(["get 3", "count 3"]);
    for (let n = 0; n < 100; n++) expect(find({ team: `t${n}`, workflow: `w${n}`, step: `s${n}` })).toEqual({ a: 1 });
    expect(configs.findPlain("acme")?.text).toBe('{"a":1}');
    expect([calls.length, configs.size]).toEqual([2, 1]);
  });

  it("F1 many that need the same at once read it once", async () => {
    await Promise.all(Array.from({ length: 50 }, () => load()));
    expect(calls).toEqual(["get 3", "count 3"]);
  });

  it("takes narrower layers for those who name them, and reads only what there can be", async () => {
    await set("org", { at: "org" });
    await set("step", { at: "step" }, "s");
    expect(await load()).toEqual({ at: "org" });
    expect(configs.findPlain("acme")).toBeUndefined();
    expect([find({ team: "t", workflow: "w" }), isKnown({ step: "s" })]).toEqual([{ at: "org" }, false]);
    expect(await load({ team: "t", step: "s" })).toEqual({ at: "step" });
    expect(await load({ step: "other" })).toEqual({ at: "org" });
    expect(calls).toEqual(["get 3", "count 3", "get 5", "get 5"]);
    expect(find({ team: "any", step: "s" })).toEqual({ at: "step" });
    expect(await load({ tenant: "other", step: "s" })).toBeUndefined();
  });

  it("F1 F2 is kept fresh while it is in use, so that changes nobody told of are seen and no job waits", async () => {
    await set("team", { n: 0 }, "red");
    await load({ team: "red" });
    await running(async () => {
      for (let round = 1; round < 20; round++) {
        await set("team", { n: round }, "red");
        await set("org", { org: round });
        await set("system", { all: round }, "default");
        for (let ms = 0; ms < FRESH_MS; ms += 500) {
          await pass(500);
          expect(isKnown({ team: "red" })).toBe(true);
        }
        expect(find({ team: "red" })).toEqual({ n: round, org: round, all: round });
      }
    });
  });

  it("F2 is not used when it is stale, and forgotten when nobody asks", async () => {
    await load();
    await clock.advance(FRESH_MS - 1);
    expect(isKnown()).toBe(true);
    await clock.advance(1);
    expect(isKnown()).toBe(false);
    await running(async () => {
      await pass(FRESH_MS + 2 * REFRESH_MS);
      const { length } = calls;
      await pass(10 * REFRESH_MS);
      expect([calls.length, configs.size]).toEqual([length, 0]);
    });
  });

  it("F2 news of any document counts at once", async () => {
    for (const [scope, id] of [
      ["system", "default"],
      ["org", ""],
      ["team", "t"],
      ["workflow", "w"],
      ["step", "s"],
    ] as const) {
      const subject = { team: "t", workflow: "w", step: "s" };
      await load(subject);
      configs.forget(await set(scope, { [scope]: 1 }, id));
      expect([scope, isKnown(subject)]).toEqual([scope, false]);
      expect(await load(subject)).toMatchObject({ [scope]: 1 });
    }
  });

  it("F2 hears the news that this and later servers of the original send; what it cannot read it takes for any", async () => {
    const heard: (ConfigAddress | undefined)[] = [];
    const news = await listenForConfig(bus, (address) => heard.push(address));
    await set("team", {}, "red");
    await set("system", {}, "packs");
    for (let turn = 0; turn < 5; turn++) await clock.advance(0);
    expect(heard).toEqual([addressOf("team", "red", "acme"), addressOf("system", "packs", "acme")]);
    await bus.publish("sys.config.changed", Buffer.from("rubbish"), NEVER);
    for (let turn = 0; turn < 5; turn++) await clock.advance(0);
    expect(heard).toHaveLength(2);
    await news.drain(NEVER);
  });

  it("F5 does not remember what was read before the news, also when it arrives after them", async () => {
    await load();
    configs.doubt();
    meanwhile = async () => configs.forget(await set("org", { new: 1 }));
    expect(await load()).toEqual({ new: 1 });
  });

  it("F5 is not kept from it by news of others, however many there are", async () => {
    const others = async (): Promise<void> => {
      configs.forget(await set("org", {}, "", "other"));
      meanwhile = others;
    };
    meanwhile = others;
    await set("org", { a: 1 });
    expect(await load()).toEqual({ a: 1 });
    await expect(load({ tenant: "other" })).rejects.toMatchObject({ code: "CONFIG_CONTENDED" });
  });

  it("ends where news come faster than reads", async () => {
    const again = async (): Promise<void> => {
      configs.doubt();
      meanwhile = again;
    };
    meanwhile = again;
    await expect(load()).rejects.toMatchObject({ code: "CONFIG_CONTENDED" });
  });

  it("F3 that cannot be read is a fault; what is fresh goes on, and a failed cycle is made up for", async () => {
    await set("org", { a: 1 });
    await load();
    isAway = true;
    await running(async () => {
      await pass(REFRESH_MS + 500);
      expect(find()).toEqual({ a: 1 });
      await pass(FRESH_MS);
      expect(isKnown()).toBe(false);
      await expect(load()).rejects.toMatchObject({ code: "STATE_UNAVAILABLE" });
      isAway = false;
      expect(await load()).toEqual({ a: 1 });
    });
  });

  it("F6 stays the same object as long as nothing changes, for all who share it", async () => {
    await set("org", { a: 1 });
    await set("step", { b: 1 }, "s");
    const before = [await configs.load(ACME), await configs.load({ ...ACME, step: "s" })];
    configs.doubt();
    const after = [await configs.load(ACME), await configs.load({ ...ACME, step: "s" })];
    expect(after[0]).toBe(before[0]);
    expect(after[1]).toBe(before[1]);
    configs.forget(await set("system", { c: 1 }, "default"));
    expect((await configs.load({ ...ACME, step: "s" })).forWorkers).toEqual({ a: 1, b: 1, c: 1 });
    expect((await configs.load(ACME)).forWorkers).toEqual({ a: 1, c: 1 });
  });

  it("is bounded, however many tenants and steps there are", async () => {
    for (let n = 0; n < 4_200; n++) await load({ tenant: `t${n}` });
    expect(configs.size).toBe(4_096);
    await set("step", { a: 1 }, "s1");
    configs.doubt();
    for (let n = 0; n < 1_100; n++) await load({ step: `s${n}` });
    expect(configs.size).toBe(4_096 + 1_024);
  });
});
