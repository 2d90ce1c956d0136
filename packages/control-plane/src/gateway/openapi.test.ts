import { Type } from "typebox";
import { Compile } from "typebox/compile";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { httpPage } from "./http-page.ts";
import { openScene, type Scene } from "./testing/gateway-scene.ts";
import { hearOfWorker } from "./testing/known-worker.ts";
import { descriptionOf, type RouteRow, routesOf } from "./testing/route-table.ts";

let scene: Scene;
let routes: readonly RouteRow[];
beforeAll(async () => {
  scene = await openScene();
  routes = await routesOf(scene);
});
afterAll(() => scene[Symbol.asyncDispose]());

const lock = { resource: "r", owner: "o" };
const LOCK_CALLS: readonly (readonly [string, "GET" | "POST", string, object?])[] = [
  ["acquireLock", "POST", "/api/v1/locks/acquire", { payload: lock }],
  ["renewLock", "POST", "/api/v1/locks/renew", { payload: { ...lock, ttl_ms: 5_000 } }],
  ["getLock", "GET", "/api/v1/locks?resource=r"],
  ["getLock", "GET", "/api/v1/locks?held=true"],
  ["releaseLock", "POST", "/api/v1/locks/release", { payload: lock }],
  ["releaseLock", "POST", "/api/v1/locks/release", { payload: lock }],
  ["acquireLock", "POST", "/api/v1/locks/acquire", { payload: { ...lock, mode: "Shared" } }],
  ["breakLock", "POST", "/api/v1/locks/break", { payload: { ...lock, reason: "gone" } }],
];

const DEAD_LETTER_CALLS: typeof LOCK_CALLS = [
  ["groupDeadLetters", "GET", "/api/v1/dlq/groups?limit=5"],
  ["retryDeadLetters", "POST", "/api/v1/dlq/retry", { payload: { all: true, dry_run: true } }],
  ["deleteDeadLetters", "POST", "/api/v1/dlq/delete", { payload: { filter: { topic: "job.x" } } }],
];

const workerCalls = (): typeof LOCK_CALLS => {
  hearOfWorker(scene, "acme.w1", "acme");
  return [
    ["drainWorker", "POST", "/api/v1/workers/acme.w1/drain", { payload: { reason: "new kernel" } }],
    ["getWorker", "GET", "/api/v1/workers/acme.w1"],
    ["listWorkerJobs", "GET", "/api/v1/workers/acme.w1/jobs"],
    ["listWorkers", "GET", "/api/v1/workers"],
    ["revokeWorkerSession", "POST", "/api/v1/workers/acme.w1/revoke-session", { payload: { reason: "lost" } }],
    ["undrainWorker", "POST", "/api/v1/workers/acme.w1/undrain"],
  ];
};

const uploaded = async () => (await scene.post("admin-key", "/api/v1/artifacts", { content: "x" })).json().artifact_ptr;
const artifactCalls = async (): Promise<readonly (readonly [string, "GET" | "POST", string, object?])[]> => [
  ["uploadArtifact", "POST", "/api/v1/artifacts", { payload: { content: "x", content_type: "text/plain" } }],
  ["getArtifact", "GET", `/api/v1/artifacts/${await uploaded()}`],
  ["listArtifacts", "GET", "/api/v1/artifacts?limit=1"],
];

const schemaCalls = async (): Promise<readonly (readonly [string, "GET", string, object?])[]> => {
  const body = { id: "acme/In", schema: { type: "object", properties: { a: { enum: [1, null] } } } };
  expect((await scene.post("admin-key", "/api/v1/schemas", body)).statusCode).toBe(204);
  return [
    ["listSchemas", "GET", "/api/v1/schemas"],
    ["getSchema", "GET", "/api/v1/schemas/acme/In"],
  ];
};

const configCalls = async (): Promise<readonly (readonly [string, "GET", string, object?])[]> => {
  const body = { scope: "org", data: { limits: { n: 1 }, list: [1, null] }, meta: { by: "test" } };
  expect((await scene.post("admin-key", "/api/v1/config", body)).statusCode).toBe(204);
  const named = { headers: { "x-tenant-id": "acme" } };
  return [
    ["getConfig", "GET", "/api/v1/config?scope=org"],
    ["getConfig", "GET", "/api/v1/config?scope=org", named],
    ["getConfig", "GET", "/api/v1/config", named],
    ["getEffectiveConfig", "GET", "/api/v1/config/effective?team_id=a&step_id=b"],
  ];
};

describe("the description of the API", () => {
  it("is OpenAPI 3.1 and names every operation once", async () => {
    expect((await descriptionOf(scene)).openapi).toBe("3.1.0");
    const ids = routes.map((route) => route.operation.operationId ?? "");
    expect(new Set(ids).size).toBe(ids.length);
    for (const { operation, path } of routes) {
      expect([path, operation.operationId?.length ?? 0, operation.tags?.length]).toEqual([path, expect.any(Number), 1]);
      expect(operation.operationId).toMatch(/^[a-z][A-Za-z]+$/);
      expect([path, operation.security?.length === 0]).toEqual([path, operation["x-permission"] === "public"]);
      expect([path, Object.keys(operation.responses).some((status) => /^(20[014]|101)$/.test(status))]).toEqual([
        path,
        true,
      ]);
    }
  });

  it("is documented as it is, and says of every route what it is for", async () => {
    const description = await descriptionOf(scene);
    await expect(httpPage(description)).toMatchFileSnapshot("../../../../docs/reference/http.md");
    for (const { operation, method, path } of routes)
      expect([method, path, operation.summary]).toEqual([method, path, expect.stringMatching(/^\S.{5,}/)]);
    // A route whose tag the description does not list would be left out.
    const page = httpPage(description);
    for (const { method, path } of routes) expect(page).toContain(`### ${method} ${path}\n`);
  });

  it("has every route that is served, and serves every route it has", async () => {
    for (const { method, path } of routes) {
      const { statusCode, headers } = await scene.call("admin-key", "GET", path.replace(/\{\w+\}/g, "x"), {
        method: "PATCH",
      });
      expect([path, statusCode]).toEqual([path, 405]);
      expect(String(headers.allow).split(", ")).toContain(method);
    }
    expect(routes.map(({ method, path }) => `${method} ${path}`).toSorted()).toMatchSnapshot();
  });

  it("is kept by live answers of every kind", async () => {
    const id = async (topic: string) =>
      (
        await scene.post("submitter-key", "/api/v1/jobs", { prompt: "x", topic, labels: { a: "b" }, risk_tags: ["r"] })
      ).json().job_id;
    const [echo, ask, ask2, no] = [
      await id("job.echo"),
      await id("job.ask"),
      await id("job.ask"),
      await id("job.no.x"),
    ];
    const { trace_id } = (await scene.call("admin-key", "GET", `/api/v1/jobs/${echo}`)).json();
    const body = { payload: {} };
    const named = { headers: { "x-tenant-id": "acme" } };
    const calls: readonly (readonly [string, "GET" | "POST", string, object?])[] = [
      ["submitJob", "POST", "/api/v1/jobs", { payload: { prompt: "x" } }],
      ["submitJobs", "POST", "/api/v1/jobs/batch", { payload: { jobs: [{ prompt: "x" }, {}] } }],
      ["listJobs", "GET", "/api/v1/jobs?limit=2"],
      ...[echo, ask, no].flatMap((job) => [
        ["getJob", "GET", `/api/v1/jobs/${job}`] as const,
        ["listJobDecisions", "GET", `/api/v1/jobs/${job}/decisions`] as const,
        ["listJobEvents", "GET", `/api/v1/jobs/${job}/events`] as const,
        ["explainJob", "GET", `/api/v1/jobs/${job}/why`] as const,
      ]),
      ["countJobs", "GET", "/api/v1/jobs/counts"],
      ["getTrace", "GET", `/api/v1/traces/${trace_id}`],
      ["listApprovals", "GET", "/api/v1/approvals"],
      ["approveJob", "POST", `/api/v1/approvals/${ask}/approve`, body],
      ["approveJob", "POST", `/api/v1/approvals/${ask}/approve`, body],
      ["rejectJob", "POST", `/api/v1/approvals/${ask2}/reject`, { payload: { reason: "no" } }],
      ["rejectJob", "POST", `/api/v1/approvals/${ask2}/reject`],
      ["getJob", "GET", `/api/v1/jobs/${ask}`],
      ["getJob", "GET", `/api/v1/jobs/${ask2}`],
      ["cancelJob", "POST", `/api/v1/jobs/${echo}/cancel`],
      ["cancelJob", "POST", `/api/v1/jobs/${no}/cancel`],
      ["listDeadLetters", "GET", "/api/v1/dlq"],
      ["listDeadLetters", "GET", "/api/v1/dlq", named],
      ["pageDeadLetters", "GET", "/api/v1/dlq/page?limit=1"],
      ["getDeadLetter", "GET", `/api/v1/dlq/${no}`],
      ...DEAD_LETTER_CALLS,
      ["remediateJob", "POST", `/api/v1/jobs/${await id("job.better")}/remediate`],
      ["retryDeadLetter", "POST", `/api/v1/dlq/${no}/retry`],
      ["retryDeadLetter", "POST", `/api/v1/dlq/${no}/retry`, body],
      ["getDeadLetter", "GET", `/api/v1/dlq/${no}`],
      ...workerCalls(),
      ["listWorkers", "GET", "/api/v1/workers"],
      ["listWorkers", "GET", "/api/v1/workers", named],
      ...LOCK_CALLS,
      ...(await artifactCalls()),
      ["readMemory", "GET", `/api/v1/memory?ptr=redis://ctx:${echo}`],
      ...(await configCalls()),
      ...(await schemaCalls()),
      ["getStatus", "GET", "/api/v1/status"],
      ["getHealth", "GET", "/api/v1/health"],
      ["getReadiness", "GET", "/readyz"],
      ["getLiveness", "GET", "/healthz"],
      ["getStartup", "GET", "/livez"],
    ];
    for (const [operationId, method, url, more] of calls) {
      const answer = await scene.call("admin-key", method, url, more);
      expect([url, answer.statusCode]).toEqual([url, 200]);
      keepsTo(operationId, "200", "application/json", answer.json());
    }
    const made = await scene.post("admin-key", "/api/v1/keys", { name: "k", roles: ["viewer"] });
    keepsTo("createKey", "201", "application/json", made.json());
    const key = `/api/v1/keys/${made.json().id}`;
    const ofKeys: readonly (readonly [string, "GET" | "POST", string, object?])[] = [
      ["rotateKey", "POST", `${key}/rotate`, { payload: { grace_seconds: 60 } }],
      ["listKeys", "GET", "/api/v1/keys"],
      ["getKey", "GET", key],
      ["revokeKey", "POST", `${key}/revoke`, { payload: { reason: "lost" } }],
      ["listKeys", "GET", "/api/v1/keys?state=ended"],
    ];
    for (const [operationId, method, url, more] of ofKeys) {
      const answer = await scene.call("admin-key", method, url, more);
      expect([url, answer.statusCode]).toEqual([url, 200]);
      keepsTo(operationId, "200", "application/json", answer.json());
    }
    const unseen = routes
      .map((route) => route.operation.operationId)
      .filter((operationId) => ![...calls, ...ofKeys].some(([called]) => called === operationId));
    // What does not answer with one JSON: http/job-stream.test.ts, http/worker-connect.test.ts.
    const streams = ["connectWorker", "streamJob", "streamJobs", "streamPackets"];
    const others = ["createKey", "deleteArtifact", "deleteDeadLetter", "getAlive", "getMetrics", "getOpenApi"];
    // These answer nothing: http/config.test.ts, http/schema-registry.test.ts.
    const changes = ["replaceConfig", "mergeConfig", "deleteConfig", "registerSchema", "deleteSchema"];
    expect(unseen.toSorted()).toEqual([...streams, ...others, ...changes].toSorted());
  });

  it("is kept by refusals", async () => {
    for (const [operationId, method, url, key] of [
      ["submitJob", "POST", "/api/v1/jobs", "admin-key"],
      ["getJob", "GET", "/api/v1/jobs/nobody", "admin-key"],
      ["approveJob", "POST", "/api/v1/approvals/nobody/approve", "viewer-key"],
      ["listJobs", "GET", "/api/v1/jobs", "wrong"],
    ] as const) {
      const answer = await scene.call(key, method, url);
      expect(answer.headers["content-type"]).toBe("application/problem+json; charset=utf-8");
      keepsTo(operationId, "4XX", "application/problem+json", answer.json());
    }
  });
});

function keepsTo(operationId: string, status: string, type: string, body: unknown): void {
  const operation = routes.find((route) => route.operation.operationId === operationId)?.operation;
  const schema = operation?.responses[status]?.content?.[type]?.schema;
  if (schema === undefined) throw new Error(`${operationId} describes no ${status} of ${type}`);
  const check = Compile(Type.Unsafe(schema));
  expect([operationId, check.Errors(body)]).toEqual([operationId, []]);
}
