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
});
