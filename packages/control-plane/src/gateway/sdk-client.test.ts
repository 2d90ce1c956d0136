import { Client } from "@cordum/sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openScene, type Scene } from "./testing/gateway-scene.ts";

// Our own client, unmodified, against the running gateway.
let scene: Scene;
let url: string;
beforeAll(async () => {
  scene = await openScene();
  url = await scene.gateway.listen({ host: "127.0.0.1", port: 0 });
});
afterAll(() => scene[Symbol.asyncDispose]());

describe("the client of the SDK", () => {
  it("submits, reads, lists, approves and cancels", async () => {
    const client = new Client({ url, apiKey: "submitter-key" });
    const boss = new Client({ url, apiKey: "admin-key" });
    const { job_id } = await client.submit({ prompt: "hi", topic: "job.ask", labels: { a: "b" } });
    expect(await client.get(job_id)).toMatchObject({ state: "APPROVAL_REQUIRED", labels: { a: "b" } });
    expect(await client.decisions(job_id)).toMatchObject([{ decision: "REQUIRE_APPROVAL" }]);
    await boss.approvals.approve(job_id, { reason: "ok" });
    expect((await boss.cancel(job_id)).state).toBe("CANCELLED");
    await expect(client.get("nobody")).rejects.toMatchObject({ status: 404, code: "JOB_NOT_FOUND" });
    await expect(client.cancel(job_id)).rejects.toMatchObject({ status: 403, code: "FORBIDDEN" });
    await expect(client.submit({ prompt: "" })).rejects.toMatchObject({
      fields: [{ field: "prompt", reason: "prompt is required" }],
    });
  });

  it("walks long lists of every kind", async () => {
    const client = new Client({ url, apiKey: "admin-key" });
    const ids = await Promise.all(
      Array.from({ length: 23 }, async () => (await client.submit({ prompt: "x", topic: "job.no.x" })).job_id),
    );
    const idsOf = async <T>(list: AsyncIterable<T>, idOf: (item: T) => string): Promise<readonly string[]> => {
      const seen: string[] = [];
      for await (const item of list) seen.push(idOf(item));
      return seen.toSorted();
    };
    const pageSize = 5;
    expect(await idsOf(client.list({ state: "DENIED" }, { pageSize }), (job) => job.id)).toEqual(ids.toSorted());
    expect(await idsOf(client.deadLetters.list({ pageSize }), (letter) => letter.job_id)).toEqual(
      expect.arrayContaining(ids),
    );
    const asked = await Promise.all(
      Array.from({ length: 11 }, async () => (await client.submit({ prompt: "x", topic: "job.ask" })).job_id),
    );
    expect(await idsOf(client.approvals.list({ pageSize }), (approval) => approval.job.id)).toEqual(asked.toSorted());
  });

  it("reads the status, the workers and the health", async () => {
    const client = new Client({ url, apiKey: "admin-key" });
    expect(await client.status()).toMatchObject({ build: { version: "1.2.3" }, redis: { ok: true } });
    expect(await client.workers()).toEqual([]);
    expect(await client.health()).toBe(true);
  });

  it("explains jobs: events, reasons, counts, traces, remedies", async () => {
    const client = new Client({ url, apiKey: "admin-key" });
    const asked = await client.submit({ prompt: "x", topic: "job.ask" });
    expect(await client.jobs.events(asked.job_id)).toMatchObject({
      complete: true,
      items: [{ kind: "state" }, {}, {}],
    });
    expect(await client.jobs.why(asked.job_id)).toMatchObject({ reason: "approval_required", queues: [] });
    expect((await client.jobs.counts()).states.APPROVAL_REQUIRED).toBeGreaterThan(0);
    const better = await client.submit({ prompt: "x", topic: "job.better" });
    const remedied = await client.jobs.remediate(better.job_id);
    const ids: string[] = [];
    for await (const job of client.jobs.trace(better.trace_id, { pageSize: 1 })) ids.push(job.id);
    expect(ids).toEqual([better.job_id, remedied.job_id]);
    await expect(client.jobs.remediate(asked.job_id)).rejects.toMatchObject({ code: "JOB_NOT_REMEDIABLE" });
  });

  it("groups dead letters, and retries or removes many of them, first without doing it", async () => {
    const client = new Client({ url, apiKey: "root-key" });
    const topic = "job.no.bulk";
    const ids = await Promise.all([1, 2, 3].map(async () => (await client.submit({ prompt: "x", topic })).job_id));
    const groups = await all(client.deadLetters.groups({ topic }));
    expect(groups).toMatchObject([{ topic, count: 3, pattern: "never" }]);
    const filter = { signature: groups[0]?.signature ?? "" };
    expect((await all(client.deadLetters.list(filter))).map(({ job_id }) => job_id).toSorted()).toEqual(ids.toSorted());
    const planned = await client.deadLetters.retryMany({ filter }, { dryRun: true });
    expect(planned).toMatchObject({ dry_run: true, counts: { would_retry: 3 }, next_cursor: null });
    const first = await client.deadLetters.retryMany({ filter, limit: 1, reason: "try" });
    expect(first).toMatchObject({
      dry_run: false,
      counts: { retried: 1 },
      items: [{ new_job_id: expect.any(String) }],
    });
    expect((await client.deadLetters.deleteMany({ filter })).counts.deleted).toBeGreaterThanOrEqual(2);
    await expect(client.deadLetters.deleteMany({})).rejects.toMatchObject({ code: "INVALID_REQUEST" });
  });

  it("takes, holds and gives back locks", async () => {
    const { locks } = new Client({ url, apiKey: "operator-key" });
    const hold = { resource: "sdk", owner: "me" };
    const taken = await locks.acquire({ ...hold, ttl_ms: 60_000 });
    expect(taken).toMatchObject({ mode: "exclusive", owners: { me: 1 } });
    expect(await locks.get("sdk")).toEqual(taken);
    expect((await locks.held()).map(({ resource }) => resource)).toContain("sdk");
    expect((await locks.renew({ ...hold, ttl_ms: 90_000 })).fencing_token).toBe(taken.fencing_token);
    expect(await locks.release(hold)).toBeUndefined();
    await expect(locks.get("sdk")).rejects.toMatchObject({ code: "LOCK_NOT_FOUND" });
    await locks.acquire(hold);
    expect(await locks.break({ ...hold, reason: "gone" })).toBeUndefined();
  });

  it("keeps bytes, and reads what lies behind pointers of jobs", async () => {
    const client = new Client({ url, apiKey: "operator-key" });
    const bytes = Uint8Array.of(0, 255, 7);
    const { artifact_ptr } = await client.artifacts.upload(bytes, { retention: "short", labels: { a: "b" } });
    expect(await client.artifacts.get(artifact_ptr)).toMatchObject({
      content: bytes,
      metadata: { retention: "short", labels: { a: "b", tenant_id: "acme" } },
    });
    expect((await all(client.artifacts.list({ pageSize: 1 }))).map((each) => each.artifact_ptr)).toContain(
      artifact_ptr,
    );
    await client.artifacts.delete(artifact_ptr);
    await expect(client.artifacts.get(artifact_ptr)).rejects.toMatchObject({ code: "ARTIFACT_NOT_FOUND" });
    const { job_id } = await client.submit({ prompt: "hello", topic: "job.ask" });
    const { context_ptr } = await client.get(job_id);
    const found = await client.memory(context_ptr);
    expect(found).toMatchObject({ kind: "context", pointer: context_ptr, json: { prompt: "hello" } });
    expect(Buffer.from(found.bytes).toString()).toBe(found.text);
    await expect(client.memory("ctx:nobody")).rejects.toMatchObject({ code: "MEMORY_NOT_FOUND" });
  });
});

async function all<T>(items: AsyncIterable<T>): Promise<readonly T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}
