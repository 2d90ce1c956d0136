// Workers behind a gateway: jobs, payloads, cancels; tenants; what becomes of jobs when sessions end.

import { encodePacket, JobStatus, SESSION_CLOSE, SUBJECTS } from "@cordum/protocol";
import { afterEach, describe, expect, it } from "vitest";
import { cancelJob } from "../jobs/cancel.ts";
import { changeJob } from "../jobs/change.ts";
import { Fault } from "../ports/fault.ts";
import { orderDrain, takeBackDrain } from "../scheduling/drain.ts";
import { NEVER, type SceneOptions } from "../testing/job-scene.ts";
import { withCommit } from "../testing/scene-ports.ts";
import { addWorker } from "../testing/scene-worker.ts";
import { openSessionScene, type SessionScene } from "../testing/session-scene.ts";
import type { SessionSettings } from "./session-parts.ts";

let stage: SessionScene;
const open = async (options: SceneOptions = {}, limits: Partial<SessionSettings> = {}): Promise<void> => {
  stage = await openSessionScene(options, limits);
};
afterEach(() => stage[Symbol.asyncDispose]());

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
const bytesOf = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
const submit = async (over: object = {}): Promise<string> => {
  const { jobId } = await stage.scene.submit(over);
  await stage.scene.quiet();
  return jobId;
};
const phaseOf = async (jobId: string) => (await stage.scene.load(jobId)).phase;

describe("a job", () => {
  it("goes by the worker's own subject from its context to its result", async () => {
    await open();
    const worker = await stage.worker();
    const jobId = await submit();
    expect(worker.deliveries).toMatchObject([
      { subject: "worker.w1.jobs", jobId, payload: { topic: "job.echo", tenantId: "acme", dispatch: { attempt: 1 } } },
    ]);
    const claim = { jobId, percent: 10 };
    expect(await worker.publish(SUBJECTS.jobProgress, { kind: "jobProgress", value: claim })).toMatchObject({
      kind: "done",
    });
    await stage.scene.pass(500);
    expect(await phaseOf(jobId)).toMatchObject({ state: "RUNNING", percent: 10, dispatch: { workerId: "acme.w1" } });
    const loaded = await worker.ask({ kind: "load", key: `ctx:${jobId}` });
    expect(loaded?.kind === "done" ? JSON.parse(text(loaded.bytes)) : loaded).toMatchObject({ context: { n: 1 } });
    const bytes = bytesOf({ ok: true });
    const stored = await worker.ask({ kind: "store", key: `res:${jobId}`, ttlMs: 60_000, bytes });
    expect(stored).toMatchObject({ kind: "done" });
    expect(await worker.result({ jobId, resultPtr: `redis://res:${jobId}` })).toMatchObject({ kind: "done" });
    expect(await phaseOf(jobId)).toMatchObject({
      state: "SUCCEEDED",
      outcome: { workerId: "acme.w1", resultPtr: `redis://res:${jobId}` },
    });
    expect(text((await stage.scene.payloads.get(`res:${jobId}`, NEVER)) ?? new Uint8Array())).toBe('{"ok":true}');
  });

  it("comes under its topic to a worker that listens to topics alone", async () => {
    await open();
    const worker = await stage.worker({ subjects: ["job.echo"] });
    const jobId = await submit();
    expect(worker.deliveries).toMatchObject([{ subject: "job.echo", jobId }]);
    await worker.ask({ kind: "unsubscribe", subject: "job.echo" });
    const next = await submit();
    expect(worker.jobs).toEqual([jobId]);
    expect((await phaseOf(next)).state).toBe("SCHEDULED");
  });

  it("is cancelled where it runs, and nowhere else", async () => {
    await open();
    const [one, two] = [await stage.worker({ id: "w1", capacity: 1 }), await stage.worker({ id: "w2", capacity: 1 })];
    const ids = [await submit(), await submit()];
    expect(one.jobs.length + two.jobs.length).toBe(2);
    const [jobId = ""] = one.jobs;
    await cancelJob(jobId, { tenant: "acme", by: "ada", reason: "not needed" }, stage.scene.parts, NEVER);
    await stage.scene.quiet();
    expect(one.deliveries.at(-1)).toMatchObject({
      subject: SUBJECTS.jobCancel,
      jobId,
      payload: { reason: "not needed" },
    });
    expect(one.deliveries.length).toBeLessThanOrEqual(3); // told once by the broadcast, and perhaps again by the alarm
    expect(two.deliveries).toHaveLength(1);
    expect(await one.result({ jobId, status: JobStatus.CANCELLED })).toMatchObject({ kind: "done" });
    expect(ids).toContain(jobId);
    expect((await phaseOf(jobId)).state).toBe("CANCELLED");
    expect((await stage.scene.load(jobId)).stop?.answer).toMatchObject({
      kind: "acknowledged",
      workerId: one.id === "w1" ? "acme.w1" : "acme.w2",
    });
  });

  it("goes to nobody who is drained, runs to its end there, and goes there again when the order is taken back", async () => {
    await open();
    const worker = await stage.worker();
    const { scene } = stage;
    const by = { tenant: "acme", principal: "ada", role: "operator", keyId: "" };
    const order = { workerId: "acme.w1", tenant: "acme", by, reason: "" };
    const first = await submit();
    await orderDrain(order, scene, NEVER);
    await scene.parts.drains.refresh();
    const next = await submit();
    await scene.pass(10_000);
    expect(worker.jobs).toEqual([first]);
    expect(await worker.result({ jobId: first })).toMatchObject({ kind: "done" });
    expect((await phaseOf(first)).state).toBe("SUCCEEDED");
    await takeBackDrain(order, scene, NEVER);
    await scene.parts.drains.refresh();
    await scene.quiet();
    expect(worker.jobs).toEqual([first, next]);
  });

  it("is handed over once, however often the bus rings for it", async () => {
    await open();
    const worker = await stage.worker();
    const jobId = await submit();
    const ring = stage.scene.bus.deliver(
      "worker.acme.w1.jobs",
      worker.deliveries[0]?.packet ?? new Uint8Array(),
      NEVER,
    );
    expect(await ring).toBe("heard");
    await stage.scene.quiet();
    expect(worker.jobs).toEqual([jobId]);
    await worker.result({ jobId });
    await stage.scene.bus.deliver("worker.acme.w1.jobs", worker.deliveries[0]?.packet ?? new Uint8Array(), NEVER);
    await stage.scene.quiet();
    expect(worker.jobs).toEqual([jobId]);
  });

  it("is what its record says, whatever somebody puts on the bus", async () => {
    await open();
    const worker = await stage.worker();
    const done = await submit();
    await worker.result({ jobId: done });
    const asked = await submit({ topic: "job.ask" });
    const requests = [done, asked, "unknown", ""].map((jobId) =>
      encodePacket({
        senderId: "cordum-scheduler",
        protocolVersion: 1,
        payload: { kind: "jobRequest", value: { jobId, topic: "job.echo", tenantId: "acme" } },
      }),
    );
    for (const forged of [Uint8Array.of(1, 2, 3), new Uint8Array(0), ...requests])
      expect(await stage.scene.bus.deliver("worker.acme.w1.jobs", forged, NEVER)).toBe("heard");
    await stage.scene.quiet();
    expect(worker.jobs).toEqual([done]);
    expect((await phaseOf(asked)).state).toBe("APPROVAL_REQUIRED");
  });

  it("is tried again with the same worker under another dispatch", async () => {
    await open();
    const worker = await stage.worker({ topics: ["job.small"] });
    const jobId = await submit({ topic: "job.small" });
    await worker.result({ jobId, status: JobStatus.FAILED });
    await stage.scene.pass(3_000);
    expect(worker.jobs).toEqual([jobId, jobId]);
    expect(worker.deliveries[1]?.payload).toMatchObject({ dispatch: { attempt: 2 } });
  });
});

describe("tenants", () => {
  it("keep their jobs from the workers of others", async () => {
    await open();
    const worker = await stage.worker();
    const foreign = await submit({ tenant: "other" });
    expect(await phaseOf(foreign)).toMatchObject({ state: "SCHEDULED", waiting: "no_workers" });
    await stage.scene.pass(12_000);
    expect(worker.jobs).toEqual([]);
    const theirs = await stage.worker({ tenant: "other" });
    expect(theirs.jobs).toEqual([foreign]);
    expect(await phaseOf(foreign)).toMatchObject({ dispatch: { workerId: "other.w1" } });
  });

  it("keep a job even from a worker with which it was placed: it comes back unbegun", async () => {
    await open();
    const worker = await stage.worker();
    // A scheduler that knows nothing of tenants hears the same worker without its label.
    await addWorker(stage.scene, { id: "acme.w1", instance: "life-1", listens: "nowhere", heartbeatMs: 0 });
    const foreign = await submit({ tenant: "other" });
    expect(worker.jobs).toEqual([]);
    expect(await stage.scene.load(foreign)).toMatchObject({ attempts: 0, phase: { state: "SCHEDULED" } });
    expect(stage.scene.said.filter(({ event }) => event === "session.job_misplaced")).not.toEqual([]);
    await worker.beat();
    await stage.scene.pass(5_000);
    expect(await phaseOf(foreign)).toMatchObject({ state: "SCHEDULED", waiting: "no_workers" });
  });

  it("keep results and payloads from others, who cannot tell what exists", async () => {
    await open();
    const worker = await stage.worker();
    const theirs = await stage.worker({ tenant: "other", id: "w9" });
    const foreign = await submit({ tenant: "other" });
    expect(theirs.jobs).toEqual([foreign]);
    await stage.scene.payloads.put(`mem:${foreign}:events`, bytesOf([]), 60_000, NEVER);
    const answers = async (jobId: string) => {
      const said = [
        await worker.result({ jobId }),
        await worker.result({ jobId, workerId: "", dispatch: { dispatchId: "x" } }),
        await worker.publish(SUBJECTS.jobProgress, { kind: "jobProgress", value: { jobId, percent: 50 } }),
        await worker.ask({ kind: "load", key: `ctx:${jobId}` }),
        await worker.ask({ kind: "load", key: `res:${jobId}` }),
        await worker.ask({ kind: "load", key: `mem:${jobId}:events` }),
        await worker.ask({ kind: "store", key: `res:${jobId}`, ttlMs: 1, bytes: bytesOf(1) }),
        await worker.ask({ kind: "store", key: `ctx:${jobId}`, ttlMs: 1, bytes: bytesOf(1) }),
        await worker.ask({ kind: "store", key: `art:${jobId}:log`, ttlMs: 1, bytes: bytesOf(1) }),
      ];
      return said.map((answer) => JSON.stringify({ ...answer, id: 0 }).replaceAll(jobId, "<job>"));
    };
    const before = stage.refused.length;
    const real = await answers(foreign);
    expect(stage.refused.length - before).toBe(9);
    expect(real).toEqual(await answers("00000000-0000-4000-8000-000000000000"));
    expect(real.every((answer) => /JOB_NOT_HELD|PAYLOAD_FORBIDDEN/.test(answer))).toBe(true);
    expect((await phaseOf(foreign)).state).toBe("DISPATCHED");
    expect(await stage.scene.payloads.get(`res:${foreign}`, NEVER)).toBeUndefined();
    expect(stage.scene.counts.get("cordum_gateway_worker_refused_total job_not_held")).toBeGreaterThan(0);
  });

  it("have workers of the same name beside each other", async () => {
    await open();
    const [ours, theirs] = [await stage.worker({ id: "w1" }), await stage.worker({ id: "w1", tenant: "other" })];
    const [own, foreign] = [await submit(), await submit({ tenant: "other" })];
    expect([ours.jobs, theirs.jobs]).toEqual([[own], [foreign]]);
    expect(ours.closedWith).toBeUndefined();
  });

  it("are said by the key and by nothing in a packet", async () => {
    await open();
    const worker = await stage.worker();
    await worker.beat({
      labels: { "cordum.tenant": "other", "cordum.session": "s", "cordum.instance": "life-1", zone: "a" },
    });
    const heard = stage.scene.parts.registry.find("acme.w1", stage.scene.clock.now());
    expect(heard).toMatchObject({ tenant: "acme", heartbeat: { labels: { zone: "a", "cordum.tenant": "acme" } } });
    for (const workerId of ["w2", "other.w1", "acme.w2", ""])
      expect(await worker.beat({ workerId })).toMatchObject({ kind: "refused", code: "WORKER_MISMATCH" });
    expect(stage.refused).toHaveLength(4);
  });
});

describe("payloads", () => {
  it("are within reach while their job is out with the worker, and not after", async () => {
    await open();
    const worker = await stage.worker();
    const jobId = await submit();
    await stage.scene.payloads.put(`mem:${jobId}:events`, bytesOf(["e"]), 60_000, NEVER);
    await stage.scene.payloads.put("mem:shared:events", bytesOf(["s"]), 60_000, NEVER);
    expect(await worker.ask({ kind: "load", key: `mem:${jobId}:events` })).toMatchObject({ kind: "done" });
    expect(await worker.ask({ kind: "load", key: `mem:${jobId}:chunk:3` })).toMatchObject({ kind: "missing" });
    expect(await worker.ask({ kind: "load", key: "mem:shared:events" })).toMatchObject({ kind: "refused" });
    const put = (key: string, ttlMs = 60_000) => worker.ask({ kind: "store", key, ttlMs, bytes: bytesOf(1) });
    expect(await put(`art:${jobId}:build.log`)).toMatchObject({ kind: "done" });
    expect(await put(`art:${jobId}:a:b`)).toMatchObject({ kind: "refused" });
    expect(await put(`art:meta:${jobId}`)).toMatchObject({ kind: "refused" });
    expect(await put(`res:${jobId}`)).toMatchObject({ kind: "done" });
    await worker.result({ jobId });
    expect(await put(`res:${jobId}`)).toMatchObject({ kind: "refused", code: "PAYLOAD_FORBIDDEN" });
    expect(await worker.ask({ kind: "load", key: `ctx:${jobId}` })).toMatchObject({ kind: "refused" });
  });

  it.each(["", "ctx", "ctx:", ":", "cordum:0:job:x", "jobs", "__proto__", "ctx:a\u0000b", "art:x", "mem:x", "mem:x:y"])(
    "are no way to %j",
    async (key) => {
      await open();
      const worker = await stage.worker();
      await submit();
      if (key === "") return;
      expect(await worker.ask({ kind: "load", key })).toMatchObject({ kind: "refused", code: "PAYLOAD_FORBIDDEN" });
      expect(await worker.ask({ kind: "store", key, ttlMs: 1, bytes: bytesOf(1) })).toMatchObject({ kind: "refused" });
    },
  );

  it("have a time to live within bounds", async () => {
    await open({ settings: { resultKeepMs: 20_000 } });
    const worker = await stage.worker();
    const jobId = await submit();
    const kept = async (ttlMs: number, afterMs: number) => {
      await worker.ask({ kind: "store", key: `res:${jobId}`, ttlMs, bytes: bytesOf(1) });
      await stage.scene.clock.advance(afterMs);
      return (await stage.scene.payloads.get(`res:${jobId}`, NEVER)) !== undefined;
    };
    expect(await kept(1, 900)).toBe(true);
    expect(await kept(1, 1_100)).toBe(false);
    expect(await kept(4_000_000_000, 19_900)).toBe(true);
    expect(await kept(4_000_000_000, 20_100)).toBe(false);
  });

  it("that belong to others are no results", async () => {
    await open();
    const worker = await stage.worker();
    const jobId = await submit();
    await worker.result({
      jobId,
      resultPtr: "redis://res:another",
      artifactPtrs: ["redis://art:another:x", `redis://art:${jobId}:x`],
    });
    expect(await phaseOf(jobId)).toMatchObject({
      state: "SUCCEEDED",
      outcome: { resultPtr: "", artifactPtrs: [`redis://art:${jobId}:x`] },
    });
  });

  it("that are too large end the session on the way in, and are refused on the way out", async () => {
    await open({}, { payloadBytesMax: 100 });
    const worker = await stage.worker();
    const jobId = await submit({ context: "x".repeat(200) });
    expect(await worker.ask({ kind: "load", key: `ctx:${jobId}` })).toMatchObject({
      code: "PAYLOAD_TOO_LARGE",
      isFinal: true,
    });
    await worker.ask({ kind: "store", key: `res:${jobId}`, ttlMs: 1, bytes: new Uint8Array(101) });
    expect(worker.closedWith).toMatchObject({ code: SESSION_CLOSE.TOO_LARGE });
  });
});

describe("a worker that is slow or gone", () => {
  it("is handed no more than its window, and keeps its turn for the rest", async () => {
    await open();
    const worker = await stage.worker({ window: 2, capacity: 50, isDeaf: true });
    const ids = [];
    for (let n = 0; n < 10; n++) ids.push(await submit());
    expect(worker.jobs).toEqual(ids.slice(0, 2));
    for (const { id } of worker.deliveries) worker.say({ kind: "took", id });
    await stage.scene.quiet();
    expect(worker.jobs).toEqual(ids.slice(0, 4));
  });

  it("has its session ended when it answers nothing; what never left comes back unbegun, at once", async () => {
    await open();
    const worker = await stage.worker({ window: 2, capacity: 50, isDeaf: true });
    await stage.scene.pass(2_000); // so that clocks of two processes could not disagree about what is new
    const ids = [];
    for (let n = 0; n < 5; n++) ids.push(await submit());
    await stage.scene.pass(20_000);
    await worker.beat();
    await stage.scene.pass(15_000);
    expect(worker.closedWith).toMatchObject({ code: SESSION_CLOSE.TOO_SLOW });
    for (const jobId of ids.slice(2))
      expect(await stage.scene.load(jobId)).toMatchObject({ attempts: 0, phase: { state: "SCHEDULED" } });
    const other = await stage.worker({ id: "w2", capacity: 50 });
    await stage.scene.pass(5_000);
    expect([...other.jobs].sort()).toEqual(ids.slice(2).sort());
  });

  it("is handed what it did not answer again, in the same life", async () => {
    await open();
    const before = await stage.worker({ isDeaf: true });
    const jobId = await submit();
    expect(before.jobs).toEqual([jobId]);
    await before.vanish();
    const after = await stage.worker();
    await stage.scene.quiet();
    expect(after.jobs).toEqual([jobId]);
    await after.result({ jobId });
    expect((await phaseOf(jobId)).state).toBe("SUCCEEDED");
  });

  it("keeps what a look found, although its dispatcher heard nobody and takes it back just then (H5)", async () => {
    await open();
    const before = await stage.worker({ isDeaf: true });
    const jobId = await submit();
    await before.vanish();
    const after = await stage.worker();
    await stage.scene.quiet();
    expect(after.jobs).toEqual([jobId]);
    const phase = await phaseOf(jobId);
    const dispatchId = "dispatch" in phase ? phase.dispatch.id : "";
    const { doorbell } = (await stage.scene.load(jobId)).wakes;
    const unheard = { kind: "undelivered", dispatchId, maybeBefore: false, doorbell, retryAfterMs: 0 } as const;
    await changeJob(jobId, unheard, stage.scene.parts, NEVER);
    expect(await phaseOf(jobId)).toMatchObject({ state: "DISPATCHED", dispatch: { id: dispatchId, heard: true } });
  });

  it("is handed nothing of an earlier life", async () => {
    await open();
    const before = await stage.worker({ isDeaf: true });
    const jobId = await submit();
    await before.vanish();
    const after = await stage.worker({ instance: "life-2" });
    await stage.scene.pass(10_000);
    expect(after.jobs).toEqual([]);
    expect(await phaseOf(jobId)).toMatchObject({ state: "TIMEOUT", outcome: { code: "worker_lost" } });
  });

  it("reports what it began before, and is told of what ended meanwhile", async () => {
    await open();
    const before = await stage.worker();
    const [kept, ended] = [await submit(), await submit()];
    for (const jobId of [kept, ended])
      await before.publish(SUBJECTS.jobProgress, { kind: "jobProgress", value: { jobId } });
    await stage.scene.pass(500);
    await before.vanish();
    await cancelJob(ended, { tenant: "acme", by: "ada", reason: "r" }, stage.scene.parts, NEVER);
    const after = await stage.worker();
    await stage.scene.quiet();
    expect(after.jobs).toEqual([]);
    await after.publish(SUBJECTS.jobProgress, { kind: "jobProgress", value: { jobId: ended, percent: 50 } });
    expect(after.deliveries).toMatchObject([{ subject: SUBJECTS.jobCancel, jobId: ended }]);
    expect(await after.result({ jobId: ended, status: JobStatus.CANCELLED })).toMatchObject({ kind: "done" });
    expect(await after.result({ jobId: kept })).toMatchObject({ kind: "done" });
    expect((await phaseOf(kept)).state).toBe("SUCCEEDED");
  });

  it("is found at once where it connects anew, on another process too", async () => {
    await open({ shared: true });
    const elsewhere = await stage.addSessions();
    const before = await stage.worker();
    await stage.scene.pass(10);
    const after = await stage.worker({ at: elsewhere });
    await stage.scene.quiet();
    expect(before.closedWith).toMatchObject({ code: SESSION_CLOSE.REPLACED });
    expect(after.closedWith).toBeUndefined();
    const ids = [await submit(), await submit(), await submit()];
    expect(after.jobs).toEqual(ids);
    const again = await stage.worker({ at: elsewhere });
    expect(after.closedWith).toMatchObject({ code: SESSION_CLOSE.REPLACED });
    expect(again.closedWith).toBeUndefined();
  });

  it("is looked for with the next session at once, although its own subject was found empty", async () => {
    await open();
    const before = await stage.worker();
    await before.vanish();
    const jobId = await submit();
    expect(await phaseOf(jobId)).toMatchObject({ state: "SCHEDULED" });
    const after = await stage.worker();
    await stage.scene.pass(1_500);
    expect(after.jobs).toEqual([jobId]);
  });
});

describe("a process that ends", () => {
  it("says goodbye, hands over nothing more, and still hears results", async () => {
    await open();
    const worker = await stage.worker();
    const jobId = await submit();
    await stage.sessions.leave();
    expect(worker.frames.at(-1)).toMatchObject({ kind: "goodbye" });
    const next = await submit();
    expect(worker.jobs).toEqual([jobId]);
    expect((await phaseOf(next)).state).toBe("SCHEDULED");
    expect(await worker.result({ jobId })).toMatchObject({ kind: "done" });
    expect((await phaseOf(jobId)).state).toBe("SUCCEEDED");
    const late = stage.connect({ id: "w2" });
    expect(late.closedWith).toMatchObject({ code: SESSION_CLOSE.FULL });
    await stage.sessions.close(NEVER);
    expect(worker.closedWith).toMatchObject({ code: SESSION_CLOSE.RESTARTING });
  });
});

describe("a store that does not answer", () => {
  it("loses no ring: the job is handed over by a look", async () => {
    let isAway = false;
    await open({
      state: (real) => ({
        ...withCommit(real, (batch, signal) => real.commit(batch, signal)),
        get: (keys, signal) =>
          isAway ? Promise.reject(new Fault("STATE_UNAVAILABLE", "away")) : real.get(keys, signal),
      }),
    });
    const worker = await stage.worker();
    await stage.scene.submit({ topic: "job.no.x" }); // what is configured is in memory from now on
    isAway = true;
    const submitted = stage.scene.submit();
    await stage.scene.quiet();
    const { jobId } = await submitted;
    expect(worker.jobs).toEqual([]);
    isAway = false;
    await stage.scene.pass(3_000);
    expect(worker.jobs).toEqual([jobId]);
  });
});
