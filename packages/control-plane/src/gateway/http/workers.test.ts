// Draining workers over HTTP: who may, what is shown, when a worker is empty.

import { encodePacket, JobStatus, SUBJECTS } from "@cordum/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { virtualClock } from "../../adapters/system/virtual-clock.ts";
import type { Payload } from "../../testing/job-scene.ts";
import { openScene, type Scene } from "../testing/gateway-scene.ts";

const WORKERS = "/api/v1/workers";
const never = new AbortController().signal;
const clock = virtualClock();
let scene: Scene;
beforeEach(async () => {
  scene = await openScene({ operatorTenant: "acme" }, clock);
});
afterEach(() => scene.gateway.close());

async function pass(ms: number): Promise<void> {
  for (let past = 0; past < ms; past += 50) {
    await clock.advance(50);
    for (let turn = 0; turn < 10; turn++) await clock.advance(0);
  }
}
async function say(payload: Payload, subject: string): Promise<void> {
  const packet = encodePacket({ senderId: "w", protocolVersion: 1, payload });
  await scene.parts.jobParts.bus.publish(subject, packet, never);
  await pass(50);
}
async function addWorker(workerId: string, labels: Record<string, string> = {}): Promise<void> {
  const spec = { subject: `worker.${workerId}.jobs`, keep: false, inFlightMax: 10 };
  await scene.parts.jobParts.bus.subscribe(spec, async () => ({ kind: "ack" }));
  const value = { workerId, pool: "p", maxParallelJobs: 4, labels };
  await say(
    { kind: "handshake", value: { componentId: workerId, role: 3, readyTopics: ["job.default"] } },
    SUBJECTS.handshake,
  );
  await say({ kind: "heartbeat", value }, SUBJECTS.heartbeat);
}
const submit = async (): Promise<string> => {
  const { job_id } = (await scene.post("submitter-key", "/api/v1/jobs", { prompt: "x" })).json();
  await pass(50);
  return job_id;
};
const read = async (path = "", key = "viewer-key") => scene.call(key, "GET", `${WORKERS}${path}`);
const drain = (id: string, key = "operator-key", body: unknown = { reason: "new kernel" }) =>
  scene.post(key, `${WORKERS}/${id}/drain`, body);
const undrain = (id: string, key = "operator-key") => scene.post(key, `${WORKERS}/${id}/undrain`, null);

describe("draining a worker", () => {
  it("shows since when, by whom and why, how many jobs are left, and when it is empty", async () => {
    await addWorker("w1");
    const id = await submit();
    const drained = await drain("w1");
    expect(drained.statusCode).toBe(200);
    expect(drained.json()).toMatchObject({
      worker_id: "w1",
      online: true,
      draining: true,
      drain: { by_order: true, jobs_out: 1, empty: false, by: "operator", reason: "new kernel" },
    });
    const waiting = await submit();
    expect((await scene.call("viewer-key", "GET", `/api/v1/jobs/${waiting}`)).json().state).toBe("SCHEDULED");
    await say(
      { kind: "jobResult", value: { jobId: id, workerId: "w1", status: JobStatus.SUCCEEDED } },
      SUBJECTS.jobResult,
    );
    expect((await read()).json()).toMatchObject([
      { worker_id: "w1", draining: true, drain: { jobs_out: 0, empty: true } },
    ]);
    const back = (await undrain("w1")).json();
    expect(back).toMatchObject({ worker_id: "w1", draining: false });
    expect(back).not.toHaveProperty("drain");
    await pass(50);
    expect((await scene.call("viewer-key", "GET", `/api/v1/jobs/${waiting}`)).json().state).toBe("DISPATCHED");
  });

  it("is the same for a worker that says it itself, but for the order", async () => {
    await addWorker("w1", { draining: "true" });
    expect((await read("/w1")).json()).toMatchObject({ draining: true, drain: { by_order: false, empty: true } });
    const [listed] = (await read()).json();
    expect(listed.drain).not.toHaveProperty("by");
    expect((await undrain("w1")).json()).toMatchObject({ draining: true });
  });

  it("can be repeated, and taken back when the worker is silent", async () => {
    await addWorker("w1");
    await drain("w1", "operator-key", { reason: "one" });
    expect((await drain("w1", "admin-key", { reason: "two" })).json().drain).toMatchObject({
      by: "operator",
      reason: "one",
    });
    await pass(40_000);
    expect((await read("/w1")).json()).toMatchObject({ online: false, draining: true, drain: { empty: true } });
    expect((await read()).json()).toMatchObject([{ worker_id: "w1", online: false, draining: true }]);
    expect((await undrain("w1")).json()).toMatchObject({ online: false, draining: false });
    expect((await read("/w1")).statusCode).toBe(404);
    expect((await undrain("w1")).statusCode).toBe(404);
  });

  it("is for operators, without a body too; unknown workers do not exist", async () => {
    await addWorker("w1");
    for (const key of ["viewer-key", "submitter-key", "approver-key", "worker-key"])
      expect((await drain("w1", key)).statusCode).toBe(403);
    expect((await scene.call("operator-key", "POST", `${WORKERS}/w1/drain`)).statusCode).toBe(200);
    expect((await drain("w1", "operator-key", { reason: "x".repeat(513) })).statusCode).toBe(400);
    expect((await drain("nobody")).json()).toMatchObject({ status: 404, code: "WORKER_NOT_FOUND" });
  });
});

describe("the session of a worker", () => {
  const revoke = (id: string, key = "operator-key", body: unknown = null) =>
    scene.post(key, `${WORKERS}/${id}/revoke-session`, body);

  it("is none for a worker over NATS, whatever tenant it says it serves, nor for one that is silent", async () => {
    await addWorker("w1");
    await addWorker("w2", { "cordum.tenant": "acme" });
    await addWorker("acme.w3", { "cordum.tenant": "acme" });
    for (const id of ["w1", "w2", "acme.w3"])
      expect((await revoke(id)).json()).toEqual({ worker_id: id, tenant: "acme", revoked: false });
    for (const id of ["w4", "acme.w4", "acme.", "acme", "acme.w.4", "other.w1", "%20"])
      expect([id, (await revoke(id)).json()]).toMatchObject([id, { status: 404, code: "WORKER_NOT_FOUND" }]);
  });

  it("is ended by operators and admins alone", async () => {
    await addWorker("w1");
    for (const key of ["viewer-key", "submitter-key", "approver-key", "worker-key"])
      expect((await revoke("w1", key)).statusCode).toBe(403);
    expect((await revoke("w1", "admin-key")).statusCode).toBe(200);
    expect((await revoke("w1", "operator-key", { reason: "x".repeat(513) })).statusCode).toBe(400);
    await addWorker("other.w2", { "cordum.tenant": "other" });
    expect((await revoke("other.w2")).statusCode).toBe(404);
  });
});

describe("whose worker it is", () => {
  it("decides who may drain it: that of a tenant its own people, that of all those who operate the installation", async () => {
    await addWorker("w1");
    await addWorker("other.w2", { "cordum.tenant": "other" });
    expect((await drain("w1", "other-admin-key")).json()).toMatchObject({ status: 403, code: "TENANT_FORBIDDEN" });
    expect((await drain("other.w2", "operator-key")).json()).toMatchObject({ status: 404, code: "WORKER_NOT_FOUND" });
    expect((await read("/other.w2")).statusCode).toBe(404);
    expect((await drain("other.w2", "other-admin-key")).statusCode).toBe(200);
    expect((await drain("w1", "root-key")).statusCode).toBe(200);
  });

  it("decides who reads why it is drained", async () => {
    await addWorker("w1");
    await drain("w1");
    const [seen] = (await read("", "other-admin-key")).json();
    expect(seen).toMatchObject({ worker_id: "w1", draining: true, drain: { by_order: true } });
    expect(seen.drain).not.toHaveProperty("by");
    expect(seen.drain).not.toHaveProperty("reason");
    await addWorker("other.w2", { "cordum.tenant": "other" });
    await drain("other.w2", "other-admin-key");
    await pass(40_000);
    expect((await read()).json().map(({ worker_id }: { worker_id: string }) => worker_id)).toEqual(["w1"]);
  });
});

describe("the count of workers in the status", () => {
  it("is of the caller's tenant and of shared workers; of all for one who may cross tenants and names none", async () => {
    await addWorker("w1");
    await addWorker("acme.w2", { "cordum.tenant": "acme" });
    await addWorker("other.w3", { "cordum.tenant": "other" });
    await addWorker("other.w4", { "cordum.tenant": "other" });
    const count = async (key: string, headers: Record<string, string> = {}): Promise<number> =>
      (await scene.call(key, "GET", "/api/v1/status", { headers })).json().workers.count;
    expect(await count("viewer-key")).toBe(2);
    expect(await count("other-admin-key")).toBe(3);
    expect(await count("root-key")).toBe(4);
    expect(await count("root-key", { "x-tenant-id": "other" })).toBe(3);
  });
});
