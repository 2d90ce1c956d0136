import { contextKey, encodePacket, JobStatus, pointerTo, SUBJECTS } from "@cordum/protocol";
import { afterEach, describe, expect, it } from "vitest";
import { approveJob } from "../approvals/answer.ts";
import { addressOf, type Scope } from "../config/document.ts";
import { FRESH_MS } from "../config/effective-configs.ts";
import { type By, removeConfig, replaceConfig } from "../config/use-config.ts";
import { Fault } from "../ports/fault.ts";
import type { JsonObject } from "../ports/json.ts";
import { COMMAND, type JobScene, NEVER, openJobScene, type SceneOptions } from "../testing/job-scene.ts";
import { withSending, withState } from "../testing/scene-ports.ts";
import { addWorker, type SceneWorker } from "../testing/scene-worker.ts";
import type { JobParts } from "./job-parts.ts";
import { EFFECTIVE_CONFIG_ENV } from "./job-request.ts";
import { submitJob } from "./submit.ts";

const ACTOR = { tenant: "acme", principal: "root", role: "admin", keyId: "k" };
const BY: By = { tenant: "acme", actor: ACTOR };
const DENY_ECHO = { safety: { denied_topics: ["job.ech*"] } };

let scene: JobScene;
let worker: SceneWorker;
async function open(options: SceneOptions = {}): Promise<void> {
  scene = await openJobScene(options);
  worker = await addWorker(scene, { topics: ["job.echo", "job.ask"], capacity: 100 });
  await scene.quiet();
}
afterEach(() => scene.settle());

function partsFor({ state, bus, clock, log, configs }: JobParts) {
  return { state, bus, clock, log, storeTimeoutMs: 1_000, forget: configs.forget.bind(configs) };
}
async function set(scope: Scope, data: JsonObject, id = "", parts = scene.parts): Promise<void> {
  await replaceConfig(addressOf(scope, id, "acme"), { data, meta: {} }, "", BY, partsFor(parts), NEVER);
  await scene.quiet();
}
const envOf = (jobId: string) => {
  const request = worker.seen.find((each) => each.jobId === jobId);
  if (request === undefined) throw new Error("the worker has not seen the job");
  return request.env[EFFECTIVE_CONFIG_ENV];
};
async function sent(over: Parameters<JobScene["submit"]>[0] = {}): Promise<string | undefined> {
  const { jobId } = await scene.submit(over);
  await scene.until(jobId, "DISPATCHED");
  return envOf(jobId);
}

describe("what is configured for a job", () => {
  it("is in its env as canonical JSON, without what workers have no business with; nothing where there is none", async () => {
    await open();
    expect(await sent()).toBeUndefined();
    await set("system", { pools: { p: {} }, model: "small" }, "default");
    await set("org", { b: "<b>", a: 1 });
    await set("team", { a: 2 }, "red");
    expect(await sent()).toBe('{"a":1,"b":"\\u003cb\\u003e","model":"small"}');
    expect(await sent({ team: "red" })).toBe('{"a":2,"b":"\\u003cb\\u003e","model":"small"}');
    expect(await sent({ team: "blue" })).toBe(await sent());
  });

  it("goes by workflow and step of the request; what a client puts in its place is dropped", async () => {
    await open();
    await set("workflow", { at: "workflow", w: 1 }, "flow");
    await set("step", { at: "step" }, "s1");
    const value = {
      jobId: "run:s1@1",
      topic: "job.echo",
      tenantId: "acme",
      workflowId: "flow",
      contextPtr: pointerTo(contextKey("run:s1@1")),
      env: { step_id: "s1", [EFFECTIVE_CONFIG_ENV]: '{"at":"client"}' },
    };
    const packet = { senderId: "engine", protocolVersion: 1, payload: { kind: "jobRequest", value } } as const;
    await scene.bus.publish(SUBJECTS.jobSubmit, encodePacket(packet), NEVER);
    await scene.until("run:s1@1", "DISPATCHED");
    expect(envOf("run:s1@1")).toBe('{"at":"step","w":1}');
  });

  it("is the tenant's own", async () => {
    await open();
    await set("org", { whose: "acme" });
    const other = await addWorker(scene, { id: "w2", capacity: 10 });
    await scene.quiet();
    const { jobId } = await scene.submit({ tenant: "other" });
    await scene.until(jobId, "DISPATCHED");
    const seen = [...other.seen, ...worker.seen].find((request) => request.jobId === jobId);
    expect(seen?.env[EFFECTIVE_CONFIG_ENV]).toBeUndefined();
  });

  it("costs a tenant that has none no read of the store, job for job", async () => {
    let reads = 0;
    await open({
      state: (real) =>
        withState(real, {
          get: (keys, signal) => {
            if (keys.some(({ kind }) => kind === "config")) reads++;
            return real.get(keys, signal);
          },
        }),
    });
    for (let n = 0; n < 50; n++) await scene.submit({ team: `t${n}` });
    expect(reads).toBe(1);
  });

  it("changes no approval: its hash is of the request alone", async () => {
    await open();
    const { jobId } = await scene.submit({ topic: "job.ask" });
    await set("org", { a: 1 });
    await approveJob(jobId, { tenant: "acme", actor: ACTOR, reason: "", note: "" }, scene.parts, NEVER);
    await scene.until(jobId, "DISPATCHED");
    expect(envOf(jobId)).toBe('{"a":1}');
  });
});

describe("a limit on open jobs", () => {
  it("turns one more away, for the tenant that it is set for, until one has ended", async () => {
    await open();
    await set("org", { limits: { max_concurrent_jobs: 2 }, rate_limits: { queue_size: "1" } });
    const [first] = [await scene.submit(), await scene.submit({ topic: "job.ask" }), await scene.submit()];
    await expect(scene.submit()).rejects.toMatchObject({
      code: "BACKPRESSURE",
      message: "3 jobs of the tenant are open, at most 3 are allowed",
    });
    expect((await scene.submit({ tenant: "other" })).isRepeat).toBe(false);
    await worker.result({ jobId: first?.jobId ?? "", status: JobStatus.SUCCEEDED });
    await scene.until(first?.jobId ?? "", "SUCCEEDED");
    await scene.submit();
    await expect(scene.submit()).rejects.toMatchObject({ code: "BACKPRESSURE" });
  });

  it("is at most what the installation sets, whatever the tenant writes, from the next job on", async () => {
    await open();
    await set("org", { limits: { max_concurrent_jobs: 3 }, a: 1 });
    await scene.submit();
    await scene.submit();
    await set("system", { limits: { max_concurrent_jobs: 2 } }, "default");
    const message = "2 jobs of the tenant are open, at most 2 are allowed";
    await expect(scene.submit()).rejects.toMatchObject({ code: "BACKPRESSURE", message });
    await set("team", { limits: { max_concurrent_jobs: 1_000 }, rate_limits: { queue_size: 1_000 } }, "red");
    await expect(scene.submit({ team: "red" })).rejects.toMatchObject({ code: "BACKPRESSURE", message });
    await set("org", { limits: null });
    await expect(scene.submit()).rejects.toMatchObject({ code: "BACKPRESSURE", message });
    await set("system", { limits: { max_concurrent_jobs: 10 } }, "default");
    expect(await sent({ team: "red" })).toBe('{"limits":{"max_concurrent_jobs":10},"rate_limits":{"queue_size":0}}');
  });

  it("counts for jobs from the bus: one beyond it is a dead letter, and one that is there already is left alone", async () => {
    await open();
    await set("org", { limits: { max_concurrent_jobs: 1 } });
    const put = async (jobId: string): Promise<string> => {
      const value = { jobId, topic: "job.echo", tenantId: "acme" };
      const packet = { senderId: "client", protocolVersion: 1, payload: { kind: "jobRequest", value } } as const;
      await scene.bus.publish(SUBJECTS.jobSubmit, encodePacket(packet), NEVER);
      await scene.quiet();
      return (await scene.load(jobId)).phase.state;
    };
    expect(await put("one")).toBe("DISPATCHED");
    expect(await put("two")).toBe("FAILED");
    expect((await scene.load("two")).phase).toMatchObject({
      outcome: { code: "backpressure", message: "1 jobs of the tenant are open, at most 1 are allowed" },
    });
    expect(await put("one")).toBe("DISPATCHED");
    await worker.result({ jobId: "one", status: JobStatus.SUCCEEDED });
    await scene.until("one", "SUCCEEDED");
    expect(await put("three")).toBe("DISPATCHED");
  });

  it("lets a repeat of a submit through: its job is there already", async () => {
    await open();
    await set("org", { limits: { max_concurrent_jobs: 1 } });
    const first = await scene.submit({ idempotencyKey: "once" });
    expect(await scene.submit({ idempotencyKey: "once" })).toMatchObject({ jobId: first.jobId, isRepeat: true });
    await expect(scene.submit({ idempotencyKey: "twice" })).rejects.toMatchObject({ code: "BACKPRESSURE" });
  });
});

describe("a safety section", () => {
  it("denies what it names, for the scope it stands in, and says so", async () => {
    await open();
    await set("team", DENY_ECHO, "red");
    const { jobId, job } = await scene.submit({ team: "red" });
    expect(job.phase).toMatchObject({ state: "DENIED" });
    expect((await scene.load(jobId)).decisions.at(-1)?.decision).toMatchObject({
      kind: "deny",
      reason: "topic 'job.echo' denied by effective config",
    });
    expect(await sent({ team: "blue" })).toBeUndefined();
    await set("org", { safety: { allowed_topics: ["job.other"] } });
    expect((await scene.submit({ team: "blue" })).state).toBe("DENIED");
  });

  it("G1 holds for jobs that were allowed before and still wait, and for those that a person has allowed", async () => {
    await open();
    await worker.die();
    await scene.pass(40_000); // nobody is there any more
    const { jobId } = await scene.submit();
    expect((await scene.load(jobId)).phase.state).toBe("SCHEDULED");
    const asked = await scene.submit({ topic: "job.ask" });
    await set("org", { safety: { denied_topics: ["job.*"] } });
    await approveJob(asked.jobId, { tenant: "acme", actor: ACTOR, reason: "", note: "" }, scene.parts, NEVER);
    worker = await addWorker(scene, { topics: ["job.echo", "job.ask"], instance: "2" });
    for (const id of [jobId, asked.jobId])
      expect((await scene.until(id, "DENIED")).steps.some(({ state }) => state === "DISPATCHED")).toBe(false);
    expect(worker.seen).toEqual([]);
  });

  it("can only tighten: what policy denies stays denied", async () => {
    await open();
    await set("org", { safety: { allowed_topics: ["job.no.*"] } });
    expect((await scene.submit({ topic: "job.no.x" })).state).toBe("DENIED");
  });
});

describe("configuration that cannot be read", () => {
  it("G2 lets no job pass: it is refused at the door, and nothing is judged without it", async () => {
    let isAway = false;
    await open({
      state: (real) =>
        withState(real, {
          get: (keys, signal) =>
            isAway && keys.some(({ kind }) => kind === "config")
              ? Promise.reject(new Fault("STATE_UNAVAILABLE", "away"))
              : real.get(keys, signal),
        }),
    });
    await set("org", DENY_ECHO);
    isAway = true;
    await expect(scene.submit()).rejects.toMatchObject({ code: "STATE_UNAVAILABLE" });
    isAway = false;
    expect((await scene.submit()).state).toBe("DENIED");
  });
});

describe("two processes", () => {
  it("use a change at once where its news arrive, and soon where they are lost", async () => {
    let isMute = false;
    await open({
      shared: true,
      bus: (real) =>
        withSending(real, {
          publish: (subject, bytes, signal) =>
            isMute && subject === SUBJECTS.configChanged ? Promise.resolve() : real.publish(subject, bytes, signal),
        }),
    });
    const second = await scene.addCore();
    await scene.pass(3_000);
    const here = async (parts: JobParts) => (await submitJob(COMMAND, parts, NEVER)).state;
    await here(second.parts);
    await set("org", DENY_ECHO);
    expect([await here(scene.parts), await here(second.parts)]).toEqual(["DENIED", "DENIED"]);
    isMute = true;
    await removeConfig(addressOf("org", "", "acme"), "", BY, partsFor(second.parts), NEVER);
    expect(await here(second.parts)).not.toBe("DENIED");
    await scene.pass(FRESH_MS);
    expect(await here(scene.parts)).not.toBe("DENIED");
  });
});
