import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { readAudit } from "../../audit/read-audit.ts";
import { ROLES } from "../permissions.ts";
import { openScene, type Scene } from "../testing/gateway-scene.ts";

const ROUTE = "/api/v1/schemas";
const ID = "acme/In";
const SCHEMA = { type: "object", required: ["amount"], properties: { amount: { type: "number", minimum: 0 } } };
const NEVER = new AbortController().signal;

let scene: Scene;
const register = (body: object, key = "admin-key") => scene.post(key, ROUTE, body);
const read = (id: string, key = "viewer-key") => scene.call(key, "GET", `${ROUTE}/${id}`);
const remove = (id: string, key = "admin-key") => scene.call(key, "DELETE", `${ROUTE}/${id}`);
const list = async (key = "viewer-key", query = "") =>
  (await scene.call(key, "GET", `${ROUTE}${query}`)).json().schemas;

describe("the registry of schemas", () => {
  beforeEach(async () => {
    scene = await openScene({ operatorTenant: "acme" });
  });
  afterEach(() => scene[Symbol.asyncDispose]());

  it("gives back what was registered, under every spelling of its id, over a real socket", async () => {
    const answer = await register({ id: ` ${ID} `, schema: SCHEMA });
    expect([answer.statusCode, answer.body]).toEqual([204, ""]);
    const url = await scene.gateway.listen({ host: "127.0.0.1", port: 0 });
    for (const spelling of ["acme/In", "acme%2FIn", "acme%2fIn"]) {
      const got = await fetch(`${url}${ROUTE}/${spelling}`, { headers: { "x-api-key": "viewer-key" } });
      expect([got.status, await got.json()]).toEqual([200, { id: ID, schema: SCHEMA }]);
    }
    expect((await read("acme/Out")).json()).toMatchObject({ code: "SCHEMA_NOT_FOUND", error: "schema not found" });
    expect((await read("acme")).statusCode).toBe(404);
  });

  it("lists ids, registered last first, and forgets what is removed", async () => {
    expect(await list()).toEqual([]);
    for (const id of ["a/1", "b", "a/2"]) expect((await register({ id, schema: {} })).statusCode).toBe(204);
    expect([await list(), await list("viewer-key", "?limit=1")]).toEqual([["a/2", "b", "a/1"], ["a/2"]]);
    await register({ id: "b", schema: { title: "new" } });
    expect(await list()).toEqual(["b", "a/2", "a/1"]);
    expect((await read("b")).json().schema).toEqual({ title: "new" });
    expect([(await remove("a%2F2")).statusCode, (await remove("a/2")).statusCode]).toEqual([204, 204]);
    expect([await list(), (await read("a/2")).statusCode]).toEqual([["b", "a/1"], 404]);
  });

  it.each<[object, number, string, string, string]>([
    [{ schema: {} }, 400, "INVALID_REQUEST", "id", "schema id required"],
    [{ id: " ", schema: {} }, 400, "INVALID_REQUEST", "id", "schema id required"],
    [{ id: "a/../b", schema: {} }, 400, "INVALID_REQUEST", "id", "single slashes"],
    [{ id: "a//b", schema: {} }, 400, "INVALID_REQUEST", "id", "single slashes"],
    [{ id: "a\u0000b", schema: {} }, 400, "INVALID_REQUEST", "id", "256 characters"],
    [{ id: "a" }, 400, "INVALID_REQUEST", "schema", "JSON object"],
    [{ id: "a", schema: null }, 400, "INVALID_REQUEST", "schema", "JSON object"],
    [{ id: "a", schema: [] }, 400, "INVALID_REQUEST", "schema", "JSON object"],
    [{ id: "a", schema: { type: "objekt" } }, 400, "SCHEMA_INVALID", "schema", "/type must be"],
    [{ id: "a", schema: { pattern: "(" } }, 400, "SCHEMA_INVALID", "schema", "regular expression"],
    [{ id: "a", schema: { $ref: "file:///etc/passwd" } }, 400, "SCHEMA_INVALID", "schema", "resolve reference"],
    [{ id: "a", schema: { $schema: "urn:own" } }, 400, "SCHEMA_INVALID", "schema", "no dialect"],
    [{ id: "a", schema: {}, scope: "galaxy" }, 400, "INVALID_REQUEST", "scope", "tenant or system"],
  ])("refuses what cannot be used: %j", async (body, status, code, field, says) => {
    const answer = await register(body);
    expect([answer.statusCode, answer.json().code]).toEqual([status, code]);
    expect(answer.json().errors).toEqual([{ field, reason: expect.stringContaining(says) }]);
    expect(await list()).toEqual([]);
  });

  it("refuses what is too large, too long or nested too deep", async () => {
    const large = await register({ id: "a", schema: { title: "x".repeat(65_536) } });
    expect([large.statusCode, large.json().code]).toEqual([413, "PAYLOAD_TOO_LARGE"]);
    expect((await register({ id: "x".repeat(257), schema: {} })).json().errors[0].field).toBe("id");
    const deep = (levels: number): object => (levels === 0 ? {} : { not: deep(levels - 1) });
    expect((await register({ id: "a", schema: deep(63) })).statusCode).toBe(204);
    expect((await register({ id: "a", schema: deep(64) })).json().errors[0].reason).toContain("deeper than 64");
  });

  it("is read by all, and changed by admins", async () => {
    await register({ id: ID, schema: SCHEMA });
    for (const role of ROLES) {
      const key = `${role}-key`;
      expect([role, (await read(ID, key)).statusCode, (await list(key)).length]).toEqual([role, 200, 1]);
      const isAdmin = role === "admin";
      expect([role, (await register({ id: "b", schema: {} }, key)).statusCode]).toEqual([role, isAdmin ? 204 : 403]);
      expect([role, (await remove("b", key)).statusCode]).toEqual([role, isAdmin ? 204 : 403]);
    }
  });

  it("is each tenant's own, and finds the installation's behind it", async () => {
    await register({ id: ID, schema: { title: "acme" } });
    expect([await list("other-admin-key"), (await read(ID, "other-admin-key")).statusCode]).toEqual([[], 404]);
    await remove(ID, "other-admin-key");
    await register({ id: ID, schema: { title: "other" } }, "other-admin-key");
    expect((await read(ID)).json().schema).toEqual({ title: "acme" });
    const shared = { id: "all/In", schema: { title: "shared" }, scope: "system" };
    expect((await register(shared, "other-admin-key")).json().code).toBe("TENANT_FORBIDDEN");
    expect((await register(shared)).statusCode).toBe(204);
    expect((await register({ ...shared, id: ID }, "root-key")).statusCode).toBe(204);
    expect((await read("all/In", "other-admin-key")).json().schema).toEqual({ title: "shared" });
    expect((await read(ID, "other-admin-key")).json().schema).toEqual({ title: "other" });
    expect((await list("other-admin-key")).toSorted()).toEqual([ID, "all/In"]); // both may be of one millisecond
    expect((await remove("all/In?scope=system", "other-admin-key")).statusCode).toBe(403);
    await remove("all/In"); // which is none of the tenant's
    expect((await read("all/In")).statusCode).toBe(200);
    await remove("all/In?scope=system");
    expect((await read("all/In")).statusCode).toBe(404);
  });

  it("writes each change into the audit, and none where nothing changes", async () => {
    await register({ id: ID, schema: SCHEMA });
    await register({ id: ID, schema: SCHEMA });
    await register({ id: ID, schema: {} });
    await remove(ID);
    const within = scene.clock.deadline(NEVER, 1_000);
    const entries = await readAudit(scene.parts.jobParts.state, { tenant: "acme", limit: 10 }, within);
    expect(entries.map(({ action, of, actor }) => [action, of.id, actor.principal])).toEqual([
      ["schema.register", ID, "admin"],
      ["schema.register", ID, "admin"],
      ["schema.delete", ID, "admin"],
    ]);
  });
});

describe("payloads of a topic that names a schema", () => {
  beforeAll(async () => {
    scene = await openScene({ operatorTenant: "acme" });
    await register({ id: ID, schema: SCHEMA });
    const topics = { "job.pay": { input_schema_id: ID }, "job.lost": { input_schema_id: "acme/None" } };
    expect((await scene.post("admin-key", "/api/v1/config", { scope: "org", data: { topics } })).statusCode).toBe(204);
  });
  afterAll(() => scene[Symbol.asyncDispose]());
  const submit = (topic: string, context: unknown, more: object = {}, key = "submitter-key") =>
    scene.post(key, "/api/v1/jobs", { prompt: "x", topic, context, ...more });

  it("are let through when they keep to it, and named field by field when they do not", async () => {
    expect((await submit("job.pay", { amount: 3 })).statusCode).toBe(200);
    const answer = await submit("job.pay", { amount: -1 });
    expect([answer.statusCode, answer.headers["content-type"]]).toEqual([
      400,
      "application/problem+json; charset=utf-8",
    ]);
    expect(answer.json()).toMatchObject({
      code: "SCHEMA_VALIDATION_FAILED",
      detail: `the payload does not keep to schema ${ID}: context.amount must be >= 0`,
      errors: [{ field: "context.amount", reason: "must be >= 0" }],
    });
    expect((await submit("job.pay", {})).json().errors).toEqual([
      { field: "context", reason: "must have required property 'amount'" },
    ]);
    const { items } = (await scene.call("viewer-key", "GET", "/api/v1/jobs?topic=job.pay")).json();
    expect(items).toHaveLength(1);
  });

  it("are no other tenant's business, nor any other topic's", async () => {
    expect((await submit("job.pay", {}, {}, "other-admin-key")).statusCode).toBe(200);
    expect((await submit("job.echo", {})).statusCode).toBe(200);
  });

  it("say so when the schema is not there", async () => {
    const answer = await submit("job.lost", { amount: 1 });
    expect([answer.statusCode, answer.json().code]).toEqual([409, "SCHEMA_MISSING"]);
  });

  it("are judged one by one in a batch, and once under an idempotency key", async () => {
    const jobs = [
      { prompt: "x", topic: "job.pay", context: { amount: 1 } },
      { prompt: "x", topic: "job.pay", context: { amount: "1" } },
    ];
    const batch = (await scene.post("submitter-key", "/api/v1/jobs/batch", { jobs })).json();
    expect([batch.accepted, batch.refused, batch.items[1].problem.code]).toEqual([1, 1, "SCHEMA_VALIDATION_FAILED"]);
    const keyed = { idempotency_key: "once" };
    expect((await submit("job.pay", { amount: -1 }, keyed)).statusCode).toBe(400);
    const first = await submit("job.pay", { amount: 1 }, keyed);
    expect([first.statusCode, (await submit("job.pay", { amount: 1 }, keyed)).json().job_id]).toEqual([
      200,
      first.json().job_id,
    ]);
  });

  it("are told of places, never of what stands there", async () => {
    const context = { amount: "secret://vault/pay#pin", note: "hunter2" };
    const answer = await submit("job.pay", context);
    expect(answer.statusCode).toBe(400);
    expect(answer.body).not.toMatch(/vault|hunter2/);
  });

  it("that take too long to check are turned away for a while, without harm to others", async () => {
    await register({ id: "acme/Slow", schema: { properties: { a: { pattern: "^(x|x)*$" } } } });
    await scene.post("admin-key", "/api/v1/config", {
      scope: "team",
      scope_id: "slow",
      data: { topics: { "job.slow.check": { input_schema_id: "acme/Slow" } } },
    });
    const answer = await submit("job.slow.check", { a: `${"x".repeat(50)}y` }, { team_id: "slow" });
    expect([answer.statusCode, answer.json().code, answer.headers["retry-after"]]).toEqual([
      503,
      "SCHEMA_UNCHECKED",
      "2",
    ]);
    await register({ id: ID, schema: SCHEMA }, "other-admin-key");
    const data = { topics: { "job.pay": { input_schema_id: ID } } };
    await scene.post("other-admin-key", "/api/v1/config", { scope: "org", data });
    expect((await submit("job.pay", { amount: 1 }, {}, "other-admin-key")).statusCode).toBe(200);
    expect((await submit("job.pay", { amount: -1 }, {}, "other-admin-key")).statusCode).toBe(400);
  });
});
