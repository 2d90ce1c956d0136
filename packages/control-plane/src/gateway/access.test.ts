import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { silentLog } from "../telemetry/log.ts";
import { createApp, registerRoutes } from "./app.ts";
import { createAuth } from "./auth.ts";
import { Flight } from "./flight.ts";
import { parseOrigins } from "./origins.ts";
import { DEFAULT_GATEWAY_SETTINGS } from "./parts.ts";
import { isPermitted, mayDo, mayGive, PERMISSIONS, parseRole, ROLES } from "./permissions.ts";
import { rolesPage } from "./roles-page.ts";
import { openScene, type Scene } from "./testing/gateway-scene.ts";
import { pathFor, type RouteRow, routesOf } from "./testing/route-table.ts";

let scene: Scene;
let routes: readonly RouteRow[];
beforeAll(async () => {
  scene = await openScene();
  routes = await routesOf(scene);
});
afterAll(() => scene[Symbol.asyncDispose]());

const guarded = () => routes.filter((route) => route.permission !== "public");
const say = (route: RouteRow) => `${route.method} ${route.path}`;
/** What a request must say where the route alone does not tell which right it takes. */
const MORE: { readonly [route: string]: string } = { "GET /api/v1/config": "?scope=org" };
/** What a caller of the right role gets for a job that does not exist: anything but a refusal. */
const call = (key: string, route: RouteRow, headers: Record<string, string> = {}) =>
  scene.call(key, route.method, `${pathFor(route, "no-such-job")}${MORE[say(route)] ?? ""}`, {
    // What is no stream is answered at once, and so is a stream that is asked for JSON.
    headers: { accept: "application/json", ...headers, "content-type": "application/json" },
    ...(route.method === "POST" ? { payload: "{}" } : {}),
  });

describe("roles", () => {
  it.each(ROLES)("%s can do exactly what the table says, on every route", async (role) => {
    for (const route of guarded()) {
      const permission = PERMISSIONS.find((name) => name === route.permission);
      if (permission === undefined) throw new Error(`${say(route)} has the unknown permission ${route.permission}`);
      const { statusCode } = await call(`${role}-key`, route);
      expect([say(route), role, statusCode !== 403]).toEqual([say(route), role, isPermitted(role, permission)]);
    }
  });

  it("are documented as they are", async () => {
    await expect(rolesPage(routes)).toMatchFileSnapshot("../../../../docs/reference/roles.md");
  });

  it("leave no permission that nobody holds, and no unknown name with any", () => {
    for (const permission of PERMISSIONS) expect(ROLES.filter((role) => isPermitted(role, permission))).not.toEqual([]);
    expect(["Operator", "SECOPS", "user", "king", "__proto__", ""].map(parseRole)).toEqual([
      "operator",
      "operator",
      "submitter",
      undefined,
      undefined,
      undefined,
    ]);
  });
});

describe("a key with several roles", () => {
  it("can do what one of them can, and gives away no role with more than that", () => {
    fc.assert(
      fc.property(fc.subarray([...ROLES], { minLength: 1 }), fc.constantFrom(...ROLES), (roles, other) => {
        for (const right of PERMISSIONS) {
          expect(mayDo(roles, right)).toBe(roles.some((role) => isPermitted(role, right)));
          if (mayGive(roles, other) && isPermitted(other, right)) expect(mayDo(roles, right)).toBe(true);
        }
        expect(roles.every((role) => mayGive(roles, role))).toBe(true);
      }),
    );
    expect([mayGive(["operator"], "admin"), mayGive(["admin"], "worker"), mayGive(["admin"], "king")]).toEqual([
      false,
      true,
      false,
    ]);
  });
});

describe("keys", () => {
  it("are needed on every route that is not public, for GET and for HEAD", async () => {
    expect(guarded().length).toBeGreaterThan(10);
    for (const route of guarded()) {
      for (const key of ["", "wrong", "admin-key2", "ADMIN-KEY"]) {
        const answer = await call(key, route);
        expect([say(route), key, answer.statusCode, answer.json().error]).toEqual([
          say(route),
          key,
          401,
          "unauthorized",
        ]);
      }
      if (route.method === "GET") expect((await scene.call("", "HEAD", pathFor(route, "x"))).statusCode).toBe(401);
    }
  });

  it("cannot be avoided by other spellings of a path", async () => {
    for (const path of [
      "//api/v1/jobs",
      "/api//v1/jobs",
      "/API/v1/jobs",
      "/api/v1/jobs/",
      "/api/v1/jobs;x",
      "/api/v1/%6aobs",
      "/health/../api/v1/jobs",
      "/health/%2e%2e/api/v1/jobs",
      "/api/v1/jobs%00",
      "/./api/v1/jobs",
      "/api/v1/jobs?x=/health",
    ]) {
      const { statusCode } = await scene.call("", "GET", path);
      expect([path, statusCode === 401 || statusCode === 404 || statusCode === 400]).toEqual([path, true]);
    }
  });

  it("decide who acts; headers that claim otherwise do nothing", async () => {
    const claims = { "x-principal-id": "mallory", "x-principal-role": "admin" };
    const answer = await scene.call("submitter-key", "POST", "/api/v1/jobs", {
      payload: { prompt: "x", topic: "job.ask", principal_id: "mallory" },
      headers: claims,
    });
    const { job_id } = answer.json();
    const { items } = (await scene.call("approver-key", "GET", "/api/v1/approvals")).json();
    expect(items).toMatchObject([{ job_id, submitted_by: "submitter" }]);
    expect(
      (await scene.call("submitter-key", "POST", `/api/v1/approvals/${job_id}/approve`, { headers: claims }))
        .statusCode,
    ).toBe(403);
    await scene.call("approver-key", "POST", `/api/v1/approvals/${job_id}/approve`, { headers: claims });
    expect((await scene.call("viewer-key", "GET", `/api/v1/jobs/${job_id}`)).json()).toMatchObject({
      approval_by: "approver",
      approval_role: "approver",
    });
  });
});

describe("tenants", () => {
  it("are named only by keys that may, on every route", async () => {
    for (const route of guarded()) {
      for (const header of ["x-tenant-id", "x-cordum-tenant", "X-TENANT-ID"]) {
        expect((await call("admin-key", route, { [header]: "other" })).json()).toMatchObject({
          code: "TENANT_FORBIDDEN",
          error: "tenant access denied",
        });
        expect((await call("admin-key", route, { [header]: "acme" })).statusCode).not.toBe(403);
        expect((await call("root-key", route, { [header]: "other" })).statusCode).not.toBe(403);
      }
    }
    const both = { "x-tenant-id": "acme", "x-cordum-tenant": "other" };
    expect((await scene.call("root-key", "GET", "/api/v1/jobs", { headers: both })).statusCode).toBe(400);
    for (const odd of ["a b", "../x", "x".repeat(200), "*", "é"]) {
      expect(
        (await scene.call("root-key", "GET", "/api/v1/jobs", { headers: { "x-tenant-id": odd } })).statusCode,
      ).toBe(403);
    }
  });

  it("are named in bodies and queries under the same rule", async () => {
    for (const member of ["org_id", "tenant_id"]) {
      expect((await scene.post("admin-key", "/api/v1/jobs", { prompt: "x", [member]: "other" })).json()).toMatchObject({
        status: 403,
        error: "tenant access denied",
      });
      const { job_id } = (await scene.post("root-key", "/api/v1/jobs", { prompt: "x", [member]: "other" })).json();
      expect((await scene.call("other-admin-key", "GET", `/api/v1/jobs/${job_id}`)).json()).toMatchObject({
        tenant: "other",
      });
      expect((await scene.call("root-key", "GET", `/api/v1/jobs/${job_id}`)).statusCode).toBe(404);
      expect(
        (await scene.call("root-key", "GET", `/api/v1/jobs/${job_id}`, { headers: { "x-tenant-id": "other" } }))
          .statusCode,
      ).toBe(200);
    }
    expect((await scene.call("admin-key", "GET", "/api/v1/jobs?tenant=other")).statusCode).toBe(403);
    expect((await scene.call("root-key", "GET", "/api/v1/jobs?tenant=other")).json().items.length).toBeGreaterThan(0);
  });
});

describe("a route", () => {
  const open = () =>
    createApp({
      auth: createAuth([], "t"),
      clock: scene.clock,
      log: silentLog(),
      meter: scene.meter,
      flight: new Flight(),
      denials: { note: () => undefined },
      settings: { ...DEFAULT_GATEWAY_SETTINGS, origins: parseOrigins([]).rules },
    });

  it("that names no permission does not start", () => {
    const app = open();
    expect(() => registerRoutes(app, () => app.get("/x", async () => "x"))).toThrow("names no permission");
    expect(() => registerRoutes(app, () => app.post("/x", { config: {} }, async () => "x"))).toThrow(
      "names no permission",
    );
  });

  it("whose handler breaks shows nothing of it", async () => {
    const app = open();
    registerRoutes(app, () =>
      app.get("/x", { config: { permission: "public" } }, async () =>
        Promise.reject(new TypeError("redis://:hunter2@host")),
      ),
    );
    const answer = await app.inject("/x");
    expect([answer.statusCode, answer.body.includes("hunter2"), answer.json().code]).toEqual([500, false, "INTERNAL"]);
    expect(answer.json().traceId).toBe(answer.headers["x-request-id"]);
    await app.close();
  });
});
