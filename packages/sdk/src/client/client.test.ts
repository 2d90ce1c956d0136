import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { json, startServer } from "../testing/http-server.ts";
import { quickRuntime } from "../testing/quick-runtime.ts";
import { Client } from "./client.ts";
import { CordumError } from "./problem.ts";

const KEY = "k-very-secret-1";
const detail = (state: string) => ({ id: "j1", state, result: { sent: true } });

async function all<T>(items: AsyncIterable<T>): Promise<readonly T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

describe("client: calls", () => {
  it("submits with key, body and an idempotency key in header and body", async () => {
    await using server = await startServer((_asked, response) => json(response, 200, { job_id: "j1", trace_id: "t1" }));
    const client = new Client({ url: `${server.url}/base/`, apiKey: ` ${KEY} ` });
    expect(await client.submit({ prompt: "hi", topic: "job.a", context: { to: "ada" } })).toEqual({
      job_id: "j1",
      trace_id: "t1",
    });
    const [asked] = server.asked;
    expect(asked).toMatchObject({ method: "POST", url: "/base/api/v1/jobs" });
    expect(asked?.headers["x-api-key"]).toBe(KEY);
    const body: unknown = JSON.parse(asked?.body ?? "");
    expect(body).toEqual({
      prompt: "hi",
      topic: "job.a",
      context: { to: "ada" },
      idempotency_key: asked?.headers["idempotency-key"],
    });
    expect(asked?.headers["idempotency-key"]).toMatch(/^[\w-]{24}$/);
  });

  it("uses the caller's idempotency key, and a new one for each call otherwise", async () => {
    await using server = await startServer((_asked, response) => json(response, 200, { job_id: "j1", trace_id: "t1" }));
    const client = new Client({ url: server.url });
    await client.submit({ prompt: "a" }, { idempotencyKey: "mine" });
    await client.submit({ prompt: "a", idempotency_key: "body" });
    await client.submit({ prompt: "a" });
    await client.submit({ prompt: "a" });
    const keys = server.asked.map((asked) => asked.headers["idempotency-key"]);
    expect(keys.slice(0, 2)).toEqual(["mine", "body"]);
    expect(new Set(keys).size).toBe(4);
    expect(server.asked[0]?.headers["x-api-key"]).toBeUndefined();
  });

  it("walks all pages, with integer and with text cursors, and stops at a cursor that does not move", async () => {
    await using server = await startServer((asked, response) => {
      const cursor = new URL(asked.url, "http://x").searchParams.get("cursor");
      const items = [{ id: `after-${cursor}`, state: "RUNNING", updated_at: 1 }];
      json(response, 200, { items, next_cursor: cursor === null ? 17 : "last" });
    });
    const ids: string[] = [];
    for await (const job of new Client({ url: server.url }).list({ state: "RUNNING" }, { pageSize: 2 }))
      ids.push(job.id);
    expect(ids).toEqual(["after-null", "after-17", "after-last"]);
    expect(server.asked[0]?.url).toBe("/api/v1/jobs?state=RUNNING&limit=2");
  });

  it("asks for the next page only when the loop gets there", async () => {
    await using server = await startServer((_asked, response) =>
      json(response, 200, { items: [{ id: "a", state: "PENDING" }], next_cursor: 1 }),
    );
    for await (const _job of new Client({ url: server.url }).list()) break;
    expect(server.asked).toHaveLength(1);
  });

  it("encodes ids in paths and refuses those that would leave the path", async () => {
    await using server = await startServer((_asked, response) => json(response, 200, detail("SUCCEEDED")));
    const client = new Client({ url: server.url });
    await client.get("run-1:step/../x@1?a#b");
    expect(server.asked[0]?.url).toBe("/api/v1/jobs/run-1%3Astep%2F..%2Fx%401%3Fa%23b");
    await expect(client.get("..")).rejects.toThrow(TypeError);
    await expect(client.get("")).rejects.toThrow(TypeError);
  });

  it("drains and undrains workers, by any id", async () => {
    await using server = await startServer((_, response) => json(response, 200, { worker_id: "a b", draining: true }));
    const client = new Client({ url: server.url });
    expect(await client.drainWorker("a b", { reason: "new kernel" })).toEqual({ worker_id: "a b", draining: true });
    await client.undrainWorker("acme.w1");
    await client.worker("w1");
    expect(server.asked.map(({ method, url, body }) => [method, url, body])).toEqual([
      ["POST", "/api/v1/workers/a%20b/drain", '{"reason":"new kernel"}'],
      ["POST", "/api/v1/workers/acme.w1/undrain", "{}"],
      ["GET", "/api/v1/workers/w1", ""],
    ]);
    await expect(client.drainWorker("..")).rejects.toThrow(TypeError);
  });

  it("ends the session of a worker, and says whether there was one", async () => {
    const answer = { worker_id: "acme.w1", tenant: "acme", revoked: true };
    await using server = await startServer((_, response) => json(response, 200, answer));
    const client = new Client({ url: server.url });
    expect(await client.revokeWorkerSession("acme.w1", { reason: "lost" })).toEqual(answer);
    expect(server.asked.map(({ method, url, body }) => [method, url, body])).toEqual([
      ["POST", "/api/v1/workers/acme.w1/revoke-session", '{"reason":"lost"}'],
    ]);
  });

  it("reads workers from a bare array and from {items}, and the other resources", async () => {
    const answers: { readonly [path: string]: unknown } = {
      "/api/v1/workers": [{ worker_id: "w1" }],
      "/api/v1/approvals": { items: [{ job: { id: "j1", state: "APPROVAL_REQUIRED" } }], next_cursor: null },
      "/api/v1/dlq/page": { items: [{ job_id: "j1", created_at: "2026-01-01T00:00:00Z" }], next_cursor: null },
      "/api/v1/status": { time: "2026-01-01T00:00:00Z", uptime_seconds: 3 },
      "/api/v1/jobs/j1/decisions": [{ decision: "ALLOW" }],
      "/health": "ok",
    };
    await using server = await startServer((asked, response, n) => {
      if (n === 1) return json(response, 200, { items: [{ worker_id: "w1" }] });
      json(response, 200, answers[asked.url.split("?")[0] ?? ""] ?? { job_id: "j1", id: "j1", state: "CANCELLED" });
    });
    const client = new Client({ url: server.url });
    expect(await client.workers()).toEqual([{ worker_id: "w1" }]);
    expect(await client.workers()).toEqual([{ worker_id: "w1" }]);
    expect((await all(client.approvals.list())).map((approval) => approval.job.id)).toEqual(["j1"]);
    expect((await all(client.deadLetters.list())).map((entry) => entry.job_id)).toEqual(["j1"]);
    expect((await client.deadLetters.get("j1")).job_id).toBe("j1");
    expect(await client.deadLetters.retry("j1")).toMatchObject({ job_id: "j1" });
    await client.deadLetters.delete("j/1");
    expect(server.asked.slice(-3).map((asked) => [asked.method, asked.url])).toEqual([
      ["GET", "/api/v1/dlq/j1"],
      ["POST", "/api/v1/dlq/j1/retry"],
      ["DELETE", "/api/v1/dlq/j%2F1"],
    ]);
    expect(await client.decisions("j1")).toEqual([{ decision: "ALLOW" }]);
    expect((await client.cancel("j1")).state).toBe("CANCELLED");
    await client.approvals.approve("j1", { reason: "fine" });
    await client.approvals.reject("j1");
    expect(server.asked.slice(-2).map((asked) => [asked.url, asked.body])).toEqual([
      ["/api/v1/approvals/j1/approve", '{"reason":"fine"}'],
      ["/api/v1/approvals/j1/reject", "{}"],
    ]);
    expect((await client.status()).uptime_seconds).toBe(3);
    expect(await client.health()).toBe(true);
    expect(await client.request({ method: "GET", path: "/api/v1/anything" })).toMatchObject({ id: "j1" });
  });

  it("makes, lists, rotates and revokes keys", async () => {
    const key = { id: "k1", name: "ci", state: "active", tenants: ["acme"], roles: ["viewer"], secrets: [] };
    await using server = await startServer(({ method, url }, response) => {
      if (url.startsWith("/api/v1/keys?")) return json(response, 200, { items: [key], next_cursor: null });
      json(response, 200, method === "GET" || url.endsWith("/revoke") ? key : { ...key, secret: "cordum_x" });
    });
    const { keys } = new Client({ url: server.url });
    expect((await keys.create({ name: "ci", roles: ["viewer"] })).secret).toBe("cordum_x");
    expect((await keys.rotate("k1", 60, { reason: "yearly" })).secret).toBe("cordum_x");
    expect(await all(keys.list({ state: "ended" }))).toEqual([key]);
    expect(await keys.get("k1")).toEqual(key);
    expect(await keys.revoke("k1", { reason: "leaked" })).toEqual(key);
    expect(server.asked.map(({ method, url, body }) => [method, url, body])).toEqual([
      ["POST", "/api/v1/keys", '{"name":"ci","roles":["viewer"]}'],
      ["POST", "/api/v1/keys/k1/rotate", '{"grace_seconds":60,"reason":"yearly"}'],
      ["GET", "/api/v1/keys?state=ended&limit=100", ""],
      ["GET", "/api/v1/keys/k1", ""],
      ["POST", "/api/v1/keys/k1/revoke", '{"reason":"leaked"}'],
    ]);
  });

  it("refuses answers that are not what the API sends", async () => {
    const bodies = ["<html>", "[]", '{"id":7,"state":"RUNNING"}', "null", ""];
    await using server = await startServer((_asked, response, n) => void response.end(bodies[n - 1]));
    const client = new Client({ url: server.url });
    for (const _body of bodies)
      await expect(client.get("j1")).rejects.toMatchObject({ code: "RESPONSE_INVALID", retryable: false });
    expect(server.asked).toHaveLength(bodies.length);
  });
});

describe("client: wait", () => {
  it("polls with growing waits until the job is terminal", async () => {
    await using server = await startServer((_asked, response, n) =>
      json(response, 200, detail(n < 5 ? "RUNNING" : "FAILED")),
    );
    const runtime = quickRuntime(5_000);
    const job = await new Client({ url: server.url, runtime }).wait("j1", { timeoutMs: 60_000 });
    expect(job.state).toBe("FAILED");
    expect(runtime.sleeps).toEqual([75, 150, 300, 600]);
  });

  it("goes on through a restart of the server, not through an unknown job", async () => {
    await using server = await startServer((_asked, response, n) => {
      if (n <= 2) return json(response, 503, { code: "SHUTTING_DOWN" });
      if (n === 3) return json(response, 200, detail("SUCCEEDED"));
      json(response, 404, { code: "JOB_NOT_FOUND" });
    });
    const client = new Client({ url: server.url, retries: 0, runtime: quickRuntime(5_000) });
    expect((await client.wait("j1", { timeoutMs: 60_000 })).state).toBe("SUCCEEDED");
    await expect(client.wait("j1", { timeoutMs: 60_000 })).rejects.toMatchObject({ code: "JOB_NOT_FOUND" });
  });

  it("says in which state the job was when patience ended", async () => {
    await using server = await startServer((_asked, response) => json(response, 200, detail("APPROVAL_REQUIRED")));
    const client = new Client({ url: server.url, runtime: quickRuntime(5_000) });
    const failure = client.wait("j1", { timeoutMs: 7_000 });
    await expect(failure).rejects.toMatchObject({ code: "WAIT_TIMEOUT", status: 0, retryable: true });
    await expect(failure).rejects.toThrow("is APPROVAL_REQUIRED after 7000 ms");
  });

  it("ends with the reason of the caller's signal", async () => {
    await using server = await startServer((_asked, response) => json(response, 200, detail("RUNNING")));
    const caller = new AbortController();
    const waiting = new Client({ url: server.url }).wait("j1", { signal: caller.signal });
    const reason = new Error("user went home");
    caller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
  });
});

describe("client: construction", () => {
  it.each(["", "localhost:8081", "ftp://x", "http://user:pw@x", "http://x?a=1", "http://x/#y", "http://"])(
    "refuses the URL %j",
    (url) => {
      expect(() => new Client({ url })).toThrow(TypeError);
    },
  );

  it("refuses keys that no header can carry, without repeating them", () => {
    for (const apiKey of ["", "  ", "a b", "secret\r\nx-evil: 1", "schlüssel"]) {
      const build = () => new Client({ url: "http://x", apiKey });
      expect(build).toThrow(TypeError);
      expect(build).not.toThrow(/secret|evil|schl/);
    }
  });

  it("refuses limits that make no sense", () => {
    expect(() => new Client({ url: "http://x", timeoutMs: 0 })).toThrow("timeoutMs");
    expect(() => new Client({ url: "http://x", retries: -1 })).toThrow("retries");
    expect(() => new Client({ url: "http://x", attemptTimeoutMs: Number.NaN })).toThrow("attemptTimeoutMs");
  });

  it("never shows its key", async () => {
    const client = new Client({ url: "http://127.0.0.1:1", apiKey: KEY, retries: 0 });
    expect(inspect(client, { depth: 9, showHidden: true })).not.toContain(KEY);
    expect(JSON.stringify(client)).not.toContain(KEY);
    const error: unknown = await client.get("j1").catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(CordumError);
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(KEY);
  });
});
