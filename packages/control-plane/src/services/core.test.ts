// The life of a job through the production composition, over memory and the bus of one process, with a worker that speaks raw CAP.

import { type BusPacket, decodePacket, encodePacket, JobStatus, SUBJECTS } from "@cordum/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { inProcessBus } from "../adapters/inprocess/bus.ts";
import { memoryPayloads } from "../adapters/memory/memory-payloads.ts";
import { memoryState } from "../adapters/memory/memory-state.ts";
import { systemClock } from "../adapters/system/clock.ts";
import { approveJob, rejectJob } from "../approvals/answer.ts";
import { cancelJob } from "../jobs/cancel.ts";
import type { Job } from "../jobs/job.ts";
import { submitJob } from "../jobs/submit.ts";
import type { SubmitCommand } from "../jobs/submit-command.ts";
import { PolicySource } from "../policy/policy-source.ts";
import type { Log, Meter } from "../ports/telemetry.ts";
import { NO_TIMEOUTS, OPEN_ROUTING } from "../scheduling/routing.ts";
import { type Core, composeCore, DEFAULT_JOB_SETTINGS, DEFAULT_RETENTION, stateLayout } from "./core.ts";

const never = new AbortController().signal;
const quiet: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore };
const uncounted: Meter = { count: ignore, observe: ignore, gauge: ignore };
function ignore(): undefined {
  return undefined;
}

const POLICY = `
version: v1
rules:
  - id: no
    match: { topics: ["job.no.*"] }
    decision: deny
    reason: never
  - id: ask
    match: { topics: ["job.ask"] }
    decision: require_approval
    reason: a person must look
  - id: slow
    match: { topics: ["job.slow"] }
    decision: throttle
    reason: too many
  - id: small
    match: { topics: ["job.small"] }
    decision: allow_with_constraints
    constraints: { budgets: { max_runtime_ms: 60000, max_retries: 1 } }
`;

const COMMAND: SubmitCommand = {
  tenant: "acme",
  principal: "ada",
  team: "",
  topic: "job.echo",
  priority: "interactive",
  priorityText: "",
  prompt: "hello",
  context: { n: 1 },
  adapterId: "",
  memoryId: "",
  contextMode: "",
  projectId: "",
  actorId: "",
  actorType: "",
  idempotencyKey: "",
  packId: "",
  capability: "",
  riskTags: [],
  requires: [],
  labels: {},
  tags: [],
  allowSummarization: false,
  allowRetrieval: false,
  maxInputTokens: 0,
  maxOutputTokens: 0,
  maxTotalTokens: 0,
  deadlineMs: 0,
};

describe("the life of a job", () => {
  let core: Core;
  let policy: PolicySource;
  const clock = systemClock();

  beforeEach(async () => {
    policy = new PolicySource();
    policy.replace(POLICY);
    const state = memoryState({ partitions: 3, layout: stateLayout(DEFAULT_RETENTION), clock });
    const payloads = memoryPayloads({ clock, bytesMax: 1_048_576 });
    const bus = inProcessBus({ clock, log: quiet });
    core = composeCore(
      { state, payloads, bus, clock, log: quiet, meter: uncounted, policy },
      {
        scheduling: { routing: OPEN_ROUTING, timeouts: NO_TIMEOUTS },
        retention: DEFAULT_RETENTION,
        settings: DEFAULT_JOB_SETTINGS,
      },
    );
    await core.start();
  });
  afterEach(() => core.settle(AbortSignal.timeout(1_000)));

  const submit = (over: Partial<SubmitCommand> = {}) => submitJob({ ...COMMAND, ...over }, core.parts, never);
  const load = async (id: string): Promise<Job> => {
    const seen = await core.parts.jobs.load(id, never);
    if (seen === undefined) throw new Error(`no job ${id}`);
    return seen.record;
  };
  const until = async (id: string, state: string): Promise<Job> => {
    for (let attempt = 0; attempt < 200; attempt++) {
      const job = await load(id);
      if (job.phase.state === state) return job;
      await clock.sleep(10, never);
    }
    throw new Error(`${id} is ${(await load(id)).phase.state}, not ${state}`);
  };

  /** A worker on its own subject, or on its topics only. */
  async function work(
    id: string,
    topics: readonly string[],
    answer: (packet: BusPacket) => object | undefined,
    directly = true,
  ) {
    const { bus } = core.parts;
    const seen: BusPacket[] = [];
    const handle = async (bytes: Uint8Array) => {
      const packet = decodePacket(bytes);
      seen.push(packet);
      const reply = answer(packet);
      if (reply !== undefined && packet.payload?.kind === "jobRequest") {
        const value = { jobId: packet.payload.value.jobId, workerId: id, ...reply };
        await bus.publish(
          SUBJECTS.jobResult,
          encodePacket({ senderId: id, protocolVersion: 1, payload: { kind: "jobResult", value } }),
          never,
        );
      }
      return { kind: "ack" } as const;
    };
    const subjects = directly ? [`worker.${id}.jobs`] : topics;
    for (const subject of subjects) await bus.subscribe({ subject, group: "g", keep: false, inFlightMax: 100 }, handle);
    const send = (subject: string, payload: NonNullable<Parameters<typeof encodePacket>[0]["payload"]>) =>
      bus.publish(subject, encodePacket({ senderId: id, protocolVersion: 1, payload }), never);
    await send(SUBJECTS.handshake, { kind: "handshake", value: { componentId: id, role: 3, readyTopics: topics } });
    await send(SUBJECTS.heartbeat, { kind: "heartbeat", value: { workerId: id, pool: "p", maxParallelJobs: 4 } });
    await clock.sleep(5, never);
    return seen;
  }
  const succeed = () => ({ status: JobStatus.SUCCEEDED });

  it("runs an allowed job on a worker that listens directly", async () => {
    const seen = await work("w1", ["job.echo"], succeed);
    const { jobId, state } = await submit();
    expect(state).toBe("DISPATCHED");
    const job = await until(jobId, "SUCCEEDED");
    expect(job.steps.map((step) => step.state)).toEqual(["PENDING", "SCHEDULED", "DISPATCHED", "SUCCEEDED"]);
    expect(seen).toHaveLength(1);
    expect(seen[0]?.payload?.kind === "jobRequest" && seen[0].payload.value.dispatch?.assignedWorkerId).toBe("w1");
  });

  it("finds a worker that listens on its topic only", async () => {
    await work("w1", ["job.echo"], succeed, false);
    const { jobId } = await submit();
    const job = await until(jobId, "SUCCEEDED");
    expect(job.attempts).toBe(1);
  });

  it("lets a job wait for a worker that comes later", async () => {
    const { jobId, state } = await submit();
    expect(state).toBe("SCHEDULED");
    expect((await load(jobId)).phase).toMatchObject({ waiting: "no_workers" });
    await work("w1", ["job.echo"], succeed);
    await until(jobId, "SUCCEEDED");
  });

  it("serves a backlog that is longer than the worker's slots", async () => {
    const ids = await Promise.all(Array.from({ length: 50 }, () => submit().then(({ jobId }) => jobId)));
    await work("w1", ["job.echo"], succeed);
    for (const id of ids) await until(id, "SUCCEEDED");
  });

  it("denies into the dead letters", async () => {
    const { jobId, state } = await submit({ topic: "job.no.way" });
    expect(state).toBe("DENIED");
    const job = await load(jobId);
    expect(job.phase).toMatchObject({ outcome: { code: "safety_denied", message: "never", by: "policy" } });
    const { partition } = { partition: 0 };
    const found = await Promise.all(
      [0, 1, 2].map((p) => core.parts.state.get([{ partition: partition + p, kind: "dead", id: jobId }], never)),
    );
    expect(found.flat().filter((entry) => entry !== undefined)).toHaveLength(1);
  });

  it("waits for a person who is not the requester, then runs once", async () => {
    const seen = await work("w1", ["job.ask"], succeed);
    const { jobId, state } = await submit({ topic: "job.ask" });
    expect(state).toBe("APPROVAL_REQUIRED");
    const answer = { tenant: "acme", by: "bob", role: "approver", reason: "fine", note: "" };
    await expect(approveJob(jobId, { ...answer, by: "ada" }, core.parts, never)).rejects.toMatchObject({
      code: "SELF_APPROVAL_DENIED",
    });
    await expect(approveJob(jobId, { ...answer, tenant: "other" }, core.parts, never)).rejects.toMatchObject({
      code: "JOB_NOT_FOUND",
    });
    policy.replace(POLICY.replace("too many", "far too many"));
    const both = await Promise.allSettled([
      approveJob(jobId, answer, core.parts, never),
      rejectJob(jobId, { ...answer, by: "eve" }, core.parts, never),
    ]);
    expect(both.filter((result) => result.status === "fulfilled")).toHaveLength(1);
    if (both[0].status === "fulfilled") {
      const job = await until(jobId, "SUCCEEDED");
      expect(job.approval).toMatchObject({ answer: "approved", by: "bob", reason: "fine" });
      expect(seen).toHaveLength(1);
    }
  });

  it("holds throttled jobs and jobs without a policy", async () => {
    const slow = await submit({ topic: "job.slow" });
    expect(slow.state).toBe("PENDING");
    policy.replace("");
    const unjudged = await submit();
    expect(unjudged.state).toBe("PENDING");
    expect((await load(unjudged.jobId)).phase).toMatchObject({ waiting: "policy_unavailable" });
  });

  it("repeats a failed job as often as the constraint allows, then gives up", async () => {
    const seen = await work("w1", ["job.small"], () => ({ status: JobStatus.FAILED, errorMessage: "no" }));
    const { jobId } = await submit({ topic: "job.small" });
    const job = await until(jobId, "FAILED");
    expect(job.attempts).toBe(2);
    expect(seen).toHaveLength(2);
    const env = seen[0]?.payload?.kind === "jobRequest" ? seen[0].payload.value.env : {};
    expect(JSON.parse(env.CORDUM_POLICY_CONSTRAINTS ?? "{}")).toMatchObject({
      budgets: { maxRuntimeMs: "60000", maxRetries: 1 },
    });
  });

  it("cancels, tells the worker, and ignores what comes late", async () => {
    await work("w1", ["job.echo"], () => undefined);
    const cancels: string[] = [];
    await core.parts.bus.subscribe({ subject: SUBJECTS.jobCancel, keep: false, inFlightMax: 1 }, async (bytes) => {
      const { payload } = decodePacket(bytes);
      if (payload?.kind === "jobCancel") cancels.push(payload.value.jobId);
      return { kind: "ack" };
    });
    const { jobId } = await submit();
    const { job, moved } = await cancelJob(
      jobId,
      { tenant: "acme", by: "ada", reason: "changed my mind" },
      core.parts,
      never,
    );
    expect([job.phase.state, moved]).toEqual(["CANCELLED", true]);
    const late = { jobId, workerId: "w1", status: JobStatus.SUCCEEDED };
    await core.parts.bus.publish(
      SUBJECTS.jobResult,
      encodePacket({ senderId: "w1", protocolVersion: 1, payload: { kind: "jobResult", value: late } }),
      never,
    );
    await clock.sleep(30, never);
    expect((await load(jobId)).phase.state).toBe("CANCELLED");
    expect(cancels).toContain(jobId);
    expect((await cancelJob(jobId, { tenant: "acme", by: "ada", reason: "" }, core.parts, never)).moved).toBe(false);
  });

  it("answers the same for the same idempotency key and refuses another body", async () => {
    const first = await submit({ idempotencyKey: "k1" });
    const again = await submit({ idempotencyKey: "k1" });
    expect(again).toMatchObject({ jobId: first.jobId, traceId: first.traceId, isRepeat: true });
    await expect(submit({ idempotencyKey: "k1", prompt: "other" })).rejects.toMatchObject({
      code: "IDEMPOTENCY_CONFLICT",
    });
    expect((await submit({ idempotencyKey: "k1", tenant: "other" })).jobId).not.toBe(first.jobId);
  });
});
