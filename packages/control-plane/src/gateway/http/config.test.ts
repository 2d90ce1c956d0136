import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readAudit } from "../../audit/read-audit.ts";
import { ROLES } from "../permissions.ts";
import { openScene, type Scene } from "../testing/gateway-scene.ts";

let scene: Scene;
beforeEach(async () => {
  scene = await openScene({ operatorTenant: "acme" });
});
afterEach(() => scene[Symbol.asyncDispose]());

const ROUTE = "/api/v1/config";
const NAMED = { "x-tenant-id": "acme" };
type Headers = Record<string, string>;
const json = (headers: Headers) => ({ "content-type": "application/json", ...headers });
const post = (body: unknown, headers: Headers = {}, key = "admin-key") =>
  scene.call(key, "POST", ROUTE, { payload: JSON.stringify(body), headers: json(headers) });
const put = (body: unknown, headers: Headers = {}, key = "admin-key") =>
  scene.call(key, "PUT", ROUTE, { payload: JSON.stringify(body), headers: json(headers) });
const get = (query: string, headers: Headers = {}, key = "admin-key") =>
  scene.call(key, "GET", `${ROUTE}${query}`, { headers });
const effective = async (query = "", key = "viewer-key") =>
  (await scene.call(key, "GET", `${ROUTE}/effective${query}`)).json();

describe("config for older clients", () => {
  it("is a whole document that is replaced as a whole, its revision counted", async () => {
    const org = { scope: "org", data: { a: 1, b: { c: [null, "<"] } }, meta: { by: "cli" } };
    const answer = await post(org);
    expect([answer.statusCode, answer.body]).toEqual([204, ""]);
    const read = await get("?scope=org", {}, "viewer-key");
    expect(read.json()).toEqual({
      scope: "org",
      scope_id: "acme",
      data: org.data,
      meta: org.meta,
      revision: 1,
      updated_at: expect.stringMatching(/^\d{4}-.*Z$/),
      updated_by: "admin",
    });
    expect(read.headers.etag).toBe(answer.headers.etag);
    await post({ scope: "org", scope_id: "acme", data: { d: 1 } });
    const after = (await get("?scope=org&scope_id=acme")).json();
    expect([after.data, after.revision, "meta" in after]).toEqual([{ d: 1 }, 2, false]);
    await post({ scope: "org", data: null });
    expect((await get("?scope=org")).json()).toMatchObject({ data: null, revision: 3 });
    await post({ scope: "org" });
    expect((await get("?scope=org")).json()).toMatchObject({ data: null });
  });

  it("of the system has default as its id", async () => {
    expect((await get("")).json()).toMatchObject({ code: "CONFIG_NOT_FOUND", error: "config not found" });
    await post({ scope: "system", data: { a: 1 } });
    expect((await get("")).json()).toMatchObject({ scope: "system", scope_id: "default", data: { a: 1 } });
    await post({ scope: "system", scope_id: "packs", data: { installed: {} } });
    expect((await get("?scope=system&scope_id=packs")).json().data).toEqual({ installed: {} });
    expect((await effective()).data).toEqual({ a: 1 });
  });

  it.each<[unknown, string, string]>([
    [{}, "scope", "scope required"],
    [{ scope: " ", data: {} }, "scope", "scope required"],
    [{ scope: "galaxy" }, "scope", "scope must be"],
    [{ scope: "team" }, "scope_id", "scope_id required for non-system scope"],
    [{ scope: "team", scope_id: 7 }, "scope_id", "must be a text"],
    [{ scope: "team", scope_id: "x", data: [] }, "data", "data must be an object or null"],
    [{ scope: "team", scope_id: "x", data: "{}" }, "data", "data must be an object or null"],
    [{ scope: "team", scope_id: "x", meta: [] }, "meta", "meta must be an object of texts"],
    [{ scope: "team", scope_id: "x", meta: { a: 1 } }, "meta.a", "meta must be an object of texts"],
    [[], "body", "object"],
    [7, "body", "object"],
    [null, "body", "JSON object"],
  ])("is refused with the field that is wrong: %j", async (body, field, says) => {
    const answer = await post(body);
    expect([answer.statusCode, answer.headers["content-type"]]).toEqual([
      400,
      "application/problem+json; charset=utf-8",
    ]);
    expect(answer.json().errors).toEqual([{ field, reason: expect.stringContaining(says) }]);
  });

  it("is refused when it is no JSON, and when it would reach a prototype", async () => {
    for (const payload of ["{", "", '{"scope":"org","data":{"__proto__":{"a":1}}}'])
      expect((await scene.call("admin-key", "POST", ROUTE, { payload, headers: json({}) })).statusCode).toBe(400);
  });

  it.each([
    [{ safety: { denied_topics: 7 } }, 400, "CONFIG_SCHEMA_VIOLATION", "data.safety"],
    [{ topics: { "job.x": 7 } }, 400, "CONFIG_SCHEMA_VIOLATION", "data.topics"],
    [{ a: "x".repeat(20_000) }, 413, "PAYLOAD_TOO_LARGE", "data"],
  ])("is refused where it would be misunderstood or reach workers too large", async (data, status, code, field) => {
    const answer = await post({ scope: "org", data });
    expect([answer.statusCode, answer.json().code, answer.json().errors[0].field]).toEqual([status, code, field]);
    expect((await get("?scope=org")).statusCode).toBe(404);
  });
});

describe("config for later clients", () => {
  it("is the data alone, unless they ask for all of it; nothing at all is an empty object", async () => {
    expect([(await get("", NAMED)).json(), (await get("?scope=org", NAMED)).statusCode]).toEqual([{}, 404]);
    await post({ scope: "org", data: { scope: "org", revision: 7 } });
    expect((await get("?scope=org", NAMED)).json()).toEqual({ scope: "org", revision: 7 });
    expect((await get("?scope=org&envelope=true", NAMED)).json()).toMatchObject({ scope_id: "acme", revision: 1 });
    expect((await get("?scope=org", { "x-cordum-tenant": "acme" })).json()).toEqual({ scope: "org", revision: 7 });
  });

  it("is merged: by PUT, by those who name their tenant, and flat into the system's defaults", async () => {
    await post({ scope: "team", scope_id: "red", data: { a: 1, b: { x: 1 } } });
    expect((await put({ scope: "team", scope_id: "red", data: { b: { y: 1 } } })).statusCode).toBe(204);
    await post({ scope: "team", scope_id: "red", data: { c: null } }, NAMED);
    expect((await get("?scope=team&scope_id=red")).json()).toMatchObject({
      data: { a: 1, b: { y: 1 }, c: null },
      revision: 3,
    });
    await post({ limits: { n: 1 } });
    await put({ other: true });
    expect((await get("")).json().data).toEqual({ limits: { n: 1 }, other: true });
    const bundles = (await post({ bundles: {} })).json();
    expect([bundles.status, bundles.code]).toEqual([400, "CONFIG_KEY_FORBIDDEN"]);
  });
});

describe("changes", () => {
  it("may say what they expect to be there", async () => {
    const body = (n: number) => ({ scope: "step", scope_id: "s", data: { n } });
    const first = await post(body(1), { "if-match": "0" });
    expect(first.statusCode).toBe(204);
    for (const tag of ["0", '"0"', "7", '"1-other"', "W/x"]) {
      const answer = await post(body(2), { "if-match": tag });
      expect([tag, answer.statusCode, answer.json().code]).toEqual([tag, 409, "CONFIG_VERSION_CONFLICT"]);
    }
    const second = await post(body(2), { "if-match": String(first.headers.etag) });
    expect(second.statusCode).toBe(204);
    expect((await put(body(3), { "if-match": String(first.headers.etag) })).statusCode).toBe(409);
    expect((await put(body(3), { "if-match": "2" })).statusCode).toBe(204);
    expect((await put(body(4), { "if-match": "x".repeat(200) })).statusCode).toBe(400);
    expect((await get("?scope=step&scope_id=s")).json()).toMatchObject({ data: { n: 3 }, revision: 3 });
  });

  it("can be taken back", async () => {
    await post({ scope: "step", scope_id: "s", data: { a: 1 } });
    const remove = (query: string, headers: Headers = {}) =>
      scene.call("admin-key", "DELETE", `${ROUTE}${query}`, { headers });
    expect((await remove("")).json().errors[0].field).toBe("scope");
    expect((await remove("?scope=step&scope_id=s", { "if-match": "2" })).statusCode).toBe(409);
    expect((await remove("?scope=step&scope_id=s", { "if-match": "1" })).statusCode).toBe(204);
    expect((await remove("?scope=step&scope_id=s")).statusCode).toBe(204);
    expect((await get("?scope=step&scope_id=s")).statusCode).toBe(404);
  });

  it("are in the audit log of those who made them", async () => {
    await post({ scope: "system", data: { a: 1 } });
    await put({ scope: "org", data: { b: 1 } });
    const entries = await readAudit(
      scene.parts.jobParts.state,
      { tenant: "acme", limit: 10 },
      scene.clock.deadline(NEVER, 1_000),
    );
    expect(entries.map(({ action, of, actor }) => [action, of.id, actor.principal])).toEqual([
      ["config.replace", "default", "admin"],
      ["config.merge", "acme", "admin"],
    ]);
  });

  it("count for the very next job", async () => {
    const submit = async () =>
      (await scene.post("submitter-key", "/api/v1/jobs?evaluate=true", { prompt: "x", topic: "job.echo" })).statusCode;
    const before = await submit();
    await post({ scope: "org", data: { safety: { denied_topics: ["job.echo"] } } });
    expect([before, await submit()]).toEqual([200, 403]);
    await scene.call("admin-key", "DELETE", `${ROUTE}?scope=org`);
    expect(await submit()).toBe(200);
  });
});

const NEVER = new AbortController().signal;

describe("who may", () => {
  it("read and change: people read, admins change, the system's documents are admins' alone", async () => {
    await post({ scope: "system", data: { a: 1 } });
    await post({ scope: "org", data: { b: 1 } });
    for (const role of ROLES) {
      const key = `${role}-key`;
      const isPerson = role !== "worker";
      expect([role, (await get("?scope=org", {}, key)).statusCode]).toEqual([role, isPerson ? 200 : 403]);
      expect([role, (await get("", {}, key)).statusCode]).toEqual([role, role === "admin" ? 200 : 403]);
      expect([role, (await post({ scope: "org", data: {} }, {}, key)).statusCode]).toEqual([
        role,
        role === "admin" ? 204 : 403,
      ]);
      const view = await scene.call(key, "GET", `${ROUTE}/effective`);
      expect([role, view.statusCode]).toEqual([role, isPerson ? 200 : 403]);
    }
  });

  it("change what holds for all tenants: those who run the installation, or may work for any tenant", async () => {
    for (const body of [{ scope: "system", data: {} }, { scope: "system", scope_id: "topics" }, { flat: 1 }])
      for (const send of [post, put]) {
        const foreign = await send(body, {}, "other-admin-key");
        expect([foreign.statusCode, foreign.json().code]).toEqual([403, "TENANT_FORBIDDEN"]);
        expect((await send(body, {}, "root-key")).statusCode).toBe(204);
        expect((await send(body)).statusCode).toBe(204);
      }
    expect((await scene.call("other-admin-key", "DELETE", `${ROUTE}?scope=system`)).statusCode).toBe(403);
    expect((await get("")).json().data).toEqual({ flat: 1 });
  });

  it("see what: a tenant's documents are there for no other, read or changed, whatever the id", async () => {
    for (const scope of ["org", "team", "workflow", "step"]) {
      const id = scope === "org" ? "" : "&scope_id=x";
      await post({ scope, scope_id: scope === "org" ? "" : "x", data: { whose: "acme" } });
      expect((await get(`?scope=${scope}${id}`, {}, "other-admin-key")).statusCode).toBe(404);
      await post({ scope, scope_id: scope === "org" ? "" : "x", data: { whose: "other" } }, {}, "other-admin-key");
      await scene.call("other-admin-key", "DELETE", `${ROUTE}?scope=${scope}${id}`);
      expect((await get(`?scope=${scope}${id}`)).json().data).toEqual({ whose: "acme" });
    }
    expect((await get("?scope=org&scope_id=acme", {}, "other-admin-key")).json().code).toBe("TENANT_FORBIDDEN");
    expect((await post({ scope: "org", scope_id: "acme" }, {}, "other-admin-key")).statusCode).toBe(403);
    expect((await get("?scope=org&scope_id=acme", {}, "root-key")).json().data).toEqual({ whose: "acme" });
    const named = "?team_id=x&workflow_id=x&step_id=x";
    expect((await effective(named, "other-admin-key")).data).toEqual({});
    expect((await effective(`${named}&org_id=acme`, "other-admin-key")).code).toBe("TENANT_FORBIDDEN");
    expect((await effective(`${named}&org_id=other`, "root-key")).data).toEqual({});
    expect((await effective(named)).data).toEqual({ whose: "acme" });
  });
});

describe("the effective view", () => {
  it("shows what holds: no admin of a tenant raises or removes what the installation limits", async () => {
    const limits = (most: number) => ({ limits: { max_concurrent_jobs: most } });
    await post({ scope: "system", data: limits(1) }, {}, "root-key");
    expect((await post({ scope: "org", data: limits(1_000) }, {}, "other-admin-key")).statusCode).toBe(204);
    expect((await effective("", "other-admin-key")).data).toEqual(limits(1));
    expect((await get("?scope=org", {}, "other-admin-key")).json().data).toEqual(limits(1_000));
    const submit = async () => (await scene.post("other-admin-key", "/api/v1/jobs", { prompt: "x" })).statusCode;
    expect([await submit(), await submit()]).toEqual([200, 429]);
    await scene.call("other-admin-key", "DELETE", `${ROUTE}?scope=org`);
    expect(await submit()).toBe(429);
    await scene.call("root-key", "DELETE", `${ROUTE}?scope=system`);
    expect(await submit()).toBe(200);
  });

  it("merges all layers of whom it is asked for, with version and hash", async () => {
    await post({ scope: "system", data: { pools: { p: {} }, a: { x: 1 } } });
    await post({ scope: "org", data: { a: { y: 1 } } });
    await post({ scope: "step", scope_id: "s", data: { b: "<" } });
    expect(await effective("?step_id=s&team_id=none")).toEqual({
      version: "system:1|org:1|team:0|workflow:0|step:1",
      // printf '{"a":{"y":1},"b":"\\u003c","pools":{"p":{}}}' | sha256sum
      hash: "bcb0df3f45fd1a512ddc2a73b4743dcb7bb124a52af2975c46dcdc5875cd9c20",
      data: { pools: { p: {} }, a: { y: 1 }, b: "<" },
    });
    expect((await effective()).version).toBe("system:1|org:1|team:0|workflow:0|step:0");
  });
});
