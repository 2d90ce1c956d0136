import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { virtualClock } from "../../adapters/system/virtual-clock.ts";
import { readAudit } from "../../audit/read-audit.ts";
import { KEYS_PER_TENANT_MAX } from "../../keys/manage.ts";
import { Fault } from "../../ports/fault.ts";
import { createGateway } from "../gateway.ts";
import { createKeyAccess } from "../key-access.ts";
import { openScene, type Scene } from "../testing/gateway-scene.ts";

const never = new AbortController().signal;
const KEYS = "/api/v1/keys";
let scene: Scene;
beforeAll(async () => {
  scene = await openScene();
});
afterAll(() => scene[Symbol.asyncDispose]());

const create = (body: object, by = "admin-key", headers: Record<string, string> = {}) =>
  scene.call(by, "POST", KEYS, { payload: body, headers });
async function made(body: object = {}, by = "admin-key") {
  const answer = await create({ name: "k", roles: ["viewer"], ...body }, by);
  expect([answer.statusCode, answer.body.includes("cordum_")]).toEqual([201, true]);
  return answer.json();
}
const post = (path: string, body: object, by = "admin-key", headers: Record<string, string> = {}) =>
  scene.call(by, "POST", `${KEYS}/${path}`, { payload: body, headers });
const statusOf = async (key: string, url = "/api/v1/jobs") => (await scene.call(key, "GET", url)).statusCode;

describe("a made key", () => {
  it("opens the API with its roles, in its tenants, as its principal, and is shown without its secret afterwards", async () => {
    const key = await made({ name: " ci ", roles: ["submitter", "approver", "user"], principal_id: "build" });
    expect(key).toMatchObject({
      name: "ci",
      tenants: ["acme"],
      all_tenants: false,
      roles: ["submitter", "approver"],
      principal_id: "build",
      acts_for_others: false,
      state: "active",
      created_by: "admin",
      secrets: [{ created_at: expect.any(String) }],
    });
    const { job_id } = (await scene.post(key.secret, "/api/v1/jobs", { prompt: "x" })).json();
    expect((await scene.call(key.secret, "GET", `/api/v1/jobs/${job_id}`)).json()).toMatchObject({ tenant: "acme" });
    expect(await statusOf(key.secret, "/api/v1/approvals")).toBe(200);
    expect(await statusOf(key.secret, "/api/v1/dlq")).toBe(403);
    expect(await statusOf(key.secret, KEYS)).toBe(403);
    const { secret, ...shown } = key;
    for (const url of [`${KEYS}/${key.id}`, KEYS]) {
      const answer = await scene.call("admin-key", "GET", url);
      expect(answer.body).not.toContain(secret.slice(20));
      expect(answer.body).not.toContain("hash");
    }
    expect((await scene.call("admin-key", "GET", `${KEYS}/${key.id}`)).json()).toEqual(shown);
  });

  it("may work for several tenants, when its maker can reach them", async () => {
    const key = await made({ tenants: ["acme", "other"] }, "root-key");
    const list = (tenant: string) =>
      scene.call(key.secret, "GET", "/api/v1/jobs", { headers: { "x-tenant-id": tenant } });
    expect([(await list("acme")).statusCode, (await list("other")).statusCode]).toEqual([200, 200]);
    expect((await list("third")).json().code).toBe("TENANT_FORBIDDEN");
    expect((await scene.call("admin-key", "GET", `${KEYS}/${key.id}`)).statusCode).toBe(404);
    expect((await scene.call("other-admin-key", "GET", `${KEYS}/${key.id}`)).statusCode).toBe(404);
    expect((await scene.call("root-key", "GET", `${KEYS}/${key.id}`)).statusCode).toBe(200);
  });

  it.each<[string, object]>([
    ["name", { name: " " }],
    ["name", { name: "a\nb" }],
    ["name", { name: "x".repeat(129) }],
    ["roles", { roles: [] }],
    ["roles", { roles: ["king"] }],
    ["roles", { roles: Array.from({ length: 10_000 }, () => "viewer") }],
    ["tenants", { tenants: [] }],
    ["tenants", { tenants: ["a b"] }],
    ["expires_at", { expires_at: "tomorrow" }],
    ["expires_at", { expires_at: "2020-01-01T00:00:00Z" }],
    ["principal_id", { principal_id: "a\u0000" }],
  ])("is not made with a wrong %s", async (field, wrong) => {
    const answer = await create({ name: "k", roles: ["viewer"], ...wrong });
    expect([answer.statusCode, answer.json().errors[0].field]).toEqual([400, field]);
  });
});

describe("nobody gives away more than they have", () => {
  it.each<[string, string, object]>([
    ["another tenant", "TENANT_FORBIDDEN", { tenants: ["other"] }],
    ["another tenant beside one's own", "TENANT_FORBIDDEN", { tenants: ["acme", "other"] }],
    ["all tenants", "TENANT_FORBIDDEN", { all_tenants: true }],
  ])("%s", async (_, code, wish) => {
    expect((await create({ name: "k", roles: ["viewer"], ...wish })).json()).toMatchObject({ status: 403, code });
  });

  it("whoever crosses tenants makes keys in the tenant that the request works for", async () => {
    const there = { headers: { "x-tenant-id": "other" } };
    const answer = await scene.call("root-key", "POST", KEYS, { payload: { name: "k", roles: ["viewer"] }, ...there });
    expect(answer.json()).toMatchObject({ tenants: ["other"] });
    expect((await create({ name: "k", roles: ["viewer"], tenants: ["other"] }, "root-key")).json().code).toBe(
      "TENANT_FORBIDDEN",
    );
    expect((await made({ all_tenants: true }, "root-key")).all_tenants).toBe(true);
  });

  it("and only admins make keys", async () => {
    for (const role of ["operator", "approver", "submitter", "viewer", "worker"])
      expect((await create({ name: "k", roles: ["viewer"] }, `${role}-key`)).statusCode).toBe(403);
  });
});

describe("X-Principal-Id", () => {
  it("counts for keys that may act for others, and for no others", async () => {
    const named = { headers: { "x-principal-id": "grace", "x-principal-role": "admin" } };
    const submittedBy = async (key: string) => {
      const payload = { prompt: "x", topic: "job.ask" };
      const { job_id } = (await scene.call(key, "POST", "/api/v1/jobs", { payload, ...named })).json();
      const { items } = (await scene.call("admin-key", "GET", "/api/v1/approvals")).json();
      return items.find((item: { job_id: string }) => item.job_id === job_id)?.submitted_by;
    };
    expect(await submittedBy((await made({ roles: ["submitter"], acts_for_others: true })).secret)).toBe("grace");
    expect(await submittedBy((await made({ roles: ["submitter"], principal_id: "own" })).secret)).toBe("own");
    const { secret } = await made({ acts_for_others: true });
    const odd = await scene.call(secret, "GET", "/api/v1/jobs", { headers: { "x-principal-id": "x".repeat(257) } });
    expect(odd.statusCode).toBe(400);
  });
});

describe("a rotation", () => {
  it("leaves two secrets valid for the grace, and is refused while there are two", async () => {
    const first = await made();
    const second = (await post(`${first.id}/rotate`, { grace_seconds: 3_600 })).json();
    expect([await statusOf(first.secret), await statusOf(second.secret)]).toEqual([200, 200]);
    expect(second.secrets).toEqual([
      { created_at: expect.any(String) },
      expect.objectContaining({ valid_until: expect.any(String) }),
    ]);
    expect((await post(`${first.id}/rotate`, { grace_seconds: 1 })).json()).toMatchObject({
      status: 409,
      code: "KEY_IN_GRACE",
    });
    const third = (await post(`${first.id}/rotate`, { grace_seconds: 0 })).json();
    expect(await Promise.all([first, second, third].map(({ secret }) => statusOf(secret)))).toEqual([401, 401, 200]);
  });

  it("says how long the grace may be", async () => {
    const { id } = await made();
    for (const grace_seconds of [-1, 2_592_001])
      expect((await post(`${id}/rotate`, { grace_seconds })).json().errors).toMatchObject([{ field: "grace_seconds" }]);
    expect((await post(`${id}/rotate`, {})).statusCode).toBe(400);
  });
});

describe("a repeated call", () => {
  const again = { "idempotency-key": "once" };

  it("of create makes one key, whose lost secret is replaced", async () => {
    const body = { name: "one", roles: ["viewer"] };
    const [first, second] = [await create(body, "admin-key", again), await create(body, "admin-key", again)];
    expect([first.statusCode, second.statusCode, second.json().id]).toEqual([201, 201, first.json().id]);
    expect([await statusOf(first.json().secret), await statusOf(second.json().secret)]).toEqual([401, 200]);
    const other = await create({ ...body, name: "two" }, "admin-key", again);
    expect(other.json()).toMatchObject({ status: 409, code: "IDEMPOTENCY_CONFLICT" });
  });

  it("of rotate gives no third secret", async () => {
    const key = await made();
    const rotated = () => post(`${key.id}/rotate`, { grace_seconds: 60 }, "admin-key", again);
    const [first, second] = [(await rotated()).json(), (await rotated()).json()];
    expect(await Promise.all([key, first, second].map(({ secret }) => statusOf(secret)))).toEqual([200, 401, 200]);
  });
});

describe("a revocation", () => {
  it("ends all secrets at once, can be repeated, and leaves the key to be read", async () => {
    const key = await made();
    const second = (await post(`${key.id}/rotate`, { grace_seconds: 60 })).json();
    expect((await post(`${key.id}/revoke`, { reason: "leaked" })).json()).toMatchObject({
      state: "revoked",
      secrets: [],
    });
    expect([await statusOf(key.secret), await statusOf(second.secret)]).toEqual([401, 401]);
    expect((await post(`${key.id}/revoke`, {})).statusCode).toBe(200);
    expect((await post(`${key.id}/rotate`, { grace_seconds: 0 })).json().code).toBe("KEY_ENDED");
    const idsIn = async (query: string) =>
      (await scene.call("admin-key", "GET", `${KEYS}${query}`)).json().items.map(({ id }: { id: string }) => id);
    expect([(await idsIn("")).includes(key.id), (await idsIn("?state=ended")).includes(key.id)]).toEqual([false, true]);
  });

  it("of what nobody has, or another has, is not found", async () => {
    const theirs = await made({}, "other-admin-key");
    for (const id of [theirs.id, "00000000000", "nonsense", "x".repeat(400)])
      expect((await post(`${id}/revoke`, {})).json()).toMatchObject({ status: 404, code: "KEY_NOT_FOUND" });
  });
});

describe("what is done to keys", () => {
  it("is written down with who did it, and holds no secret", async () => {
    const key = await made({ name: "audited" });
    await post(`${key.id}/rotate`, { grace_seconds: 5, reason: "yearly" });
    await post(`${key.id}/revoke`, { reason: "leaked" });
    const entries = await readAudit(scene.core.parts.state, { tenant: "acme", limit: 1_000 }, never);
    const told = entries.filter(({ of }) => of.id === key.id);
    expect(told.map(({ action, reason, actor }) => [action, reason, actor.principal])).toEqual([
      ["key.create", "", "admin"],
      ["key.rotate", "yearly", "admin"],
      ["key.revoke", "leaked", "admin"],
    ]);
    expect(JSON.stringify(entries)).not.toContain("cordum_");
  });
});

describe("lists of keys", () => {
  it("go on page by page", async () => {
    await using own = await openScene();
    const ids = new Set<string>();
    for (let n = 0; n < 7; n++)
      ids.add((await own.post("admin-key", KEYS, { name: `k${n}`, roles: ["viewer"] })).json().id);
    const seen: string[] = [];
    for (let url: string | undefined = `${KEYS}?limit=3`; url !== undefined; ) {
      const page = await own.call("admin-key", "GET", url);
      seen.push(...page.json().items.map(({ id }: { id: string }) => id));
      url = /<([^>]+)>/.exec(String(page.headers.link ?? ""))?.[1];
    }
    expect([seen.length, new Set(seen)]).toEqual([7, ids]);
  });

  it("end: a tenant has a bounded number of keys", async () => {
    await using own = await openScene();
    for (let n = 0; n < KEYS_PER_TENANT_MAX; n++)
      await own.call("admin-key", "POST", KEYS, { payload: { name: "k", roles: ["viewer"] } });
    const refused = await own.call("admin-key", "POST", KEYS, { payload: { name: "k", roles: ["viewer"] } });
    expect(refused.json()).toMatchObject({ status: 409, code: "KEY_LIMIT" });
    expect(
      (await own.call("other-admin-key", "POST", KEYS, { payload: { name: "k", roles: ["viewer"] } })).statusCode,
    ).toBe(201);
  }, 30_000);
});

describe("over time", () => {
  const clock = virtualClock();
  let timed: Scene;
  beforeEach(async () => {
    timed = await openScene({}, clock);
    return () => timed[Symbol.asyncDispose]();
  });
  const make = async (body: object) =>
    (await timed.post("admin-key", KEYS, { name: "k", roles: ["viewer"], ...body })).json();
  const view = async (id: string) => (await timed.call("admin-key", "GET", `${KEYS}/${id}`)).json();

  it("a key that expires is refused from then on, cleared away, and gone after its retention", async () => {
    const expires_at = new Date(clock.now() + 5_000).toISOString();
    const key = await make({ expires_at });
    const use = async () => (await timed.call(key.secret, "GET", "/api/v1/jobs")).statusCode;
    expect([await use(), (await view(key.id)).state]).toEqual([200, "active"]);
    await clock.advance(5_000);
    expect([await use(), (await view(key.id)).state]).toEqual([401, "expired"]);
    await clock.advance(2_000);
    const ended = (await timed.call("admin-key", "GET", `${KEYS}?state=ended`)).json();
    expect(ended.items).toMatchObject([{ id: key.id, state: "expired", secrets: [] }]);
  });

  it("the last use is known to the minute, without a write per request", async () => {
    const key = await make({});
    const { state } = timed.core.parts;
    let commits = 0;
    const commit = state.commit.bind(state);
    state.commit = (batch, signal) => {
      if (batch.checks.some((check) => "key" in check && check.key.kind === "keyuse")) commits++;
      return commit(batch, signal);
    };
    const at = clock.now();
    for (let n = 0; n < 500; n++) await timed.call(key.secret, "GET", "/api/v1/traces/x");
    expect((await view(key.id)).last_used_at).toBeUndefined();
    await clock.advance(60_000);
    expect((await view(key.id)).last_used_at).toBe(new Date(at).toISOString());
    expect(commits).toBe(1);
  });
});

describe("another gateway on the same store", () => {
  it("knows a new key at its first use, and hears of its end at once", async () => {
    const { state, bus, clock, log } = scene.core.parts;
    const access = createKeyAccess(
      { state, bus, clock, log },
      { configured: [], openTenant: "default", isOpen: false },
    );
    await access.start();
    const other = await createGateway({ ...scene.parts, auth: access.auth, keys: access.keys });
    const there = async (key: string) =>
      (await other.inject({ url: "/api/v1/jobs", headers: { "x-api-key": key } })).statusCode;
    const key = await made();
    expect([await there(key.secret), await there(key.secret)]).toEqual([200, 200]);
    await post(`${key.id}/revoke`, {});
    expect(await there(key.secret)).toBe(401);
    await other.close();
    await access.settle(never);
  });
});

describe("while State is away", () => {
  it("known keys go on, unknown ones hear 503 and not 401, and neither costs the address anything", async () => {
    await using own = await openScene({ publicRateLimit: { rps: 0.001, burst: 3 } });
    const make = async () => (await own.post("admin-key", KEYS, { name: "k", roles: ["viewer"] })).json().secret;
    const [known, unknown] = [await make(), await make()];
    const ask = (key: string) => own.call(key, "GET", "/api/v1/workers");
    expect((await ask(known)).statusCode).toBe(200);
    const { state } = own.core.parts;
    state.get = () => Promise.reject(new Fault("STATE_UNAVAILABLE", "away"));
    expect((await ask(known)).statusCode).toBe(200);
    for (let n = 0; n < 5; n++) {
      const refused = await ask(unknown);
      expect([refused.statusCode, refused.json().code, refused.headers["retry-after"]]).toEqual([
        503,
        "STATE_UNAVAILABLE",
        "2",
      ]);
    }
    expect((await ask(known)).statusCode).toBe(200);
  });
});
