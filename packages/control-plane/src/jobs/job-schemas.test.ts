import { contextKey, encodePacket, pointerTo, SUBJECTS } from "@cordum/protocol";
import { afterEach, describe, expect, it } from "vitest";
import { inlineJudge } from "../adapters/ajv/inline-judge.ts";
import { addressOf } from "../config/document.ts";
import { replaceConfig } from "../config/use-config.ts";
import { findDeadLetter } from "../dead-letters/resolve.ts";
import type { JsonObject } from "../ports/json.ts";
import { FRESH_MS } from "../schemas/known-schemas.ts";
import { registerSchema, removeSchema } from "../schemas/use-schemas.ts";
import { COMMAND, type JobScene, NEVER, openJobScene, resultsOf, type SceneOptions } from "../testing/job-scene.ts";
import { withState } from "../testing/scene-ports.ts";
import { addWorker } from "../testing/scene-worker.ts";
import type { SchemaEnforcement } from "./job-parts.ts";
import { requestOf } from "./job-request.ts";
import { remediateJob } from "./remediate.ts";
import { submitJob } from "./submit.ts";

const ACTOR = { tenant: "acme", principal: "root", role: "admin", keyId: "k" };
const BY = { tenant: "acme", actor: ACTOR };
const AMOUNT = { type: "object", required: ["amount"], properties: { amount: { type: "number" } } };
const FAILED = { code: "SCHEMA_VALIDATION_FAILED" };

let scene: JobScene;
async function open(schemaEnforcement: SchemaEnforcement = "enforce", more: SceneOptions = {}): Promise<void> {
  scene = await openJobScene({ ...more, settings: { schemaEnforcement } });
}
afterEach(() => scene.settle());

const schemaParts = () => ({
  ...scene.parts,
  judge: inlineJudge(),
  forget: (address: { owner: string; id: string }) => scene.parts.schemas.forget(address),
  storeTimeoutMs: 1_000,
});
const register = (id: string, schema: JsonObject, owner = "acme") =>
  registerSchema({ owner, id }, schema, BY, schemaParts(), NEVER);
/** `names`: topic and schema. */
async function name(scope: "system" | "org", names: Readonly<Record<string, string>>, tenant = "acme"): Promise<void> {
  const topics = Object.fromEntries(Object.entries(names).map(([topic, id]) => [topic, { input_schema_id: id }]));
  const { configs } = scene.parts;
  const parts = { ...scene.parts, storeTimeoutMs: 1_000, forget: configs.forget.bind(configs) };
  const written = scope === "system" ? { data: topics, meta: {} } : { data: { topics }, meta: {} };
  await replaceConfig(addressOf(scope, "topics", tenant), written, "", BY, parts, NEVER);
  await scene.quiet();
}
const good = { context: { amount: 1 } };
const bad = { context: { amount: "one" } };

describe("a payload", () => {
  it("C1 is checked at submission, and its violations are named", async () => {
    await open();
    await register("acme/In", AMOUNT);
    await name("org", { "job.echo": "acme/In" });
    expect((await scene.submit(good)).state).not.toBe("FAILED");
    await expect(scene.submit(bad)).rejects.toMatchObject({
      ...FAILED,
      fields: [{ field: "context.amount", reason: "must be number" }],
    });
    expect((await scene.submit({ ...bad, tenant: "other" })).state).not.toBe("FAILED");
    expect((await scene.submit({ ...bad, topic: "job.small" })).state).not.toBe("FAILED");
    expect([...scene.counts].filter(([metric]) => metric.startsWith("cordum_schema_checks_total"))).toEqual([
      ["cordum_schema_checks_total valid", 1],
      ["cordum_schema_checks_total violated", 1],
    ]);
  });

  it("has to keep to what the installation names and to what its tenant names", async () => {
    await open();
    await register("all/In", AMOUNT, "");
    await register("own/In", { required: ["purpose"] });
    await name("system", { "job.echo": "all/In" });
    await name("org", { "job.echo": "own/In" });
    await expect(scene.submit(good)).rejects.toMatchObject(FAILED);
    await expect(scene.submit({ context: { purpose: "x" } })).rejects.toMatchObject(FAILED);
    await scene.submit({ context: { amount: 1, purpose: "x" } });
    // A tenant's own schema under the installation's id takes nothing away.
    await register("all/In", {});
    await expect(scene.submit({ context: { purpose: "x" } })).rejects.toMatchObject(FAILED);
  });

  it("is checked against the schema of this moment, in every process soon", async () => {
    await open("enforce", { shared: true });
    const second = await scene.addCore();
    await scene.pass(3_000);
    await register("acme/In", AMOUNT);
    await name("org", { "job.echo": "acme/In" });
    const there = () => submitJob({ ...COMMAND, ...bad }, second.parts, NEVER);
    await expect(there()).rejects.toMatchObject(FAILED);
    await register("acme/In", {});
    await scene.submit(bad);
    await scene.pass(FRESH_MS);
    await there();
    await removeSchema({ owner: "acme", id: "acme/In" }, BY, schemaParts(), NEVER);
    await expect(scene.submit(good)).rejects.toMatchObject({ code: "SCHEMA_MISSING" });
  });

  it("costs no read of a schema, job for job, and none at all where no topic names one", async () => {
    let reads = 0;
    await open("enforce", {
      state: (real) =>
        withState(real, {
          get: (keys, signal) => {
            if (keys.some(({ kind }) => kind === "schema")) reads++;
            return real.get(keys, signal);
          },
        }),
    });
    for (let n = 0; n < 10; n++) await scene.submit(good);
    expect(reads).toBe(0);
    await register("acme/In", AMOUNT);
    await name("org", { "job.echo": "acme/In" });
    reads = 0;
    for (let n = 0; n < 10; n++) await scene.submit(good);
    expect(reads).toBe(1);
  });

  it("is checked anew when policy's offer sends it to another topic", async () => {
    await open();
    await register("acme/In", AMOUNT);
    await name("org", { "job.echo": "acme/In" });
    const remedy = async (over: typeof good | typeof bad) => {
      const { jobId } = await scene.submit({ ...over, topic: "job.better" });
      return remediateJob(jobId, { ...BY, remediationId: "" }, scene.parts, NEVER);
    };
    await expect(remedy(bad)).rejects.toMatchObject(FAILED);
    expect((await scene.load((await remedy(good)).jobId)).topic).toBe("job.echo");
  });
});

describe("enforcement", () => {
  it("may be a note in the log, but for schemas that are not there", async () => {
    await open("warn");
    await register("acme/In", AMOUNT);
    await name("org", { "job.echo": "acme/In", "job.small": "acme/None" });
    await scene.submit(bad);
    const noted = scene.said.filter(({ event }) => event === "schema.not_kept");
    expect(noted.map(({ fields }) => [fields.topic, fields.schemaId, fields.outcome])).toEqual([
      ["job.echo", "acme/In", "violated"],
    ]);
    expect(JSON.stringify(noted)).not.toContain("one");
    await expect(scene.submit({ topic: "job.small" })).rejects.toMatchObject({ code: "SCHEMA_MISSING" });
  });

  it("may be off", async () => {
    await open("off");
    await name("org", { "job.echo": "acme/None" });
    expect((await scene.submit(bad)).state).not.toBe("FAILED");
  });
});

describe("a job that comes over the bus", () => {
  const publish = async (jobId: string, context: unknown, key = contextKey(jobId)): Promise<void> => {
    if (context !== undefined) await scene.payloads.put(key, Buffer.from(JSON.stringify(context)), 60_000, NEVER);
    const value = { jobId, topic: "job.echo", tenantId: "acme", contextPtr: pointerTo(key) };
    const packet = { senderId: "client", protocolVersion: 1, payload: { kind: "jobRequest", value } } as const;
    await scene.bus.publish(SUBJECTS.jobSubmit, encodePacket(packet), NEVER);
    await scene.quiet();
  };

  it("runs when its payload does, and else fails with a dead letter that says why", async () => {
    await open();
    const worker = await addWorker(scene, {});
    await register("acme/In", AMOUNT);
    await name("org", { "job.echo": "acme/In" });
    await publish("good", { amount: 1 });
    await publish("wrapped", { prompt: "x", context: { amount: 1 } });
    await publish("bad", { amount: "one" });
    await publish("empty", undefined);
    expect(worker.seen.map(({ jobId }) => jobId)).toEqual(["good", "wrapped"]);
    for (const id of ["bad", "empty"]) {
      const { phase } = await scene.load(id);
      expect(phase).toMatchObject({ state: "FAILED", outcome: { code: "schema_validation_failed" } });
      expect(await findDeadLetter(id, "acme", scene.state, NEVER)).toBeDefined();
      expect(resultsOf(scene, id)).toHaveLength(1);
    }
    await publish("bad", { amount: "one" }); // which changes nothing
    expect((await scene.load("bad")).steps).toHaveLength(2);
  });

  it("is checked by its own context alone: a schema asks no question about what is another's", async () => {
    await open();
    await addWorker(scene, {});
    await register("acme/In", AMOUNT);
    await name("org", { "job.echo": "acme/In" });
    const { jobId } = await scene.submit({ tenant: "victim", context: { amount: 1 } });
    const asked: string[] = [];
    const { get } = scene.payloads;
    scene.payloads.get = (key, signal) => {
      asked.push(key);
      return get.call(scene.payloads, key, signal);
    };
    for (const key of [contextKey(jobId), `res:${jobId}`, "cordum:{0}:key:k1", "cordum:store"]) {
      await publish(`asks-${asked.length}-${key.length}`, undefined, key);
      const { phase } = await scene.load(`asks-${asked.length}-${key.length}`);
      expect(phase).toMatchObject({ state: "FAILED", outcome: { code: "schema_validation_failed" } });
    }
    expect(asked).toEqual([]);
  });

  it("is checked by what a gateway has stored, when one rings with it", async () => {
    await open();
    await register("acme/In", AMOUNT);
    await name("org", { "job.echo": "acme/In" });
    const { jobId } = await scene.submit({ ...good, idempotencyKey: "k" });
    const request = requestOf(await scene.load(jobId));
    const packet = {
      senderId: "gateway",
      protocolVersion: 1,
      payload: { kind: "jobRequest", value: request },
    } as const;
    await scene.bus.publish(SUBJECTS.jobSubmit, encodePacket(packet), NEVER);
    await scene.quiet();
    expect(scene.said.filter(({ event }) => event === "schema.not_kept")).toEqual([]);
  });

  it("fails when the schema is not there", async () => {
    await open();
    await name("org", { "job.echo": "acme/None" });
    await publish("lost", { amount: 1 });
    expect((await scene.load("lost")).phase).toMatchObject({
      state: "FAILED",
      outcome: { code: "schema_not_found", message: expect.stringContaining("acme/None") },
    });
  });
});
