import { describe, expect, it } from "vitest";
import { inProcessBus } from "../adapters/inprocess/bus.ts";
import { memoryState } from "../adapters/memory/memory-state.ts";
import { virtualClock } from "../adapters/system/virtual-clock.ts";
import { auditLayout } from "../audit/audit-entry.ts";
import { readAudit } from "../audit/read-audit.ts";
import { Fault } from "../ports/fault.ts";
import type { State } from "../ports/state.ts";
import { silentLog } from "../telemetry/log.ts";
import { withSending, withState } from "../testing/scene-ports.ts";
import { configLayout } from "./config-store.ts";
import { addressOf, type ConfigAddress, type Scope } from "./document.ts";
import {
  type By,
  type ConfigParts,
  entityTagOf,
  loadConfig,
  mergeConfig,
  removeConfig,
  replaceConfig,
  viewConfig,
} from "./use-config.ts";

const NEVER = new AbortController().signal;
const BY: By = { tenant: "acme", actor: { tenant: "acme", principal: "ann", role: "admin", keyId: "k" } };
const at = (scope: Scope, id = "x", tenant = "acme") => addressOf(scope, id, tenant);
const conflict = { code: "CONFIG_VERSION_CONFLICT" };

function open(wrap: (state: State) => State = (state) => state) {
  const clock = virtualClock();
  const layout = { indexes: configLayout(), logs: auditLayout(1_000_000) };
  const state = wrap(memoryState({ partitions: 3, layout, clock }));
  const forgotten: ConfigAddress[] = [];
  const parts: ConfigParts = {
    state,
    clock,
    log: silentLog(),
    bus: inProcessBus({ clock, log: silentLog() }),
    forget: (address) => forgotten.push(address),
    storeTimeoutMs: 1_000,
  };
  const replace = (address: ConfigAddress, data: ConfigData, expected = "") =>
    replaceConfig(address, { data, meta: {} }, expected, BY, parts, NEVER);
  const merge = (address: ConfigAddress, data: NonNullable<ConfigData>, expected = "") =>
    mergeConfig(address, { data, meta: {} }, expected, BY, parts, NEVER);
  const remove = (address: ConfigAddress, expected = "") => removeConfig(address, expected, BY, parts, NEVER);
  const load = (address: ConfigAddress) => loadConfig(address, parts, NEVER);
  return { clock, state, parts, forgotten, replace, merge, remove, load };
}
type ConfigData = Parameters<typeof replaceConfig>[1]["data"];

describe("changing configuration", () => {
  it("replaces the whole, also with nothing, and counts", async () => {
    const { replace, load } = open();
    await replace(at("org"), { a: 1, b: 2 });
    await replace(at("org"), { b: 3 });
    expect((await load(at("org"))).record).toMatchObject({ data: { b: 3 }, revision: 2, updatedBy: "ann" });
    await replace(at("org"), null);
    expect((await load(at("org"))).record).toMatchObject({ data: null, revision: 3 });
  });

  it("U1 merges of many at once all stand", async () => {
    const { merge, load } = open();
    const names = Array.from({ length: 12 }, (_, n) => `m${n}`);
    await Promise.all(names.map((name) => merge(at("team"), { [name]: 1 })));
    const { record } = await load(at("team"));
    expect([Object.keys(record.data ?? {}).toSorted(), record.revision]).toEqual([names.toSorted(), 12]);
  });

  it("U1 is refused where another document is there than was expected, in every form of saying so", async () => {
    const { replace, merge, remove, load } = open();
    await expect(replace(at("org"), {}, "*")).rejects.toMatchObject(conflict);
    await expect(replace(at("org"), {}, "1")).rejects.toMatchObject(conflict);
    const first = await replace(at("org"), { n: 1 }, "0");
    await expect(replace(at("org"), {}, "0")).rejects.toMatchObject(conflict);
    const second = await replace(at("org"), { n: 2 }, entityTagOf(first));
    await expect(merge(at("org"), { n: 3 }, entityTagOf(first))).rejects.toMatchObject(conflict);
    await expect(remove(at("org"), '"1"')).rejects.toMatchObject(conflict);
    expect(await load(at("org"))).toEqual(second);
    await merge(at("org"), { m: 1 }, "*");
    await remove(at("org"), "3");
    await expect(load(at("org"))).rejects.toMatchObject({ code: "CONFIG_NOT_FOUND" });
    await expect(remove(at("org"), "3")).rejects.toMatchObject(conflict);
    await remove(at("org"));
    // A document that was made anew has the revision of the first again, and yet another tag.
    await replace(at("org"), { n: 1 });
    await expect(replace(at("org"), {}, entityTagOf(first))).rejects.toMatchObject(conflict);
  });

  it("lets one of two win who expect the same", async () => {
    const { replace } = open();
    const { record } = await replace(at("step"), { n: 0 });
    const tries = [1, 2, 3].map((n) => replace(at("step"), { n }, String(record.revision)));
    const outcomes = await Promise.allSettled(tries);
    expect(outcomes.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected", "rejected"]);
  });

  it("is each tenant's own, whatever the ids; the installation's is nobody's", async () => {
    const { replace, load, parts } = open();
    for (const scope of ["team", "workflow", "step"] as const) {
      await replace(at(scope, "x", "acme"), { whose: "acme" });
      await expect(load(at(scope, "x", "other"))).rejects.toMatchObject({ code: "CONFIG_NOT_FOUND" });
    }
    await replace(at("org"), { whose: "acme" });
    await replace(at("system", "default"), { all: 1 });
    const subject = { tenant: "other", team: "x", workflow: "x", step: "x" };
    expect((await viewConfig(subject, parts, NEVER)).data).toEqual({ all: 1 });
    expect((await viewConfig({ ...subject, tenant: "acme" }, parts, NEVER)).data).toEqual({ all: 1, whose: "acme" });
    expect((await viewConfig({ ...subject, tenant: "acme", team: "" }, parts, NEVER)).version).toBe(
      "system:1|org:1|team:0|workflow:1|step:1",
    );
  });

  it("U2 is in the audit log with the names of what changed, without their values; what was refused is not", async () => {
    const { replace, merge, remove, state } = open();
    await replace(at("team", "red"), { token: "s3cret", same: 1 });
    await merge(at("team", "red"), { token: "other", more: "s3cret" });
    await expect(merge(at("team", "red"), { safety: 1 })).rejects.toBeInstanceOf(Fault);
    await remove(at("team", "red"));
    const entries = await readAudit(state, { tenant: "acme", limit: 10 }, NEVER);
    expect(entries.map(({ action, actor, of, facts }) => [action, actor.principal, of, facts])).toEqual([
      ["config.replace", "ann", { kind: "config", id: "red" }, { scope: "team", revision: 1, changed: "same,token" }],
      ["config.merge", "ann", { kind: "config", id: "red" }, { scope: "team", revision: 2, changed: "more,token" }],
      [
        "config.delete",
        "ann",
        { kind: "config", id: "red" },
        { scope: "team", revision: 2, changed: "more,same,token" },
      ],
    ]);
    expect(JSON.stringify(entries)).not.toContain("s3cret");
  });

  it("U3 says that the store does not answer, never that nothing is configured", async () => {
    const away = { code: "STATE_UNAVAILABLE" };
    const { load, replace, parts } = open((state) =>
      withState(state, { get: () => Promise.reject(new Fault("STATE_UNAVAILABLE", "away")) }),
    );
    await expect(load(at("org"))).rejects.toMatchObject(away);
    await expect(replace(at("org"), {})).rejects.toMatchObject(away);
    const subject = { tenant: "acme", team: "", workflow: "", step: "" };
    await expect(viewConfig(subject, parts, NEVER)).rejects.toMatchObject(away);
  });

  it("ends at so many documents of a scope, and begins again when some are removed", async () => {
    let count = 4_999;
    const { replace, remove } = open((state) =>
      withState(state, { count: (spans) => Promise.resolve(spans.map(() => count)) }),
    );
    await replace(at("step", "last"), {});
    count = 5_000;
    await expect(replace(at("step", "one too many"), {})).rejects.toMatchObject({ code: "CONFIG_LIMIT" });
    await replace(at("step", "last"), { changed: true });
    await remove(at("step", "last"));
  });

  it("counts what there is: a removed document makes room", async () => {
    const { replace, remove, state } = open();
    await replace(at("step", "a"), {});
    await replace(at("step", "b"), {});
    await replace(at("step", "b"), { again: 1 });
    await remove(at("step", "a"));
    const partitions = Array.from({ length: 3 }, (_, partition) => partition);
    const spans = partitions.map((partition) => ({
      index: { partition, index: "config.scope", of: ["acme", "step"] },
    }));
    expect((await state.count(spans, NEVER)).reduce((sum, each) => sum + each, 0)).toBe(1);
  });

  it("makes this process forget, and tells the others, when it is done and not before", async () => {
    const { replace, forgotten, parts } = open();
    await expect(replace(at("org"), { safety: 1 })).rejects.toBeInstanceOf(Fault);
    expect(forgotten).toEqual([]);
    const mute = { ...parts, bus: withSending(parts.bus, { publish: () => Promise.reject(new Error("no bus")) }) };
    await replaceConfig(at("org"), { data: {}, meta: {} }, "", BY, mute, NEVER);
    expect(forgotten).toEqual([at("org")]);
  });
});
