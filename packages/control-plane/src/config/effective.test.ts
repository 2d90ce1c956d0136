import { describe, expect, it } from "vitest";
import type { JsonObject } from "../ports/json.ts";
import { canonicalJson } from "./canonical-json.ts";
import { addressOf, type ConfigDocument, SCOPES } from "./document.ts";
import { effectiveOf, type Layers, viewOf } from "./effective.ts";

type Datas = { readonly [scope in (typeof SCOPES)[number]]?: JsonObject | null };
const layers = (datas: Datas, revision = 1): Layers["documents"] =>
  SCOPES.map((scope): ConfigDocument | undefined => {
    const data = datas[scope];
    if (data === undefined) return undefined;
    const address = addressOf(scope, "x", "acme");
    return { ...address, shape: 1, data, meta: {}, revision, updatedAt: 0, updatedBy: "ann" };
  });
const effective = (datas: Datas, topics?: JsonObject) => {
  const [shared] = layers({ system: topics ?? null });
  return effectiveOf({ documents: layers(datas), topics: shared }, "acme");
};

describe("the effective configuration", () => {
  it("V1 takes each top-level member as a whole from the narrowest layer that has it; null is a value", () => {
    const datas: Datas = {
      system: { a: { x: 1, y: 1 }, b: 1, c: [1], d: 1 },
      org: { a: { z: 2 }, d: null },
      team: { b: 3 },
      workflow: { c: [] },
      step: { b: 5, e: "s" },
    };
    const merged = { a: { z: 2 }, b: 5, c: [], d: null, e: "s" };
    expect(viewOf(layers(datas)).data).toEqual(merged);
    expect(effective(datas).forWorkers).toEqual(merged);
    expect(viewOf(layers({ team: null, step: { a: 1 } })).data).toEqual({ a: 1 });
  });

  it("V2 has a version of its layers' revisions and the hash that the original gives", () => {
    expect(viewOf(layers({}))).toEqual({
      version: "system:0|org:0|team:0|workflow:0|step:0",
      hash: "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
      data: {},
    });
    expect(viewOf(layers({ org: {}, step: {} }, 7)).version).toBe("system:0|org:7|team:0|workflow:0|step:7");
    const [one, other] = [viewOf(layers({ org: { a: 1, b: 2 } })), viewOf(layers({ org: { b: 2 }, team: { a: 1 } }))];
    expect([one.hash, one.version === other.version]).toEqual([other.hash, false]);
  });

  it("V3 reaches workers without what is the control plane's own, and not at all when that is empty", () => {
    const { forWorkers, text } = effective({ system: { pools: {}, timeouts: {}, topics: {}, b: 1 }, org: { a: "<" } });
    expect(forWorkers).toEqual({ a: "<", b: 1 });
    expect(text).toBe('{"a":"\\u003c","b":1}');
    for (const datas of [{}, { system: { pools: { p: {} } } }, { org: {} }] satisfies readonly Datas[])
      expect([effective(datas).forWorkers, effective(datas).text]).toEqual([undefined, ""]);
    expect(viewOf(layers({ system: { pools: 1 } })).data).toEqual({ pools: 1 });
  });

  it.each<[JsonObject, number | undefined]>([
    [{}, undefined],
    [{ limits: { max_concurrent_jobs: 5 } }, 5],
    [{ limits: { max_concurrent_jobs: "5" }, rate_limits: { queue_size: 10 } }, 15],
    [{ limits: { max_concurrent_jobs: 0 }, rate_limits: { concurrent_jobs: 3 } }, 3],
    [{ rate_limits: { queue_size: 10 } }, undefined],
    [{ limits: null, rate_limits: { concurrent_jobs: null } }, undefined],
  ])("has limits: %j", (data, openJobsMax) => {
    expect(effective({ org: data }).limits).toEqual({ openJobsMax });
  });

  const jobs = (most: number | string) => ({ limits: { max_concurrent_jobs: most } });
  it.each<[string, Datas, JsonObject]>([
    ["a higher one", { system: jobs(5), org: jobs(1_000_000) }, jobs(5)],
    ["a higher one as text", { system: jobs(5), team: jobs("6") }, jobs(5)],
    ["none", { system: jobs(5), org: jobs(0) }, jobs(5)],
    [
      "other members in its place",
      { system: jobs(5), step: { limits: { a: 1 } } },
      { limits: { a: 1, ...jobs(5).limits } },
    ],
    ["null in its place", { system: jobs(5), org: { limits: null } }, jobs(5)],
    ["something else in its place", { system: jobs(5), org: { limits: [1] } }, jobs(5)],
    [
      "a higher one by the older name",
      { system: jobs(5), org: { limits: {}, rate_limits: { concurrent_jobs: 9 } } },
      { ...jobs(5), rate_limits: { concurrent_jobs: 9 } },
    ],
    [
      "a higher one than that by the older name",
      { system: { rate_limits: { concurrent_jobs: 5 } }, org: jobs(9) },
      { ...jobs(5), rate_limits: { concurrent_jobs: 5 } },
    ],
    [
      "a line beside it",
      { system: jobs(5), org: { rate_limits: { queue_size: 100 } } },
      { ...jobs(5), rate_limits: { queue_size: 0 } },
    ],
    [
      "a longer line",
      { system: { ...jobs(5), rate_limits: { queue_size: 2 } }, org: { ...jobs(4), rate_limits: { queue_size: 100 } } },
      { ...jobs(4), rate_limits: { queue_size: 3 } },
    ],
    [
      "more runs",
      {
        system: { limits: { max_concurrent_runs: 2 } },
        org: { limits: { max_concurrent_runs: 3, max_concurrent_jobs: 7 } },
      },
      { limits: { max_concurrent_runs: 2, max_concurrent_jobs: 7 } },
    ],
  ])("has the installation's limits as ceilings, whatever a tenant writes: %s", (_, datas, data) => {
    expect(viewOf(layers(datas)).data).toEqual(data);
    expect(effective(datas).forWorkers).toEqual(data);
    expect(effective(datas).limits.openJobsMax ?? 0).toBeLessThanOrEqual(7);
  });

  it("lets a tenant lower the installation's limits, and set its own where there are none", () => {
    const lower: Datas = { system: { ...jobs(5), rate_limits: { queue_size: 2 } }, org: jobs("3"), team: jobs(2) };
    expect(effective(lower).forWorkers).toEqual({ ...jobs(2), rate_limits: { queue_size: 2 } });
    expect(effective(lower).limits).toEqual({ openJobsMax: 4 });
    const own: Datas = {
      system: { limits: { max_concurrent_runs: 1 } },
      org: { ...jobs(9), rate_limits: { queue_size: 1 } },
    };
    expect(effective(own).limits).toEqual({ openJobsMax: 10 });
    expect(effective({ system: jobs(0), org: jobs(9) }).limits).toEqual({ openJobsMax: 9 });
  });

  it("V4 names schemas of topics: the installation's and the tenant's, side by side", () => {
    const names = (id: string) => ({ topics: { "job.x": { input_schema_id: id } } });
    const { schemasOf } = effective({ system: names("S"), org: names("O"), step: names(" T ") });
    expect([schemasOf("job.x"), schemasOf("job.y"), schemasOf("toString")]).toEqual([
      [
        { id: "S", by: "system" },
        { id: "T", by: "tenant" },
      ],
      [],
      [],
    ]);
    const topics = { "job.x": { input_schema_id: "all" }, "tenant:acme:job.x": { input_schema_id: "ours" } };
    expect(effective({ system: names("S") }, topics).schemasOf("job.x")).toEqual([{ id: "ours", by: "system" }]);
    expect(effective({}, { "job.x": { pool: "p" } }).schemasOf("job.x")).toEqual([]);
    expect(effective({ org: names("O"), team: { topics: {} } }).schemasOf("job.x")).toEqual([
      { id: "O", by: "tenant" },
    ]);
  });
});

describe("canonical JSON", () => {
  it.each([
    ['{ "b": 1, "a": [true, null, ""] }', '{"a":[true,null,""],"b":1}'],
    ['{ "\uffff": 1, "\u{10000}": 2 }', '{"\uffff":1,"\u{10000}":2}'],
    ['"<a>&\u2028\u2029\\u0007é"', '"\\u003ca\\u003e\\u0026\\u2028\\u2029\\u0007é"'],
    ['{ "<": 1 }', '{"\\u003c":1}'],
    ["[1.0, 1e21, 1e20, 1e-7, 0.1, -0.0]", "[1,1e+21,100000000000000000000,1e-7,0.1,-0]"],
  ])("%s", (written, canonical) => {
    expect(canonicalJson(JSON.parse(written))).toBe(canonical);
  });
});
