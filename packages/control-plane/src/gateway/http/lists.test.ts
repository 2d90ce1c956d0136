import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { virtualClock } from "../../adapters/system/virtual-clock.ts";
import { openScene, type Scene } from "../testing/gateway-scene.ts";

// The clock stands still unless a test moves it, so that many jobs share a millisecond.
const clock = virtualClock();
let scene: Scene;
beforeEach(async () => {
  scene = await openScene({}, clock);
});
afterEach(async () => {
  await scene.gateway.close();
});

const submit = async (body: object = {}): Promise<string> =>
  (await scene.post("submitter-key", "/api/v1/jobs", { prompt: "x", ...body })).json().job_id;

async function submitMany(count: number, body: object = {}): Promise<readonly string[]> {
  const ids: string[] = [];
  for (let n = 0; n < count; n++) ids.push(await submit(body));
  return ids;
}

/** All ids of a list, page by page, as a client of the original reads it or by the Link header. */
async function walk(
  url: string,
  by: "integer" | "link",
  idOf: (item: Record<string, unknown>) => unknown,
): Promise<readonly unknown[]> {
  const seen: unknown[] = [];
  let next: string | undefined = url;
  for (let page = 0; page < 200 && next !== undefined; page++) {
    const answer = await scene.call("admin-key", "GET", next);
    expect(answer.statusCode).toBe(200);
    const { items, next_cursor } = answer.json();
    seen.push(...items.map(idOf));
    const link = /^<([^>]*)>; rel="next"$/.exec(String(answer.headers.link ?? ""))?.[1];
    expect(link === undefined).toBe(next_cursor === null);
    next = by === "link" ? link : next_cursor === null ? undefined : `${url}&cursor=${next_cursor}`;
  }
  return seen;
}

describe.each(["integer", "link"] as const)("paging by %s", (by) => {
  it("reaches every job exactly once, with many in one millisecond", async () => {
    const ids = new Set([...(await submitMany(17)), ...(await submitMany(1, { topic: "job.no.x" }))]);
    await clock.advance(3);
    for (const id of await submitMany(9)) ids.add(id);
    for (const limit of [1, 4, 26, 27, 500]) {
      const seen = await walk(`/api/v1/jobs?limit=${limit}`, by, (item) => item.id);
      expect(seen.length).toBe(27);
      expect(new Set(seen)).toEqual(ids);
    }
  });

  it("keeps its filters and its lead", async () => {
    await submitMany(5);
    const wanted = await submitMany(6, { topic: "job.no.x", team_id: "t" });
    await submitMany(5, { topic: "job.no.x" });
    for (const filter of [
      "topic=job.no.x&team=t",
      "team=t",
      "state=denied&team=t",
      "state=DENIED&team=t&topic=job.no.x",
      "team=t&updated_after=1",
    ]) {
      const seen = await walk(`/api/v1/jobs?limit=2&${filter}`, by, (item) => item.id);
      expect([filter, seen.toSorted()]).toEqual([filter, wanted.toSorted()]);
    }
  });

  it("reaches every approval and every dead letter exactly once, newest first", async () => {
    const asked = [...(await submitMany(4, { topic: "job.ask" }))];
    await clock.advance(1);
    asked.push(...(await submitMany(3, { topic: "job.ask" })));
    const dead = await submitMany(7, { topic: "job.no.x" });
    const approvals = await walk("/api/v1/approvals?limit=2", by, (item) => item.job_id);
    expect(approvals.toSorted()).toEqual(asked.toSorted());
    expect(asked.slice(4)).toEqual(expect.arrayContaining(approvals.slice(0, 3)));
    expect((await walk("/api/v1/dlq/page?limit=3", by, (item) => item.job_id)).toSorted()).toEqual(dead.toSorted());
  });
});

describe("a dead letter", () => {
  it("is read, retried and removed, by those who may", async () => {
    const [id, other] = await submitMany(2, { topic: "job.no.x" });
    const url = `/api/v1/dlq/${id}`;
    const retried = await scene.post("admin-key", `${url}/retry`, {});
    const { job_id } = retried.json();
    expect([retried.statusCode, (await scene.post("admin-key", `${url}/retry`, {})).json()]).toEqual([200, { job_id }]);
    expect((await scene.call("viewer-key", "GET", url)).json()).toMatchObject({ job_id: id, retried_as: job_id });
    expect((await scene.call("viewer-key", "GET", `/api/v1/jobs/${job_id}`)).json()).toMatchObject({
      trace_id: id,
      labels: { retry: "true", retry_of_job: id, dlq_entry: id },
      state: "DENIED",
    });
    const listed = (await scene.call("viewer-key", "GET", "/api/v1/dlq")).json();
    expect(listed.map((letter: { job_id: string }) => letter.job_id).toSorted()).toEqual([job_id, other].toSorted());
    for (const target of [url, url, "/api/v1/dlq/nowhere"]) {
      const removed = await scene.call("admin-key", "DELETE", target);
      expect([removed.statusCode, removed.body]).toEqual([204, ""]);
    }
    const gone = await scene.call("viewer-key", "GET", url);
    expect([gone.statusCode, gone.json().code, gone.json().error]).toEqual([
      404,
      "DEAD_LETTER_NOT_FOUND",
      "dlq entry not found",
    ]);
    expect((await scene.call("viewer-key", "DELETE", `/api/v1/dlq/${other}`)).statusCode).toBe(403);
  });
});

describe("lists", () => {
  it("take times in any unit, inclusive", async () => {
    const [id] = await submitMany(1);
    const at = clock.now();
    await clock.advance(10_000);
    await submitMany(1);
    const list = async (query: string) =>
      (await scene.call("viewer-key", "GET", `/api/v1/jobs?${query}`))
        .json()
        .items.map((item: { id: string }) => item.id);
    for (const bound of [at, at * 1000, at * 1_000_000, Math.floor(at / 1000)])
      expect(await list(`updated_before=${bound}`)).toEqual([id]);
    expect(await list(`updated_after=${at + 1}`)).not.toContain(id);
    expect(await list(`cursor=${at * 1000 + 999}`)).toEqual([id]);
    expect(await list(`cursor=${at * 1000 - 1}`)).toEqual([]);
    expect(await list(`cursor=${at * 1000}&topic=job.default`)).toEqual([id]);
  });

  it("take what the original took for numbers, and bound them", async () => {
    await submitMany(3);
    const count = async (limit: string) =>
      (await scene.call("viewer-key", "GET", `/api/v1/jobs?limit=${limit}`)).json().items.length;
    for (const limit of ["", "0", "-1", "abc", "1e3", "999999999999999999", "2147483648", "%00"])
      expect(await count(limit)).toBe(3);
    expect(await count("2&limit=1")).toBe(2);
  });

  it.each(["cursor=x", "cursor=eyJ9", `topic=${"x".repeat(600)}`, `cursor=${"1".repeat(30)}`])(
    "refuse %s",
    async (query) => {
      expect((await scene.call("viewer-key", "GET", `/api/v1/jobs?${query}`)).statusCode).toBe(400);
    },
  );

  it("are empty for states, teams and traces that do not exist", async () => {
    await submitMany(1);
    for (const query of [
      "state=nonsense",
      "state=__proto__",
      "team=__proto__",
      "trace_id=%00",
      "topic=*",
      "team=%F0%9F%98%80",
    ]) {
      expect([query, (await scene.call("viewer-key", "GET", `/api/v1/jobs?${query}`)).json()]).toEqual([
        query,
        { items: [], next_cursor: null },
      ]);
    }
    expect((await scene.call("viewer-key", "GET", "/api/v1/traces/nobody")).json()).toEqual([]);
  });

  it("show the jobs of a trace with their times", async () => {
    const id = await submit();
    const { trace_id, updated_at } = (await scene.call("viewer-key", "GET", `/api/v1/jobs/${id}`)).json();
    expect((await scene.call("viewer-key", "GET", `/api/v1/traces/${trace_id}`)).json()).toMatchObject([
      { id, updated_at, trace_id },
    ]);
    expect((await scene.call("viewer-key", "GET", `/api/v1/jobs?trace_id=${trace_id}`)).json().items).toHaveLength(1);
  });

  it("come in an envelope for clients that name their tenant", async () => {
    const [id] = await submitMany(1, { topic: "job.no.x" });
    expect((await scene.call("viewer-key", "GET", "/api/v1/dlq")).json()).toMatchObject([
      { job_id: id, reason: "never", reason_code: "safety_denied", status: "JOB_STATUS_DENIED" },
    ]);
    for (const header of ["x-tenant-id", "x-cordum-tenant"]) {
      expect(
        (await scene.call("viewer-key", "GET", "/api/v1/dlq", { headers: { [header]: "acme" } })).json(),
      ).toMatchObject({ items: [{ job_id: id }] });
    }
  });

  it("give a Link that no client input can break out of", async () => {
    await submitMany(2);
    const answer = await scene.call("viewer-key", "GET", "/api/v1/jobs?limit=1&x=%3E%0d%0aEvil:1%3C&y=>");
    expect(answer.headers.link).toMatch(/^<[!-;=?-~]*>; rel="next"$/);
  });
});
