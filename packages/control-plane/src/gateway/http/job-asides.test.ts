// Progress, the order to stop and results that did not count, as clients see them.

import { encodePacket, JobStatus, SUBJECTS } from "@cordum/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { virtualClock } from "../../adapters/system/virtual-clock.ts";
import type { Payload } from "../../testing/job-scene.ts";
import { openScene, type Scene } from "../testing/gateway-scene.ts";

const JOBS = "/api/v1/jobs";
const never = new AbortController().signal;
const clock = virtualClock();
let scene: Scene;
beforeEach(async () => {
  scene = await openScene({}, clock);
  const { bus } = scene.parts.jobParts;
  await bus.subscribe({ subject: "worker.w1.jobs", keep: false, inFlightMax: 10 }, async () => ({ kind: "ack" }));
  const handshake = { componentId: "w1", role: 3, readyTopics: ["job.default"] };
  await say({ kind: "handshake", value: handshake }, SUBJECTS.handshake);
  await say({ kind: "heartbeat", value: { workerId: "w1", pool: "p", maxParallelJobs: 4 } }, SUBJECTS.heartbeat);
});
afterEach(() => scene.gateway.close());

async function pass(ms: number): Promise<void> {
  for (let past = 0; past < ms; past += 50) {
    await clock.advance(50);
    for (let turn = 0; turn < 10; turn++) await clock.advance(0);
  }
}
async function say(payload: Payload, subject: string, senderId = "w1"): Promise<void> {
  await scene.parts.jobParts.bus.publish(subject, encodePacket({ senderId, protocolVersion: 1, payload }), never);
  await pass(300);
}
const result = (jobId: string, status: number, workerId = "w1") =>
  say({ kind: "jobResult", value: { jobId, workerId, status } }, SUBJECTS.jobResult, workerId);
const progress = (jobId: string, percent: number, message: string) =>
  say({ kind: "jobProgress", value: { jobId, percent, message } }, SUBJECTS.jobProgress);
const submit = async (): Promise<string> => {
  const { job_id } = (await scene.post("submitter-key", JOBS, { prompt: "x" })).json();
  await pass(50);
  return job_id;
};
const read = async (path: string) => (await scene.call("viewer-key", "GET", `${JOBS}/${path}`)).json();

describe("progress", () => {
  it("is shown with what its worker said last, and when; the next word without a message keeps it", async () => {
    const id = await submit();
    await progress(id, 0, "");
    expect(await read(id)).not.toHaveProperty("progress_message");
    await progress(id, 40, "half of secret://vault/x");
    await pass(1_000);
    const { updated_at, ...job } = await read(id);
    expect(job).toMatchObject({ state: "RUNNING", percent: 40, progress_message: "half of <redacted>" });
    expect(updated_at - job.progress_at).toBeLessThan(1_500_000);
    await progress(id, 50, "");
    await pass(1_000);
    expect(await read(id)).toMatchObject({ percent: 50, progress_message: "half of <redacted>" });
  });
});

describe("a job that was cancelled under its worker's hands", () => {
  it("says what its worker answered, in the job and in its events", async () => {
    const id = await submit();
    await progress(id, 0, "");
    const cancelled = (await scene.post("operator-key", `${JOBS}/${id}/cancel`, {})).json();
    expect(cancelled).toMatchObject({ id, state: "CANCELLED", stop: { status: "awaited", worker_id: "w1" } });
    await result(id, JobStatus.CANCELLED);
    const { stop } = await read(id);
    expect(stop).toMatchObject({ status: "acknowledged", worker_id: "w1", reported: "JOB_STATUS_CANCELLED" });
    expect(stop.answered_at).toBeGreaterThanOrEqual(stop.asked_at);
    const { items } = await read(`${id}/events`);
    expect(items.at(-1)).toMatchObject({ kind: "stop", outcome: "acknowledged", by: "w1" });
  });

  it("has an unknown outcome when its worker says nothing in time", async () => {
    const id = await submit();
    await scene.post("operator-key", `${JOBS}/${id}/cancel`, {});
    await pass(31_000);
    expect((await read(id)).stop).toMatchObject({ status: "outcome_unknown", worker_id: "w1" });
    expect((await read(`${id}/events`)).items.at(-1)).toMatchObject({ kind: "stop", outcome: "outcome_unknown" });
  });

  it("has nothing to say when no worker had it", async () => {
    const id = (await scene.post("submitter-key", JOBS, { prompt: "x", topic: "job.ask" })).json().job_id;
    const cancelled = (await scene.post("operator-key", `${JOBS}/${id}/cancel`, {})).json();
    expect(cancelled).toEqual({ id, state: "CANCELLED" });
    expect(await read(id)).not.toHaveProperty("stop");
  });
});

it("results that did not count are shown with who said what and why not", async () => {
  const id = await submit();
  await result(id, JobStatus.FAILED, "mallory");
  await result(id, JobStatus.SUCCEEDED);
  await result(id, JobStatus.FAILED);
  const job = await read(id);
  expect(job).toMatchObject({ state: "SUCCEEDED" });
  expect(job.stray_results).toMatchObject([
    { why: "not_assigned", worker_id: "mallory", reported: "JOB_STATUS_FAILED" },
    { why: "ended", worker_id: "w1", reported: "JOB_STATUS_FAILED" },
  ]);
  const { items } = await read(`${id}/events`);
  const kinds = items.map(({ kind, by = "" }: { kind: string; by?: string }) => `${kind} ${by}`.trim());
  expect(kinds.filter((kind: string) => kind.startsWith("stray"))).toEqual(["stray_result mallory", "stray_result w1"]);
});
