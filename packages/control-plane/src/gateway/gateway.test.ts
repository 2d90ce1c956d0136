import { describe, expect, it } from "vitest";
import { virtualClock } from "../adapters/system/virtual-clock.ts";
import { newKeyId, newSecret } from "../keys/secret.ts";
import { Fault } from "../ports/fault.ts";
import { createMetricsServer } from "./gateway.ts";
import { parseOrigins } from "./origins.ts";
import { openScene } from "./testing/gateway-scene.ts";

const never = new AbortController().signal;

describe("limits of rate", () => {
  it("are per key, say when to come back, and refill", async () => {
    const clock = virtualClock();
    await using scene = await openScene({ rateLimit: { rps: 2, burst: 3 } }, clock);
    const call = (key: string) => scene.call(key, "GET", "/api/v1/traces/x");
    for (let n = 0; n < 3; n++) expect((await call("viewer-key")).statusCode).toBe(200);
    const refused = await call("viewer-key");
    expect([
      refused.statusCode,
      refused.headers["retry-after"],
      refused.json().error,
      refused.json().retryable,
    ]).toEqual([429, "1", "rate limited", true]);
    expect((await call("admin-key")).statusCode).toBe(200);
    await clock.advance(500);
    expect((await call("viewer-key")).statusCode).toBe(200);
    expect((await call("viewer-key")).statusCode).toBe(429);
    expect((await scene.call("viewer-key", "GET", "/health")).statusCode).toBe(200);
  });

  it("stop an address that guesses keys, before its next guess is looked at", async () => {
    const clock = virtualClock();
    await using scene = await openScene({ publicRateLimit: { rps: 1, burst: 5 } }, clock);
    const call = (key: string, remoteAddress: string) => scene.call(key, "GET", "/api/v1/traces/x", { remoteAddress });
    for (let n = 0; n < 5; n++) expect((await call(`guess${n}`, "10.0.0.1")).statusCode).toBe(401);
    expect((await call("viewer-key", "10.0.0.1")).statusCode).toBe(429);
    expect((await call("viewer-key", "10.0.0.2")).statusCode).toBe(200);
    for (let n = 0; n < 5; n++) await call("x", `2001:db8:1:2::${n}`);
    expect((await call("x", "2001:db8:1:2:ffff::1")).statusCode).toBe(429);
    expect((await call("x", "2001:db8:1:3::1")).statusCode).toBe(401);
    await clock.advance(1_000);
    expect((await call("viewer-key", "10.0.0.1")).statusCode).toBe(200);
  });

  it("stop an address that makes up keys of our form, without asking State for each", async () => {
    const clock = virtualClock();
    await using scene = await openScene({ publicRateLimit: { rps: 1, burst: 5 } }, clock);
    const { state } = scene.core.parts;
    let reads = 0;
    const get = state.get.bind(state);
    state.get = (keys, signal) => {
      reads++;
      return get(keys, signal);
    };
    const call = (remoteAddress: string, key = newSecret(newKeyId(clock), clock)) =>
      scene.call(key, "GET", "/api/v1/traces/x", { remoteAddress });
    const answers = await Promise.all(Array.from({ length: 100 }, () => call("10.0.0.1")));
    const statuses = answers.map(({ statusCode }) => statusCode);
    expect([
      statuses.filter((status) => status === 401).length,
      statuses.filter((status) => status === 429).length,
    ]).toEqual([5, 95]);
    expect(reads).toBe(5);
  });

  it("cost a new key's first use nothing", async () => {
    await using scene = await openScene({ publicRateLimit: { rps: 0.001, burst: 1 } }, virtualClock());
    for (let n = 0; n < 5; n++) {
      const { secret } = (await scene.post("admin-key", "/api/v1/keys", { name: "k", roles: ["viewer"] })).json();
      expect((await scene.call(secret, "GET", "/api/v1/jobs")).statusCode).toBe(200);
    }
  });

  it("are per tenant too, where that is configured: more keys are not more requests", async () => {
    await using scene = await openScene({ tenantRateLimit: { rps: 1, burst: 3 } }, virtualClock());
    const call = async (key: string) => (await scene.call(key, "GET", "/api/v1/jobs")).statusCode;
    for (const key of ["viewer-key", "admin-key", "operator-key"]) expect(await call(key)).toBe(200);
    expect([await call("submitter-key"), await call("other-admin-key")]).toEqual([429, 200]);
  });

  it("do not trust X-Forwarded-For, unless it comes from a proxy of ours", async () => {
    const guess = async (trustedProxies: readonly string[]) => {
      await using scene = await openScene({ publicRateLimit: { rps: 1, burst: 1 }, trustedProxies }, virtualClock());
      const call = (from: string) =>
        scene.call("x", "GET", "/api/v1/jobs", { remoteAddress: "10.0.0.9", headers: { "x-forwarded-for": from } });
      await call("1.1.1.1");
      return (await call("2.2.2.2")).statusCode;
    };
    expect(await guess([])).toBe(429);
    expect(await guess(["10.0.0.9"])).toBe(401);
  });
});

describe("origins", () => {
  const open = (configured: readonly string[]) => openScene({ origins: parseOrigins(configured).rules });
  const ask = async (configured: readonly string[], origin: string, method: "GET" | "OPTIONS" = "GET") => {
    await using scene = await open(configured);
    return scene.gateway.inject({
      method,
      url: method === "GET" ? "/health" : "/api/v1/jobs/x",
      headers: { origin, host: "cordum.example:8081" },
    });
  };

  it.each<[readonly string[], string, boolean]>([
    [[], "http://localhost:3000", true],
    [[], "http://127.0.0.1", true],
    [[], "http://[::1]:5173", true],
    [[], "https://cordum.example", true],
    [[], "https://CORDUM.example:444", true],
    [[], "https://evil.example", false],
    [[], "null", false],
    [[], "file://", false],
    [[], "http://localhost.evil.example", false],
    [["*"], "https://evil.example", true],
    [["https://a.example"], "https://a.example", true],
    [["https://a.example"], "https://a.example:444", false],
    [["https://a.example"], "http://a.example", false],
    [["https://a.example"], "http://localhost", false],
    [["https://a.example", "*"], "https://b.example", false],
    [["https://*.a.example"], "https://x.y.a.example", true],
    [["https://*.a.example"], "https://a.example", false],
    [["https://*.a.example"], "https://evil.example#.a.example", false],
    [["https://*.a.example"], "https://xa.example", false],
  ])("%j: %s → %s", async (configured, origin, isAllowed) => {
    const answer = await ask(configured, origin);
    expect(answer.statusCode).toBe(isAllowed ? 200 : 403);
    expect(answer.headers["access-control-allow-origin"]).toBe(isAllowed ? origin : undefined);
    if (!isAllowed) expect(answer.json().error).toBe("origin not allowed");
    const preflight = await ask(configured, origin, "OPTIONS");
    expect(preflight.statusCode).toBe(isAllowed ? 204 : 403);
    if (isAllowed) expect(preflight.headers["access-control-allow-methods"]).toContain("PUT");
    expect(answer.headers["access-control-allow-credentials"]).toBe(
      isAllowed && configured[0] !== "*" ? "true" : undefined,
    );
  });

  it("that are none are told to the operator", () => {
    expect(parseOrigins(["https://a.example", "nonsense", "https://*", "*.a.example"]).faults).toHaveLength(4 - 1);
  });

  it("are not needed by programs", async () => {
    await using scene = await open(["https://a.example"]);
    const answer = await scene.call("viewer-key", "GET", "/api/v1/jobs");
    expect([answer.statusCode, answer.headers["access-control-allow-origin"]]).toEqual([200, undefined]);
    expect(answer.headers).toMatchObject({
      "x-content-type-options": "nosniff",
      "x-frame-options": "DENY",
      "referrer-policy": "no-referrer",
    });
  });
});

describe("a drain", () => {
  it("finishes what runs, refuses what comes, and answers probes", async () => {
    await using scene = await openScene();
    const { parts } = scene.core;
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const get = parts.payloads.get.bind(parts.payloads);
    const { job_id } = (await scene.post("admin-key", "/api/v1/jobs", { prompt: "x" })).json();
    let isInside = false;
    parts.payloads.get = async (key, signal) => {
      isInside = true;
      await gate;
      return get(key, signal);
    };
    const running = scene.call("admin-key", "GET", `/api/v1/jobs/${job_id}`);
    while (!isInside) await scene.clock.sleep(1, never);
    const drained = scene.gateway.stopAccepting(never);
    const refused = await scene.call("admin-key", "POST", "/api/v1/jobs", { payload: { prompt: "x" } });
    expect([
      refused.statusCode,
      refused.json().code,
      refused.headers["retry-after"],
      refused.headers.connection,
    ]).toEqual([503, "SHUTTING_DOWN", "2", "close"]);
    expect((await scene.call("", "GET", "/readyz")).json()).toMatchObject({
      status: "unavailable",
      checks: { accepting: "draining" },
    });
    expect((await scene.call("", "GET", "/healthz")).statusCode).toBe(200);
    expect(await scene.gateway.stopAccepting(AbortSignal.abort())).toBe(false);
    release();
    expect((await running).statusCode).toBe(200);
    expect(await drained).toBe(true);
  });
});

describe("health", () => {
  it("tells which part is away, asks it once a second, and shows no address", async () => {
    const clock = virtualClock();
    let asked = 0;
    let isAway = false;
    const probes = {
      bus: () => ({ connected: !isAway, reconnects: 0 }),
      storeNow: async () => {
        asked += 1;
        if (isAway) throw new Fault("STATE_UNAVAILABLE", "connect 10.0.0.1:6379 refused");
        return clock.now();
      },
    };
    await using scene = await openScene({}, clock, probes);
    const ask = (path: string) => scene.call("admin-key", "GET", path);
    for (let n = 0; n < 20; n++) expect((await ask("/readyz")).statusCode).toBe(200);
    expect(asked).toBe(1);
    isAway = true;
    await clock.advance(1_000);
    const answer = await ask("/api/v1/health");
    expect([answer.statusCode, answer.json()]).toEqual([
      503,
      { status: "unhealthy", nats: "unavailable", redis: "unavailable", error: "a part is unavailable" },
    ]);
    expect((await ask("/readyz")).statusCode).toBe(503);
    const status = await ask("/api/v1/status");
    expect(status.json()).toMatchObject({
      redis: { ok: false, error: "unavailable" },
      nats: { connected: false, status: "RECONNECTING" },
    });
    expect(status.body + answer.body).not.toContain("10.0.0.1");
    for (const path of ["/health", "/healthz", "/livez"]) expect((await ask(path)).statusCode).toBe(200);
    expect((await ask("/health")).body).toBe("ok");
  });
});

describe("metrics", () => {
  it("count what was served by route, and what was refused by code", async () => {
    await using scene = await openScene();
    const { job_id } = (await scene.post("admin-key", "/api/v1/jobs", { prompt: "x" })).json();
    await scene.call("admin-key", "GET", `/api/v1/jobs/${job_id}`);
    await scene.call("admin-key", "GET", "/api/v1/jobs/nobody");
    await scene.post("admin-key", "/api/v1/jobs", {});
    for (const [key, path] of [
      ["", "/api/v1/jobs"],
      ["worker-key", "/api/v1/jobs"],
      ["admin-key", "/api/v1/x"],
      ["", "/x"],
    ] as const)
      await scene.call(key, "GET", path);
    await scene.call("admin-key", "PUT", "/api/v1/jobs");
    const text = (await scene.call("", "GET", "/metrics")).body;
    for (const line of [
      'cordum_api_gateway_http_requests_total{method="POST",route="/api/v1/jobs",status="200"} 1',
      'cordum_api_gateway_http_requests_total{method="POST",route="/api/v1/jobs",status="400"} 1',
      'cordum_api_gateway_http_requests_total{method="GET",route="/api/v1/jobs/{id}",status="404"} 1',
      'cordum_api_gateway_http_request_duration_seconds_count{method="GET",route="/api/v1/jobs/{id}"} 2',
      'cordum_api_gateway_http_refused_total{code="UNAUTHENTICATED"} 1',
      'cordum_api_gateway_http_refused_total{code="FORBIDDEN"} 1',
      'cordum_api_gateway_http_refused_total{code="ROUTE_NOT_FOUND"} 2',
      'cordum_api_gateway_http_refused_total{code="METHOD_NOT_ALLOWED"} 1',
    ])
      expect(text).toContain(line);
    expect(text).not.toContain(job_id);
  });

  it("can have a listener of their own, with nothing but the health pages beside them", async () => {
    await using scene = await openScene({ exposesMetrics: false });
    expect((await scene.call("admin-key", "GET", "/metrics")).statusCode).toBe(404);
    const server = await createMetricsServer(scene.parts);
    const url = await server.listen({ host: "127.0.0.1", port: 0 });
    expect(await (await fetch(`${url}/metrics`)).text()).toContain(
      "# TYPE cordum_api_gateway_http_requests_total counter",
    );
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
    expect((await fetch(`${url}/api/v1/jobs`, { headers: { "x-api-key": "admin-key" } })).status).toBe(404);
    await server.close();
  });
});

describe("listening", () => {
  it("says the address, and why it cannot", async () => {
    await using scene = await openScene();
    const url = await scene.gateway.listen({ host: "127.0.0.1", port: 0 });
    expect((await fetch(`${url}/health`)).status).toBe(200);
    await using other = await openScene();
    await expect(other.gateway.listen({ host: "127.0.0.1", port: Number(new URL(url).port) })).rejects.toMatchObject({
      code: "EADDRINUSE",
    });
  });
});
