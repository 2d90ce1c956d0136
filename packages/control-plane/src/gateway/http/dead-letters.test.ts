import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readAudit } from "../../audit/read-audit.ts";
import { openScene, type Scene } from "../testing/gateway-scene.ts";

let scene: Scene;
beforeEach(async () => {
  scene = await openScene();
});
afterEach(() => scene[Symbol.asyncDispose]());

const submit = async (topic: string, key = "submitter-key"): Promise<string> =>
  (await scene.post(key, "/api/v1/jobs", { prompt: "x", topic })).json().job_id;
const get = async (url: string, key = "viewer-key") => (await scene.call(key, "GET", url)).json();
const bulk = (what: "retry" | "delete", body: unknown, key = "operator-key") =>
  scene.post(key, `/api/v1/dlq/${what}`, body);
const idsOf = (items: readonly { readonly job_id: string }[]) => items.map((item) => item.job_id).toSorted();

describe("dead letters over HTTP", () => {
  it("are paged by code, topic, signature and time", async () => {
    const [one, two] = [await submit("job.no.a"), await submit("job.no.b")];
    const page = (query: string) => get(`/api/v1/dlq/page?${query}`).then(({ items }) => idsOf(items));
    expect(await page("reason_code=safety_denied")).toEqual([one, two].toSorted());
    expect(await page("reason_code=nothing")).toEqual([]);
    expect(await page("topic=job.no.a&reason_code=safety_denied")).toEqual([one]);
    const { signature } = await get(`/api/v1/dlq/${two}`);
    expect(await page(`signature=${signature}`)).toEqual([two]);
    const now = Math.floor(Date.parse((await get(`/api/v1/dlq/${two}`)).created_at));
    expect(await page(`created_after=${now + 60_000}`)).toEqual([]);
    expect(await page(`created_before=${now + 60_000}&created_after=${now - 60_000}`)).toEqual([one, two].toSorted());
    expect(idsOf(await get("/api/v1/dlq?topic=job.no.b"))).toEqual([two]);
  });

  it("are grouped, and a group is retried as one after a dry run", async () => {
    const wanted = [await submit("job.no.a"), await submit("job.no.a"), await submit("job.no.a")];
    await submit("job.no.b");
    const { groups, next_cursor } = await get("/api/v1/dlq/groups");
    expect(next_cursor).toBeNull();
    const group = groups.find((one: { topic: string }) => one.topic === "job.no.a");
    expect(group).toMatchObject({ pattern: "never", reason_code: "safety_denied", count: 3 });
    const filter = { signature: group.signature };
    const planned = (await bulk("retry", { filter, dry_run: true })).json();
    expect(planned).toMatchObject({
      dry_run: true,
      scope: { tenant: "acme", signature: group.signature, matches: 3 },
      counts: { would_retry: 3 },
      next_cursor: null,
    });
    expect(idsOf(planned.items)).toEqual(wanted.toSorted());
    const done = (await bulk("retry", { filter, reason: "rule was fixed" })).json();
    expect(done.counts).toEqual({ retried: 3 });
    const said = (items: readonly { job_id: string; new_job_id: string }[]) =>
      items.map(({ job_id, new_job_id }) => `${job_id} ${new_job_id}`).toSorted();
    expect(said(done.items)).toEqual(said(planned.items));
    for (const { job_id, new_job_id } of done.items) {
      expect(await get(`/api/v1/dlq/${job_id}`)).toMatchObject({ retried_as: new_job_id });
      expect(await get(`/api/v1/jobs/${new_job_id}`)).toMatchObject({ labels: { retry_of_job: job_id } });
    }
    const entries = await readAudit(scene.parts.jobParts.state, { tenant: "acme", limit: 9 }, NEVER);
    expect(entries.map(({ action, reason, actor }) => `${actor.principal} ${action}: ${reason}`)).toEqual(
      Array.from({ length: 3 }, () => "operator dlq.retry: rule was fixed"),
    );
  });

  it("are gone through by cursor, and removed", async () => {
    for (let n = 0; n < 5; n++) await submit("job.no.a");
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const answer: { items: { job_id: string }[]; next_cursor: string | null } = (
        await bulk("delete", { all: true, limit: 2, cursor })
      ).json();
      seen.push(...idsOf(answer.items));
      cursor = answer.next_cursor;
    } while (cursor !== null);
    expect([seen.length, new Set(seen).size]).toEqual([5, 5]);
    expect(await get("/api/v1/dlq")).toEqual([]);
  });

  it("are never all meant by saying nothing", async () => {
    const id = await submit("job.no.a");
    for (const body of [{}, { filter: {} }, { filter: null, all: false }, { filter: { topic: "" } }]) {
      const answer = await bulk("retry", body);
      expect([answer.statusCode, answer.json().errors]).toEqual([
        400,
        [{ field: "filter", reason: "name a reason_code, topic, signature or time, or say all: true" }],
      ]);
    }
    for (const body of [{ all: true, limit: 501 }, { all: true, limit: 0 }, { all: true, cursor: "?" }, "x", []])
      expect((await bulk("delete", body)).statusCode).toBe(400);
    expect((await bulk("delete", { all: true }, "viewer-key")).statusCode).toBe(403);
    expect(idsOf(await get("/api/v1/dlq"))).toEqual([id]);
  });

  it("of another tenant are in no group and no scope", async () => {
    const id = await submit("job.no.a");
    const { signature } = await get(`/api/v1/dlq/${id}`);
    expect(await get("/api/v1/dlq/groups", "other-admin-key")).toEqual({ groups: [], next_cursor: null });
    const answer = await bulk("delete", { filter: { signature } }, "other-admin-key");
    expect(answer.json()).toMatchObject({ scope: { tenant: "other", matches: 0 }, items: [] });
    expect(idsOf(await get("/api/v1/dlq"))).toEqual([id]);
  });
});

describe("remediation over HTTP", () => {
  const remediate = (id: string, body?: unknown, key = "operator-key") =>
    body === undefined
      ? scene.call(key, "POST", `/api/v1/jobs/${id}/remediate`)
      : scene.post(key, `/api/v1/jobs/${id}/remediate`, body);

  it("answers with the new job, with or without a body, and links both", async () => {
    const id = await submit("job.better");
    const first = await remediate(id);
    expect(first.statusCode).toBe(200);
    const { job_id, trace_id } = first.json();
    expect(first.headers["x-trace-id"]).toBe(trace_id);
    for (const body of [{}, { remediation_id: null }, { remediation_id: " this-way " }])
      expect((await remediate(id, body)).json()).toEqual({ job_id, trace_id });
    expect(await get(`/api/v1/jobs/${job_id}`)).toMatchObject({
      ...{ topic: "job.echo", trace_id },
      labels: { remediation_of: id, remediation_id: "this-way" },
    });
    expect(await get(`/api/v1/dlq/${id}`)).toMatchObject({ remediated_as: job_id });
  });

  it("refuses as the original does", async () => {
    const [better, no] = [await submit("job.better"), await submit("job.no.x")];
    const said = async (id: string, body?: unknown, key?: string) => {
      const answer = await remediate(id, body, key);
      return [answer.statusCode, answer.json().error];
    };
    expect(await said(better, { remediation_id: "other" })).toEqual([404, "remediation not found"]);
    expect(await said(no)).toEqual([409, "no remediations available"]);
    expect(await said("nowhere")).toEqual([404, "job not found"]);
    expect(await said(better, {}, "other-admin-key")).toEqual([404, "job not found"]);
    expect(await said(better, { remediation_id: 7 })).toEqual([400, "invalid body"]);
    expect((await remediate(better, {}, "submitter-key")).statusCode).toBe(403);
  });
});

const NEVER = new AbortController().signal;
