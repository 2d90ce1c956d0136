// What a list costs: members looked at, records read and calls made for one request, whatever it filters by.
// The times for 10⁵ jobs on real engines are what bench/lists.ts measures.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { memoryPayloads } from "../../adapters/memory/memory-payloads.ts";
import { memoryState } from "../../adapters/memory/memory-state.ts";
import { seededRandom } from "../../adapters/system/seeded-random.ts";
import { virtualClock } from "../../adapters/system/virtual-clock.ts";
import type { Job } from "../../jobs/job.ts";
import { EXAMINED_MAX } from "../../jobs/list-jobs.ts";
import type { State } from "../../ports/state.ts";
import { DEFAULT_RETENTION, stateLayout } from "../../services/core.ts";
import { drawJobs, everyFilter, keepJobs } from "../../testing/many-jobs.ts";
import { withState } from "../../testing/scene-ports.ts";
import { openScene, type Scene } from "../testing/gateway-scene.ts";

const COUNT = 6_000;
const PARTITIONS = 3;
const LIMIT = 50;
const cost = { examined: 0, records: 0, calls: 0 };
const clock = virtualClock();
const never = new AbortController().signal;
let scene: Scene;
let kept: readonly Job[];

function counting(real: State): State {
  return withState(real, {
    async list(...call) {
      const page = await real.list(...call);
      cost.calls++;
      cost.examined += page.examined;
      return page;
    },
    async get(...call) {
      cost.calls++;
      cost.records += call[0].length;
      return real.get(...call);
    },
    async count(...call) {
      cost.calls++;
      return real.count(...call);
    },
  });
}

beforeAll(async () => {
  const state = memoryState({ partitions: PARTITIONS, layout: stateLayout(DEFAULT_RETENTION), clock });
  const payloads = memoryPayloads({ clock, bytesMax: 1_048_576 });
  scene = await openScene({}, clock, undefined, undefined, { state: counting(state), payloads });
  kept = drawJobs({ count: COUNT, until: clock.now(), random: seededRandom(7).next });
  await keepJobs(kept, scene.core.parts.jobs, never);
});
afterAll(() => scene.gateway.close());

const isIn = (job: Job, query: { readonly [parameter: string]: string }): boolean =>
  job.tenant === "acme" &&
  (query.state === undefined || job.phase.state === query.state) &&
  (query.topic === undefined || job.topic === query.topic) &&
  (query.team === undefined || job.team === query.team) &&
  (query.trace_id === undefined || job.traceId === query.trace_id) &&
  (query.updated_after === undefined || job.updatedAt >= Number(query.updated_after)) &&
  (query.updated_before === undefined || job.updatedAt <= Number(query.updated_before));

describe("a list", () => {
  it.each(everyFilter(clock.now()))("of $name costs a bounded amount and finds all", async ({ query }) => {
    const found: string[] = [];
    let url: string | undefined = `/api/v1/jobs?${new URLSearchParams({ ...query, limit: String(LIMIT) })}`;
    for (let pages = 0; url !== undefined; pages++) {
      expect(pages).toBeLessThan(300);
      Object.assign(cost, { examined: 0, records: 0, calls: 0 });
      const answer: Awaited<ReturnType<Scene["call"]>> = await scene.call("viewer-key", "GET", url);
      expect(cost.examined).toBeLessThanOrEqual(EXAMINED_MAX + PARTITIONS);
      expect(cost.records).toBeLessThanOrEqual(4 * LIMIT + 4);
      expect(cost.calls).toBeLessThanOrEqual(4 * (2 * PARTITIONS + 2) + 1);
      found.push(...answer.json().items.map((item: { id: string }) => item.id));
      url = /^<([^>]*)>/.exec(String(answer.headers.link ?? ""))?.[1];
    }
    const wanted = kept.filter((job) => isIn(job, query)).map((job) => job.id);
    expect(found.toSorted()).toEqual(wanted.toSorted());
  });
});

describe("what explains jobs", () => {
  const costOf = async (url: string) => {
    Object.assign(cost, { examined: 0, records: 0, calls: 0 });
    const answer = await scene.call("viewer-key", "GET", url);
    expect([url, answer.statusCode]).toEqual([url, 200]);
    return { ...cost, answer };
  };
  const some = (state: string) => kept.find((job) => job.tenant === "acme" && job.phase.state === state)?.id ?? "none";

  it("reads one record and counts, whatever else there is", async () => {
    for (const state of ["SCHEDULED", "APPROVAL_REQUIRED", "SUCCEEDED", "DENIED"])
      for (const what of ["why", "events", "decisions"]) {
        const { examined, records, calls } = await costOf(`/api/v1/jobs/${some(state)}/${what}`);
        expect([what, state, examined, records]).toEqual([what, state, 0, 1]);
        expect(calls).toBeLessThanOrEqual(2);
      }
    expect(await costOf("/api/v1/jobs/counts")).toMatchObject({ examined: 0, records: 0, calls: 1 });
  });

  it("reads no more of a trace than a page of it", async () => {
    const { traceId = "" } = kept.find((job) => job.tenant === "acme" && job.traceId !== job.id) ?? {};
    const { examined, records, calls, answer } = await costOf(`/api/v1/traces/${traceId}?limit=7`);
    expect(answer.json()).toHaveLength(7);
    expect(examined).toBeLessThanOrEqual(7 * PARTITIONS);
    expect(records).toBeLessThanOrEqual(8);
    expect(calls).toBeLessThanOrEqual(2 * PARTITIONS + 2);
  });
});
