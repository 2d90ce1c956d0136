import { encodeJobRequest, JobRequest } from "@cordum/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { virtualClock } from "../../adapters/system/virtual-clock.ts";
import { createJob } from "../../jobs/submit.ts";
import { openScene, type Scene } from "../testing/gateway-scene.ts";

const JOBS = "/api/v1/jobs";
const never = new AbortController().signal;
const clock = virtualClock();
let scene: Scene;
beforeEach(async () => {
  scene = await openScene({}, clock);
});
afterEach(async () => {
  await scene.gateway.close();
});

const submit = async (over: object = {}): Promise<string> =>
  (await scene.post("submitter-key", JOBS, { prompt: "x", ...over })).json().job_id;
const read = async (url: string, key = "viewer-key") => (await scene.call(key, "GET", url)).json();

describe("why a job waits", () => {
  it("names the reason, since when, the place in the queue and what would free it", async () => {
    const since = clock.now();
    await submit();
    await clock.advance(5);
    await submit({ priority: "critical" });
    await submit({ priority: "batch" });
    const id = await submit();
    const why = await read(`${JOBS}/${id}/why`);
    expect(why).toMatchObject({ id, state: "SCHEDULED", reason: "no_workers", who_can_act: ["operator"] });
    expect(why.queues).toEqual([
      { pool: expect.any(String), priority: "interactive", ahead: 2, waiting: 2, workers: 0, free_slots: 0 },
    ]);
    expect(why.since).toBeGreaterThan(since * 1_000);
    expect(why.freed_by).toContain("job.default");
    expect(why.ends_at).toBeGreaterThan(why.since);
  });

  it.each([
    [{ topic: "job.ask" }, "approval_required", ["approver", "operator"]],
    [{ topic: "job.slow" }, "throttled", ["time", "operator"]],
    [{ delay_ms: 60_000 }, "not_before", ["time", "submitter"]],
    [{ topic: "job.no.x" }, "ended", []],
  ])("of %j is %s", async (over, reason, who_can_act) => {
    const why = await read(`${JOBS}/${await submit(over)}/why`);
    expect(why).toMatchObject({ reason, who_can_act, queues: [] });
    expect(why.explanation).not.toBe("");
  });

  it("says which labels narrow the choice", async () => {
    const id = await submit({ labels: { "placement.zone": "eu", business: "x" } });
    const { explanation } = await read(`${JOBS}/${id}/why`);
    expect(explanation).toContain("placement.zone=eu");
    expect(explanation).not.toContain("business");
  });
});

describe("the event log of a job", () => {
  it("holds states, decisions and answers of people, oldest first", async () => {
    const id = await submit({ topic: "job.ask" });
    await clock.advance(5);
    await scene.post("approver-key", `/api/v1/approvals/${id}/approve`, { reason: "fine" });
    const log = await read(`${JOBS}/${id}/events`);
    expect(log).toMatchObject({ id, complete: true });
    expect(
      log.items.map((item: { kind: string; state?: string; decision?: string }) => item.state ?? item.decision),
    ).toEqual(expect.arrayContaining(["PENDING", "REQUIRE_APPROVAL", "APPROVAL_REQUIRED", "approve", "SCHEDULED"]));
    const times = log.items.map((item: { at: number }) => item.at);
    expect(times).toEqual(times.toSorted((a: number, b: number) => a - b));
    expect(log.items[0]).toMatchObject({ kind: "state", state: "PENDING", why: "accepted" });
    expect(log.items.find((item: { kind: string }) => item.kind === "approval")).toMatchObject({
      by: "approver",
      reason: "fine",
    });
  });
});

describe("counts", () => {
  it("are the tenant's own, by state", async () => {
    await submit();
    await submit({ topic: "job.no.x" });
    await scene.post("other-admin-key", JOBS, { prompt: "x" });
    const counts = await read(`${JOBS}/counts`);
    expect(counts).toMatchObject({
      tenant: "acme",
      open: 1,
      ended: 1,
      states: { SCHEDULED: 1, DENIED: 1, RUNNING: 0 },
    });
    expect((await scene.call("viewer-key", "GET", `${JOBS}/counts?tenant=other`)).statusCode).toBe(403);
  });
});

describe("what belongs to another tenant", () => {
  it("does not exist", async () => {
    const id = await submit();
    for (const path of ["events", "why"])
      expect((await scene.call("other-admin-key", "GET", `${JOBS}/${id}/${path}`)).statusCode).toBe(404);
    expect(await read(`/api/v1/traces/${id}`, "other-admin-key")).toEqual([]);
  });
});

/** A job of a trace that another began, as packets bring them. */
async function joinTrace(jobId: string, traceId: string): Promise<void> {
  const request: JobRequest = { ...JobRequest.make(), jobId, topic: "job.echo", tenantId: "acme" };
  const draft = {
    jobId,
    tenant: "acme",
    topic: "job.echo",
    traceId,
    team: "",
    principal: "",
    priority: "interactive",
  } as const;
  const rest = { request, encoded: encodeJobRequest(request), bodyHash: "", deadlineMs: 0 };
  await createJob({ ...draft, ...rest }, scene.core.parts, never);
}

describe("a trace", () => {
  it("holds all its jobs once, in order, whatever the size of the page", async () => {
    const first = await submit();
    const ids = [first];
    for (let n = 0; n < 12; n++) {
      if (n % 3 === 0) await clock.advance(2);
      await joinTrace(`child-${n}`, first);
      ids.push(`child-${n}`);
    }
    for (const limit of [1, 2, 5, 13, 500]) {
      const found: { id: string; at: number }[] = [];
      let url: string | undefined = `/api/v1/traces/${first}?limit=${limit}`;
      for (let pages = 0; url !== undefined && pages < 30; pages++) {
        const answer: Awaited<ReturnType<Scene["call"]>> = await scene.call("viewer-key", "GET", url);
        expect(answer.json().length).toBeLessThanOrEqual(limit);
        for (const job of answer.json()) found.push({ id: job.id, at: job.updated_at });
        url = /^<([^>]*)>/.exec(String(answer.headers.link ?? ""))?.[1];
      }
      expect(found.map(({ id }) => id).toSorted()).toEqual(ids.toSorted());
      expect(found[0]?.id).toBe(first);
      expect(found.map(({ at }) => at)).toEqual(found.map(({ at }) => at).toSorted((a, b) => a - b));
    }
  });
});
