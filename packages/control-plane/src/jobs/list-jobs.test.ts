// Lists of jobs against a naive filter over all records.

import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ListQuery } from "../ports/state.ts";
import { type JobScene, NEVER, openJobScene } from "../testing/job-scene.ts";
import { withState } from "../testing/scene-ports.ts";
import { addWorker } from "../testing/scene-worker.ts";
import { cancelJob } from "./cancel.ts";
import { type Job, type JobState, OPEN_STATES, TERMINAL_STATES } from "./job.ts";
import { EXAMINED_MAX, type JobCursor, type JobQuery, listJobs } from "./list-jobs.ts";

const TOPICS = ["job.echo", "job.ask", "job.no.way", "job.slow"];
const TEAMS = ["", "red", "blue"];
const JOBS = 120;

let scene: JobScene;
let jobs: readonly Job[];
let start: number;
let asked: ListQuery[];

beforeEach(async () => {
  asked = [];
  scene = await openJobScene({
    state: (real) =>
      withState(real, {
        list(query, signal) {
          asked.push(query);
          return real.list(query, signal);
        },
      }),
  });
  start = scene.clock.now();
  await addWorker(scene, { capacity: 1_000 });
  const ids: string[] = [];
  for (let n = 0; n < JOBS; n++) {
    const { jobId } = await scene.submit({
      topic: TOPICS[n % 4] ?? "",
      team: TEAMS[n % 3] ?? "",
      tenant: n % 10 === 9 ? "other" : "acme",
      priority: n % 2 === 0 ? "batch" : "interactive",
    });
    ids.push(jobId);
    if (n % 5 === 0) await scene.clock.advance(7); // some in the same millisecond
  }
  for (const id of ids.filter((_, n) => n % 11 === 0))
    await cancelJob(id, { tenant: undefined, by: "ada", reason: "" }, scene.parts, NEVER);
  jobs = await Promise.all(ids.map((id) => scene.load(id)));
});
afterEach(() => scene.settle());

type Filter = Omit<JobQuery, "limit" | "after" | "examineMax">;

function expected(filter: Filter): readonly string[] {
  return jobs
    .filter(
      (job) =>
        job.tenant === filter.tenant &&
        (filter.state === undefined || job.phase.state === filter.state) &&
        (filter.topic === undefined || job.topic === filter.topic) &&
        (filter.team === undefined || job.team === filter.team) &&
        (filter.traceId === undefined || job.traceId === filter.traceId) &&
        (filter.updatedAfter === undefined || job.updatedAt >= filter.updatedAfter) &&
        (filter.updatedBefore === undefined || job.updatedAt <= filter.updatedBefore),
    )
    .map((job) => job.id)
    .sort();
}

async function walk(filter: Filter, limit: number): Promise<{ found: readonly Job[]; pages: number }> {
  const found: Job[] = [];
  let after: JobCursor | undefined;
  let pages = 0;
  do {
    const page = await listJobs({ ...filter, limit, ...(after === undefined ? {} : { after }) }, scene.parts, NEVER);
    expect(page.jobs.length).toBeLessThanOrEqual(limit);
    found.push(...page.jobs);
    after = page.next;
    pages++;
  } while (after !== undefined && pages < 1_000);
  return { found, pages };
}

const isDescending = (found: readonly Job[], key: (job: Job) => number): boolean =>
  found.every((job, at) => at === 0 || key(found[at - 1] ?? job) >= key(job));

const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined });
const STATES: readonly JobState[] = [...OPEN_STATES, ...TERMINAL_STATES];

it("finds each job once, in order, with any filters and any size of page", async () => {
  const at = fc.integer({ min: -5, max: 300 }).map((ms) => start + ms);
  const filters = fc.record({
    tenant: fc.constantFrom("acme", "other", "nobody"),
    state: maybe(fc.constantFrom(...STATES)),
    topic: maybe(fc.constantFrom(...TOPICS, "job.unknown")),
    team: maybe(fc.constantFrom("red", "blue", "green")),
    updatedAfter: maybe(at),
    updatedBefore: maybe(at),
  });
  await fc.assert(
    fc.asyncProperty(filters, fc.integer({ min: 1, max: 130 }), async (drawn, limit) => {
      const filter = Object.fromEntries(
        Object.entries(drawn).filter(([, value]) => value !== undefined),
      ) as unknown as Filter;
      const { found } = await walk(filter, limit);
      expect(found.map((job) => job.id).sort()).toEqual(expected(filter));
      const isByChange = isDescending(found, (job) => job.updatedAt);
      expect(isByChange || isDescending(found, (job) => job.listedAt)).toBe(true);
    }),
    { numRuns: 150 },
  );
}, 60_000);

describe("a list", () => {
  it("by trace holds the job that began it, once, whatever the size of the page", async () => {
    const [first] = jobs;
    if (first === undefined) throw new Error("no jobs");
    for (const limit of [1, 2, 50]) {
      const { found } = await walk({ tenant: "acme", traceId: first.traceId }, limit);
      expect(found.map((job) => job.id)).toEqual([first.id]);
    }
    expect((await walk({ tenant: "other", traceId: first.traceId }, 10)).found).toEqual([]);
  });

  it("refuses the cursor of a list with other filters", async () => {
    const page = await listJobs({ tenant: "acme", topic: "job.echo", limit: 2 }, scene.parts, NEVER);
    if (page.next === undefined) throw new Error("one page only");
    for (const other of [{ team: "red" }, {}, { state: "SCHEDULED" as const }]) {
      const query = { tenant: "acme", limit: 2, after: page.next, ...other };
      await expect(listJobs(query, scene.parts, NEVER)).rejects.toMatchObject({ code: "CURSOR_INVALID" });
    }
  });

  it("looks at a bounded number of members, however rare what it looks for is", async () => {
    asked.length = 0;
    const page = await listJobs(
      { tenant: "acme", state: "CANCELLED", team: "blue", topic: "job.ask", limit: 3 },
      scene.parts,
      NEVER,
    );
    expect(asked).toHaveLength(3); // one call for each partition
    expect(page.examined).toBeLessThanOrEqual(EXAMINED_MAX);
    expect(page.jobs.length).toBeLessThanOrEqual(3);
    const narrow = await listJobs(
      { tenant: "acme", topic: "job.nothing", limit: 500, examineMax: 9 },
      scene.parts,
      NEVER,
    );
    expect(narrow).toEqual({ jobs: [], examined: 0 });
    const wide = { tenant: "acme", state: "SUCCEEDED", team: "blue", limit: 500, examineMax: 9 } as const;
    expect((await listJobs(wide, scene.parts, NEVER)).examined).toBeLessThanOrEqual(9);
  });

  it("is stable while new jobs come in", async () => {
    const before = expected({ tenant: "acme" });
    const found: string[] = [];
    let after: JobCursor | undefined;
    do {
      const page = await listJobs(
        { tenant: "acme", limit: 7, ...(after === undefined ? {} : { after }) },
        scene.parts,
        NEVER,
      );
      found.push(...page.jobs.map((job) => job.id));
      after = page.next;
      await scene.submit();
    } while (after !== undefined);
    expect([...found].sort()).toEqual(before);
  });
});
