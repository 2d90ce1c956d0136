import { describe, expect, it } from "vitest";
import { json, startServer } from "../testing/http-server.ts";
import { quickRuntime } from "../testing/quick-runtime.ts";
import { Client } from "./client.ts";

const ok = { job_id: "j1", trace_id: "t1" };
const DEADLINE_MS = 30_000;

describe("http: retries", () => {
  it("tries again on 503 and 429 with the same idempotency key and body", async () => {
    await using server = await startServer((_asked, response, n) => json(response, [503, 429][n - 1] ?? 200, ok));
    const runtime = quickRuntime(5_000);
    await new Client({ url: server.url, runtime }).submit({ prompt: "x" });
    expect(server.asked).toHaveLength(3);
    expect(new Set(server.asked.map((asked) => asked.headers["idempotency-key"])).size).toBe(1);
    expect(new Set(server.asked.map((asked) => asked.body)).size).toBe(1);
    expect(runtime.sleeps).toEqual([150, 300]);
  });

  it("waits as long as Retry-After says, in seconds or as a date", async () => {
    await using server = await startServer((_asked, response, n) => {
      const at = new Date(runtime.now() + 4_000).toUTCString();
      if (n <= 2) return json(response, 429, {}, { "retry-after": n === 1 ? "3" : at });
      json(response, 200, ok);
    });
    const runtime = quickRuntime(5_000);
    await new Client({ url: server.url, runtime }).submit({ prompt: "x" });
    expect(runtime.sleeps).toEqual([3_000, 4_000]);
  });

  it("gives up at once when Retry-After lies behind the deadline", async () => {
    await using server = await startServer((_asked, response) =>
      json(response, 429, { code: "RATE_LIMITED" }, { "retry-after": "3600" }),
    );
    const runtime = quickRuntime(5_000);
    const call = new Client({ url: server.url, timeoutMs: DEADLINE_MS, runtime }).submit({ prompt: "x" });
    await expect(call).rejects.toMatchObject({ code: "RATE_LIMITED", retryable: true });
    expect(server.asked).toHaveLength(1);
    expect(runtime.sleeps).toEqual([]);
  });

  it("tries again after a connection that broke before the answer", async () => {
    await using server = await startServer((_asked, response, n) =>
      n < 3 ? void response.destroy() : json(response, 200, ok),
    );
    await new Client({ url: server.url, runtime: quickRuntime(5_000) }).submit({ prompt: "x" });
    expect(new Set(server.asked.map((asked) => asked.headers["idempotency-key"])).size).toBe(1);
    expect(server.asked).toHaveLength(3);
  });

  it("stops after the given number of retries with the last error", async () => {
    await using server = await startServer((_asked, response, n) =>
      json(response, 503, { code: "BUS_UNAVAILABLE", detail: `try ${n}` }),
    );
    const call = new Client({ url: server.url, retries: 2, runtime: quickRuntime(5_000) }).submit({ prompt: "x" });
    await expect(call).rejects.toMatchObject({ status: 503, detail: "try 3" });
    expect(server.asked).toHaveLength(3);
  });

  it.each([408, 429, 502, 503, 504])("repeats %i", async (status) => {
    await using server = await startServer((_asked, response, n) =>
      n === 1 ? json(response, status, {}) : json(response, 200, ok),
    );
    await new Client({ url: server.url, runtime: quickRuntime(5_000) }).submit({ prompt: "x" });
    expect(server.asked).toHaveLength(2);
  });

  it.each([400, 401, 403, 404, 409, 500])("does not repeat %i", async (status) => {
    await using server = await startServer((_asked, response) => json(response, status, {}));
    await expect(new Client({ url: server.url }).submit({ prompt: "x" })).rejects.toMatchObject({
      status,
      code: `HTTP_${status}`,
    });
    expect(server.asked).toHaveLength(1);
  });
});

describe("http: bounds", () => {
  it("ends a try that gets no answer, and one whose answer never ends", async () => {
    await using server = await startServer((_asked, response, n) => {
      if (n === 2) response.write("{");
      if (n === 3) json(response, 200, ok);
    });
    const client = new Client({ url: server.url, attemptTimeoutMs: 1_000, timeoutMs: 15_000 });
    expect(await client.submit({ prompt: "x" })).toEqual(ok);
    expect(server.asked).toHaveLength(3);
  });

  it("ends the whole call at its deadline", async () => {
    await using server = await startServer(() => undefined);
    const call = new Client({ url: server.url }).get("j1", { timeoutMs: 1_500 });
    await expect(call).rejects.toMatchObject({ code: "CALL_TIMEOUT", status: 0, retryable: true });
    expect(server.asked).toHaveLength(1);
  });

  it("ends even when a foreign fetch ignores its signal", async () => {
    const client = new Client({ url: "http://127.0.0.1:1", fetch: () => new Promise(() => undefined), timeoutMs: 50 });
    await expect(client.get("j1")).rejects.toMatchObject({ code: "CALL_TIMEOUT" });
  });

  it("throws the caller's reason when the caller aborts, also before the start", async () => {
    const caller = new AbortController();
    await using server = await startServer(() => caller.abort(new Error("enough")));
    await expect(new Client({ url: server.url }).get("j1", { signal: caller.signal })).rejects.toThrow("enough");
    await expect(new Client({ url: server.url }).get("j1", { signal: caller.signal })).rejects.toThrow("enough");
    expect(server.asked).toHaveLength(1);
  });

  it("stops reading an answer that is too large", async () => {
    await using server = await startServer((_asked, response) => void response.end("x".repeat(5_000)));
    const call = new Client({ url: server.url, responseBytesMax: 4_999 }).get("j1");
    await expect(call).rejects.toMatchObject({ code: "RESPONSE_TOO_LARGE", retryable: false });
    expect(server.asked).toHaveLength(1);
  });

  it("does not carry its key along a redirect", async () => {
    await using thief = await startServer((_asked, response) => json(response, 200, ok));
    await using server = await startServer(
      (_asked, response) => void response.writeHead(307, { location: thief.url }).end(),
    );
    await expect(new Client({ url: server.url, apiKey: "k" }).submit({ prompt: "x" })).rejects.toMatchObject({
      status: 307,
    });
    expect(thief.asked).toHaveLength(0);
  });

  it("reports a server that is not there as a network error with the reason", async () => {
    const server = await startServer(() => undefined);
    await server[Symbol.asyncDispose]();
    const call = new Client({ url: server.url, runtime: quickRuntime(5_000) }).get("j1");
    await expect(call).rejects.toMatchObject({ code: "NETWORK_ERROR", status: 0, retryable: true });
    await expect(call).rejects.toThrow("ECONNREFUSED");
  });
});
