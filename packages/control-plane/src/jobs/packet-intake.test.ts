// What comes over the bus from anybody: jobs, and bytes that are none.

import {
  decodeJobRequest,
  encodeJobRequest,
  encodePacket,
  type JobRequest,
  jobRequestBytes,
  SUBJECTS,
  wrapJobRequest,
} from "@cordum/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { WORKERS_MAX } from "../scheduling/registry.ts";
import { HEARTBEAT } from "../testing/blanks.ts";
import { type JobScene, NEVER, openJobScene } from "../testing/job-scene.ts";
import { addWorker } from "../testing/scene-worker.ts";
import { JOB_KIND } from "./job-store.ts";

type RequestInit = Parameters<typeof encodeJobRequest>[0];

let scene: JobScene;
beforeEach(async () => {
  scene = await openJobScene();
});
afterEach(async () => {
  await scene.settle();
  expect(scene.said.filter((said) => said.level === "error")).toEqual([]);
});

const REQUEST: RequestInit = { jobId: "j1", topic: "job.echo", tenantId: "acme", principalId: "ada" };
const publish = async (subject: string, bytes: Uint8Array): Promise<void> => {
  await scene.bus.publish(subject, bytes, NEVER);
  await scene.quiet();
};
const submit = (over: RequestInit = {}, traceId = "t1"): Promise<void> =>
  publish(
    SUBJECTS.jobSubmit,
    encodePacket({
      senderId: "client",
      traceId,
      protocolVersion: 1,
      payload: { kind: "jobRequest", value: { ...REQUEST, ...over } },
    }),
  );
const jobIds = (): readonly string[] =>
  scene.state.dump().records.flatMap(({ stored }) => (stored.key.kind === JOB_KIND ? [stored.key.id] : []));
const refusals = (): readonly unknown[] =>
  scene.said.filter((said) => said.event === "submit.refused").map((said) => said.fields.field);
const alerts = (): readonly string[] => scene.sent(SUBJECTS.alert, "alert").map((alert) => alert.code);

const LISTENED = [
  SUBJECTS.jobSubmit,
  SUBJECTS.jobResult,
  SUBJECTS.jobProgress,
  SUBJECTS.jobCancel,
  SUBJECTS.heartbeat,
  SUBJECTS.handshake,
];

describe("a packet that is no good", () => {
  const encode = (over: Partial<Parameters<typeof encodePacket>[0]>): Uint8Array =>
    encodePacket({ senderId: "mallory", protocolVersion: 1, ...over });

  it.each([
    ["noise", Uint8Array.from({ length: 64 }, (_, at) => (at * 37) % 256), "PROTOCOL_MALFORMED_PACKET"],
    ["half a packet", encode({ traceId: "t".repeat(50) }).slice(0, 20), "PROTOCOL_MALFORMED_PACKET"],
    ["300 KiB", encode({ traceId: "t".repeat(300 * 1024) }), "PROTOCOL_MALFORMED_PACKET"],
    ["nothing", new Uint8Array(), "PROTOCOL_UNKNOWN_PAYLOAD"],
    ["a later version", encode({ protocolVersion: 2 }), "PROTOCOL_VERSION_MISMATCH"],
    [
      "a payload of another subject",
      encode({ payload: { kind: "alert", value: { message: "hello" } } }),
      "PROTOCOL_UNKNOWN_PAYLOAD",
    ],
    ["a payload of a later release", Uint8Array.from([...encode({}), 0xfa, 0x06, 0x00]), "PROTOCOL_UNKNOWN_PAYLOAD"],
  ])("is refused on every subject, counted and said: %s", async (_, bytes, code) => {
    for (const subject of LISTENED) await publish(subject, bytes);
    expect(alerts()).toEqual(LISTENED.map(() => code));
    expect(scene.counts.get(`cordum_scheduler_validation_rejections_total ${code}`)).toBe(LISTENED.length);
    expect(scene.said.filter((said) => said.event === "bus.message_refused")).toHaveLength(LISTENED.length);
    expect(jobIds()).toEqual([]);
  });

  it("does not fit on the bus when it has 5 MB", async () => {
    await expect(submit({ adapterId: "x".repeat(5 << 20) })).rejects.toMatchObject({ code: "PAYLOAD_TOO_LARGE" });
  });

  it("does not stop those that come after", async () => {
    await publish(SUBJECTS.jobSubmit, Uint8Array.from([0xff, 0xff]));
    await submit();
    expect(jobIds()).toEqual(["j1"]);
  });

  it("names its sender within bounds", async () => {
    await publish(SUBJECTS.jobSubmit, encode({ senderId: "s".repeat(60_000), protocolVersion: 9 }));
    expect(scene.sent(SUBJECTS.alert, "alert")[0]?.details.offending_sender).toHaveLength(256);
  });
});

describe("a job from the bus", () => {
  it.each([
    ["", "job_id"],
    ["../../etc", "job_id"],
    ["a..b", "job_id"],
    ["a/b", "job_id"],
    ["a b", "job_id"],
    ["a\nb", "job_id"],
    ["__proto__", "job_id"],
    ["-rf", "job_id"],
    ["jöb", "job_id"],
    ["a\u0000", "job_id"],
    ["j".repeat(257), "job_id"],
  ])("may not be called %j", async (jobId, field) => {
    await submit({ jobId });
    expect(refusals()).toEqual([field]);
    expect(jobIds()).toEqual([]);
  });

  it.each(["constructor", "run-1:step@2", "a.b_c-d[0]", "j".repeat(256), " padded "])(
    "may be called %j",
    async (jobId) => {
      await submit({ jobId });
      expect(jobIds()).toEqual([jobId.trim()]);
    },
  );

  it.each<[RequestInit, string]>([
    [{ topic: "" }, "topic"],
    [{ topic: "sys.job.result" }, "topic"],
    [{ topic: "job.>" }, "topic"],
    [{ topic: "job.*.x" }, "topic"],
    [{ tenantId: "a:b" }, "tenant_id"],
    [{ tenantId: "acme", env: { tenant_id: "other" } }, "tenant_mismatch"],
    [{ tenantId: "acme", meta: { tenantId: "other" } }, "tenant_mismatch"],
    [{ env: { team_id: "t".repeat(513) } }, "team_id"],
    [{ env: { team_id: "a\nb" } }, "team_id"],
    [{ principalId: "p".repeat(513) }, "principal_id"],
    [
      { labels: Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`l${n}`, "x".repeat(4_000)])) },
      "request_bytes",
    ],
  ])("is refused for %j", async (over, field) => {
    await submit(over);
    expect(refusals()).toEqual([field]);
    expect(jobIds()).toEqual([]);
  });

  it.each<[RequestInit, string]>([
    [{ tenantId: "", meta: { tenantId: "m" } }, "m"],
    [{ tenantId: "", env: { tenant_id: "e" } }, "e"],
    [{ tenantId: "" }, "default"],
    [{ tenantId: "a", meta: { tenantId: "a" }, env: { tenant_id: "a" } }, "a"],
  ])("belongs to one tenant: %j", async (over, tenant) => {
    await submit(over);
    expect((await scene.load("j1")).tenant).toBe(tenant);
  });

  it("is judged, placed and sent like any other", async () => {
    const worker = await addWorker(scene);
    await submit({ env: { team_id: "red" }, priority: 3, budget: { deadlineMs: 60_000 } }, "trace-9");
    const job = await scene.load("j1");
    expect(job).toMatchObject({ team: "red", priority: "critical", traceId: "trace-9", principal: "ada" });
    expect(job.wakes.deadline).toBe(scene.clock.now() + 60_000);
    expect(worker.seen.map((request) => request.jobId)).toEqual(["j1"]);
    await submit({ jobId: "j2", topic: "job.no.way" });
    expect((await scene.load("j2")).phase.state).toBe("DENIED");
  });

  it("loses what only the control plane says", async () => {
    const worker = await addWorker(scene, { topics: ["job.echo", "job.ask"] });
    const ours = { approval_granted: "true", approval_snapshot: "s", "cordum.bus_msg_id": "m" };
    const decided = { CORDUM_EFFECTIVE_CONFIG: "{}", CORDUM_POLICY_CONSTRAINTS: "{}", CORDUM_MAX_RETRIES: "99" };
    await submit({
      labels: { ...ours, keep: "1" },
      meta: { labels: { ...ours, keep: "2" } },
      env: { ...decided, keep: "3" },
    });
    const [seen] = worker.seen;
    expect({ ...seen?.labels }).toEqual({ keep: "1" });
    expect({ ...seen?.meta?.labels }).toEqual({ keep: "2" });
    expect({ ...seen?.env }).toEqual({ keep: "3" });
    await submit({ jobId: "j2", topic: "job.ask", labels: ours });
    expect((await scene.load("j2")).phase.state).toBe("APPROVAL_REQUIRED");
  });

  it("keeps fields of newer clients, byte for byte, up to the worker", async () => {
    const packets: Uint8Array[] = [];
    await addWorker(scene, { listens: "nowhere" });
    await scene.bus.subscribe({ subject: "worker.w1.jobs", keep: false, inFlightMax: 1 }, async (bytes) => {
      packets.push(bytes);
      return { kind: "ack" };
    });
    const unknown = Uint8Array.from([0xfa, 0x7f, 0x03, 0x61, 0x62, 0x63]); // field 2047, "abc"
    const request = Uint8Array.from([...encodeJobRequest(REQUEST), ...unknown]);
    await publish(SUBJECTS.jobSubmit, wrapJobRequest(request, { senderId: "client", protocolVersion: 1 }));
    const sent = jobRequestBytes(packets[0] ?? new Uint8Array()) ?? new Uint8Array();
    expect(Buffer.from(sent.subarray(0, request.length)).equals(Buffer.from(request))).toBe(true);
    const read: JobRequest = decodeJobRequest(sent);
    expect(read.dispatch?.attempt).toBe(1);
    expect(Buffer.from(encodeJobRequest(read)).includes(Buffer.from(unknown))).toBe(true);
  });

  it("is one job when its packet comes again, and is not rung for out of its turn", async () => {
    const worker = await addWorker(scene, { topics: ["job.small"], answer: () => ({ status: 6 }) });
    await submit({ topic: "job.small" });
    expect((await scene.load("j1")).phase).toMatchObject({ state: "SCHEDULED", waiting: "retry_backoff" });
    await submit({ topic: "job.small" });
    expect((await scene.load("j1")).phase).toMatchObject({ state: "SCHEDULED", waiting: "retry_backoff" });
    expect(worker.seen).toHaveLength(1);
    expect(refusals()).toEqual([]);
    expect(jobIds()).toEqual(["j1"]);
    expect(scene.counts.get("cordum_scheduler_jobs_received_total job.small")).toBe(1);
  });

  it("may not take the id of another: of another tenant, of other content, or of a job over HTTP", async () => {
    const worker = await addWorker(scene);
    await submit();
    await submit({ tenantId: "other" });
    await submit({ labels: { x: "1" } });
    const { jobId } = await scene.submit({ idempotencyKey: "k" });
    await submit({ jobId });
    expect(refusals()).toEqual(["job_id_taken", "job_id_taken", "job_id_taken"]);
    expect((await scene.load("j1")).tenant).toBe("acme");
    expect(worker.seen.map((request) => request.jobId)).toEqual(["j1", jobId]);
  });

  it("does not let a squatter answer for somebody's idempotency key", async () => {
    const { jobId } = await scene.submit({ idempotencyKey: "k", tenant: "victim" });
    const fresh = await openJobScene();
    await fresh.bus.publish(
      SUBJECTS.jobSubmit,
      encodePacket({ protocolVersion: 1, payload: { kind: "jobRequest", value: { ...REQUEST, jobId } } }),
      NEVER,
    );
    await fresh.quiet();
    await expect(fresh.submit({ idempotencyKey: "k", tenant: "victim" })).rejects.toMatchObject({
      code: "IDEMPOTENCY_CONFLICT",
    });
    await fresh.settle();
  });
});

describe("workers that nobody has", () => {
  const presence = (kind: "heartbeat" | "handshake", id: string, words: readonly string[] = []): Promise<void> => {
    const payload =
      kind === "heartbeat"
        ? ({ kind, value: { workerId: id, pool: "p", capabilities: words } } as const)
        : ({ kind, value: { componentId: id, readyTopics: words } } as const);
    return publish(SUBJECTS[kind], encodePacket({ senderId: id, protocolVersion: 1, payload }));
  };
  const rejected = (reason: string) => scene.counts.get(`cordum_scheduler_validation_rejections_total ${reason}`);

  it("are taken in up to a number, and push nobody out", async () => {
    const { registry } = scene.parts;
    await addWorker(scene);
    for (let n = 1; n < WORKERS_MAX; n++) registry.hear({ ...HEARTBEAT, workerId: `made-up-${n}` }, scene.clock.now());
    await presence("heartbeat", "one-too-many");
    expect(registry.find("one-too-many", scene.clock.now())).toBeUndefined();
    expect(rejected("workers")).toBe(1);
    await presence("heartbeat", "w1");
    expect(registry.find("w1", scene.clock.now())).toMatchObject({ heartbeat: { pool: "p" } });
    await scene.clock.advance(31_000); // made-up workers that say nothing are gone
    registry.expire(scene.clock.now());
    await presence("heartbeat", "one-too-many");
    expect(registry.find("one-too-many", scene.clock.now())).toBeDefined();
  });

  it("fill no memory with what they say of themselves", async () => {
    const long = Array.from({ length: 100 }, (_, n) => `job.${"x".repeat(200)}.${n}`);
    await presence("heartbeat", "long", long);
    await presence("handshake", "long", long);
    expect(rejected("presence_bytes")).toBe(2);
    await presence("heartbeat", "long");
    expect(scene.parts.registry.find("long", scene.clock.now())).toMatchObject({ topics: undefined });
  });
});

describe("a cancel from the bus", () => {
  const cancel = (jobId: string, requestedBy: string): Promise<void> =>
    publish(
      SUBJECTS.jobCancel,
      encodePacket({
        protocolVersion: 1,
        payload: { kind: "jobCancel", value: { jobId, requestedBy, reason: "stop" } },
      }),
    );

  it("ends the job and stops the worker, whoever says to have asked", async () => {
    await addWorker(scene);
    for (const by of ["worker", "policy", "ada", ""]) {
      const { jobId } = await scene.submit();
      await cancel(jobId, by);
      expect((await scene.load(jobId)).phase).toMatchObject({
        state: "CANCELLED",
        outcome: { by: by === "" ? "bus" : by, reported: "" },
      });
      const stops = scene.sent("worker.w1.cancel", "jobCancel").filter((stop) => stop.jobId === jobId);
      expect(stops).toHaveLength(1);
    }
    expect(scene.state.dump().records.filter(({ stored }) => stored.key.kind === "dead")).toEqual([]);
  });

  it("of a job that nobody knows changes nothing", async () => {
    await cancel("unknown", "ada");
    expect(jobIds()).toEqual([]);
  });
});
