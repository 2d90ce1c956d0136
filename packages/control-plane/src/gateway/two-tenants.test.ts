// Two tenants, every route: tenant acme has one of everything; tenant other tries every route of the API's own description with acme's ids and
// must be told exactly what it is told about ids that nobody has. Routes are found, not listed: a new one whose parameters this file does not
// know fails here until somebody has said what they stand for.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openScene, type Scene } from "./testing/gateway-scene.ts";
import { hearOfWorker } from "./testing/known-worker.ts";
import { bodyOf, queryOf, type RouteRow, routesOf } from "./testing/route-table.ts";

const MARKER = "acme-secret-marker";
const WORKER = "acme.worker-of-acme";

/** A thing of acme, and the name of one that does not exist. */
interface Thing {
  readonly theirs: string;
  readonly absent: string;
}

/** What acme has, by the place of its id in a path: the part before the parameter, and the parameter. */
type Fixtures = { readonly [place: string]: readonly Thing[] };

async function furnish(scene: Scene): Promise<Fixtures> {
  const made = async (key: string, url: string, body: object): Promise<string> => {
    const answer = await scene.post(key, url, body);
    const { id, job_id } = answer.json();
    expect([url, answer.statusCode < 300]).toEqual([url, true]);
    return id ?? job_id;
  };
  const marked = { prompt: MARKER, labels: { marker: MARKER }, capability: MARKER, team_id: MARKER };
  const job = (topic: string) => made("submitter-key", "/api/v1/jobs", { ...marked, topic });
  const [done, asked, denied] = [await job("job.echo"), await job("job.ask"), await job("job.no.x")];
  const letter = await scene.call("admin-key", "GET", `/api/v1/dlq/${denied}`);
  const jobs = [done, asked, denied].map((theirs) => ({ theirs, absent: "nowhere" }));
  const lock = { resource: MARKER, owner: "o" };
  expect((await scene.post("admin-key", "/api/v1/locks/acquire", lock)).statusCode).toBe(200);
  const uploaded = await scene.post("admin-key", "/api/v1/artifacts", { content: MARKER });
  const artifact: string = uploaded.json().artifact_ptr;
  hearOfWorker(scene, WORKER, "acme");
  const key = await made("admin-key", "/api/v1/keys", { name: MARKER, roles: ["viewer"] });
  for (const scope of ["org", "team", "workflow", "step"])
    expect((await scene.post("admin-key", "/api/v1/config", configOf(scope, MARKER))).statusCode).toBe(204);
  const schema = "acme-pack/In";
  const registered = await scene.post("admin-key", "/api/v1/schemas", { id: schema, schema: { title: MARKER } });
  expect(registered.statusCode).toBe(204);
  return {
    "schemas/{schema_id}": [{ theirs: schema, absent: "nowhere/In" }],
    "jobs/{id}": jobs,
    "traces/{id}": jobs.slice(0, 1),
    "approvals/{job_id}": jobs.slice(1, 2),
    "dlq/{job_id}": jobs.slice(2, 3),
    "dlq/signature": [{ theirs: letter.json().signature, absent: "0123456789abcdef" }],
    "artifacts/{artifact_ptr}": [{ theirs: artifact, absent: "redis://art:00000000-0000-4000-8000-000000000000" }],
    "workers/{id}": [{ theirs: WORKER, absent: "acme.nobody" }],
    "keys/{id}": [{ theirs: key, absent: "00000000000" }],
  };
}

const configOf = (scope: string, id: string) => ({
  scope,
  ...(scope === "org" ? {} : { scope_id: id }),
  data: { marker: MARKER },
});

const NOTHING: Thing = { theirs: "", absent: "" };
/** Query parameters that point at something of acme's, with what they would say. */
const POINTING: { readonly [name: string]: (things: Fixtures) => Thing } = {
  trace_id: (things) => things["traces/{id}"]?.[0] ?? NOTHING,
  resource: () => ({ theirs: MARKER, absent: "no-such-lock-either" }),
  scope_id: () => ({ theirs: MARKER, absent: "no-such-document" }),
  org_id: () => ({ theirs: "acme", absent: "nobody" }),
  team_id: () => ({ theirs: MARKER, absent: "no-such-team" }),
  workflow_id: () => ({ theirs: MARKER, absent: "no-such-workflow" }),
  step_id: () => ({ theirs: MARKER, absent: "no-such-step" }),
  team: () => ({ theirs: MARKER, absent: "no-such-team" }),
  tenant: () => ({ theirs: "acme", absent: "nobody" }),
  tenant_id: () => ({ theirs: "acme", absent: "nobody" }),
  signature: (things) => things["dlq/signature"]?.[0] ?? NOTHING,
  ptr: (things) => pointerOf(things, "redis://ctx:"),
  key: (things) => pointerOf(things, "ctx:"),
};
const pointerOf = (things: Fixtures, prefix: string): Thing => {
  const { theirs, absent } = things["jobs/{id}"]?.[0] ?? NOTHING;
  return { theirs: prefix + theirs, absent: prefix + absent };
};
/** Query parameters that point at nothing. A cursor is a place in a list, which every tenant has for itself. */
const PLAIN = new Set(
  "limit cursor state topic updated_after updated_before created_after created_before reason_code include_resolved kinds subject held evaluate max_bytes scope envelope".split(
    " ",
  ),
);

const lockOf = (id: "theirs" | "absent") => ({
  resource: id === "theirs" ? MARKER : "no-such-lock-either",
  owner: "o",
});

/** Members of bodies that name something which could be another tenant's, with the route's whole body. */
const POINTING_BODIES: { readonly [operation: string]: (id: "theirs" | "absent") => object } = {
  renewLock: (id) => lockOf(id),
  breakLock: (id) => lockOf(id),
  releaseLock: (id) => lockOf(id),
  registerSchema: (id) => ({ id: id === "theirs" ? "acme-pack/In" : "nowhere/In", schema: {} }),
  replaceConfig: (id) => ({ scope: "team", scope_id: id === "theirs" ? MARKER : "no-such-team", data: {} }),
  submitJob: (id) => ({ prompt: "x", tenant_id: id === "theirs" ? "acme" : "nobody" }),
};
/** Members of bodies that look like names of things and are none: the caller's own words, or names of the caller's own. */
const PLAIN_MEMBERS = new Set([
  ..."adapter_id memory_id team_id project_id principal_id actor_id pack_id org_id tenant_id idempotency_key resource remediation_id".split(
    " ",
  ),
]);
const LOOKS_LIKE_A_NAME = /(^|_)(id|ids|ptr|ptrs|pointer|key|keys|resource|ref)$/;

/** A body that gets as far as looking for the thing. */
const BODIES: { readonly [operation: string]: object } = {
  rotateKey: { grace_seconds: 60 },
};
/** Routes whose answer does not end by itself; said with the test that covers them. */
const STREAMING: { readonly [operation: string]: string } = { streamJob: "http/job-stream.test.ts" };

let scene: Scene;
let routes: readonly RouteRow[];
let things: Fixtures;
beforeAll(async () => {
  scene = await openScene();
  routes = (await routesOf(scene)).filter(
    ({ permission, operation }) => permission !== "public" && !((operation.operationId ?? "") in STREAMING),
  );
  things = await furnish(scene);
});
afterAll(() => scene[Symbol.asyncDispose]());

const say = ({ method, path }: RouteRow) => `${method} ${path}`;
const placesOf = ({ path }: RouteRow) =>
  [...path.matchAll(/([^/]+)\/(\{\w+\})/g)].map(([, before, parameter]) => `${before}/${parameter}`);

/** The paths of a route with acme's ids, each beside the same path with ids that nobody has. */
function pathsOf(route: RouteRow): readonly { readonly theirs: string; readonly absent: string }[] {
  const places = placesOf(route);
  const counts = places.map((place) => things[place]?.length ?? 0);
  return Array.from({ length: Math.max(...counts) }, (_, at) => {
    const fill = (id: "theirs" | "absent") =>
      places.reduce((path, place) => {
        const those = things[place] ?? [];
        const value = those[at % those.length]?.[id] ?? "";
        return path.replace(/\{\w+\}/, encodeURIComponent(value));
      }, route.path);
    return { theirs: fill("theirs"), absent: fill("absent") };
  });
}

async function ask(key: string, route: RouteRow, url: string, body?: object) {
  const payload = body ?? BODIES[route.operation.operationId ?? ""] ?? {};
  const hasBody = route.method === "POST" || route.method === "PUT";
  const headers = { accept: "application/json" };
  return scene.call(key, route.method, url, hasBody ? { payload, headers } : { headers });
}
type Answer = Awaited<ReturnType<typeof ask>>;

/** All that an answer says, without the ids that were asked for and what differs from call to call. */
function told(answer: Answer, asked: string): readonly unknown[] {
  const ids = asked.split(/[/?=&]/).filter((part) => part.length > 5 && part !== "api");
  const plain = ids.reduce((text, id) => text.replaceAll(id, "·").replaceAll(decodeURIComponent(id), "·"), answer.body);
  return [
    answer.statusCode,
    answer.headers["content-type"],
    plain.replaceAll(String(answer.headers["x-request-id"]), "·"),
  ];
}

describe("a tenant that asks for another's things", () => {
  it("is asked about on every route that there is", () => {
    const unknown = routes.flatMap((route) => [
      ...placesOf(route)
        .filter((place) => things[place] === undefined)
        .map((place) => `${say(route)}: furnish() makes nothing for ${place}`),
      ...queryOf(route)
        .filter((name) => !PLAIN.has(name) && !(name in POINTING))
        .map((name) => `${say(route)}: is ?${name}= PLAIN or POINTING?`),
      ...bodyOf(route)
        .filter((name) => LOOKS_LIKE_A_NAME.test(name) && !PLAIN_MEMBERS.has(name))
        .filter(() => !((route.operation.operationId ?? "") in POINTING_BODIES))
        .map(
          (name) => `${say(route)}: does the member ${name} of the body name a thing? PLAIN_MEMBERS or POINTING_BODIES`,
        ),
    ]);
    expect(unknown).toEqual([]);
    expect(routes.filter((route) => placesOf(route).length > 0).length).toBeGreaterThan(10);
  });

  it("is told by every route with an id what it is told about an id that nobody has, and changes nothing", async () => {
    const readable = routes.filter((route) => route.method === "GET" && placesOf(route).length > 0);
    const look = async () => {
      const seen: string[] = [];
      for (const route of readable)
        for (const { theirs } of pathsOf(route)) seen.push((await ask("admin-key", route, theirs)).body);
      return seen.map((text) => text.replace(/"traceId":"[^"]*"|"heartbeat_age_seconds":\d+/g, ""));
    };
    const before = await look();
    for (const route of routes.filter((each) => placesOf(each).length > 0)) {
      for (const { theirs, absent } of pathsOf(route)) {
        const [foreign, nowhere] = [
          await ask("other-admin-key", route, theirs),
          await ask("other-admin-key", route, absent),
        ];
        expect([say(route), ...told(foreign, theirs)]).toEqual([say(route), ...told(nowhere, absent)]);
        expect([say(route), foreign.statusCode]).not.toEqual([say(route), 400]);
        expect(foreign.body).not.toContain(MARKER);
      }
    }
    expect(await look()).toEqual(before);
  });

  it("is told by every list that it has nothing, whatever of another's the question names", async () => {
    for (const route of routes.filter((each) => placesOf(each).length === 0)) {
      const bare = await ask("other-admin-key", route, route.path);
      for (const { theirs } of [...Object.values(things).flat(), { theirs: MARKER }])
        expect([say(route), bare.body.includes(theirs)]).toEqual([say(route), false]);
      for (const name of queryOf(route).filter((each) => each in POINTING)) {
        const thing = POINTING[name]?.(things) ?? NOTHING;
        const [theirs, absent] = [`${route.path}?${name}=${thing.theirs}`, `${route.path}?${name}=${thing.absent}`];
        const foreign = await ask("other-admin-key", route, theirs);
        const nowhere = await ask("other-admin-key", route, absent);
        expect([say(route), name, ...told(foreign, theirs)]).toEqual([say(route), name, ...told(nowhere, absent)]);
      }
    }
  });

  it("is told by every body that names another's thing what it is told about one that is not there", async () => {
    for (const route of routes) {
      const body = POINTING_BODIES[route.operation.operationId ?? ""];
      if (body === undefined) continue;
      const foreign = await ask("other-admin-key", route, route.path, body("theirs"));
      const nowhere = await ask("other-admin-key", route, route.path, body("absent"));
      expect([say(route), ...told(foreign, route.path)]).toEqual([say(route), ...told(nowhere, route.path)]);
    }
  });

  // Last, because it changes things: what was refused above was there to be refused.
  it("would have been told more if they were its own", async () => {
    const order = { GET: 0, PUT: 1, POST: 2, DELETE: 3 };
    const inOrder = routes.toSorted((a, b) => order[a.method] - order[b.method]);
    for (const route of inOrder.filter((each) => placesOf(each).length > 0)) {
      for (const { theirs } of pathsOf(route).slice(0, 1)) {
        const foreign = await ask("other-admin-key", route, theirs);
        const own = await ask("admin-key", route, theirs);
        expect([say(route), [400, 404, 405].includes(own.statusCode)]).toEqual([say(route), false]);
        if (route.method !== "DELETE") expect(told(own, theirs)).not.toEqual(told(foreign, theirs));
      }
    }
  });
});
