import { JobStatus } from "@cordum/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { approveJob, rejectJob } from "../approvals/answer.ts";
import { createMeter, DEFAULT_METER_SETTINGS, type ReadableMeter } from "../telemetry/meter.ts";
import { type JobScene, NEVER, openJobScene } from "../testing/job-scene.ts";
import { person } from "../testing/people.ts";
import { addWorker } from "../testing/scene-worker.ts";
import { measure } from "./gauges.ts";

let scene: JobScene;
let meter: ReadableMeter;
beforeEach(async () => {
  meter = createMeter({ ...DEFAULT_METER_SETTINGS, process: false });
  scene = await openJobScene({ meter, settings: { approvalTtlMs: 120_000 } });
});
afterEach(() => scene.settle());

/** The value of one series, as Prometheus would read it; undefined where there is none. */
async function read(series: string): Promise<number | undefined> {
  const line = (await meter.text()).split("\n").find((text) => text.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
}

describe("the meter of jobs", () => {
  it("tells how jobs ended, how long they took, and which are dead letters", async () => {
    const worker = await addWorker(scene);
    const [good, bad] = [await scene.submit(), await scene.submit()];
    await scene.pass(2_000);
    await worker.result({ jobId: good.jobId, status: JobStatus.SUCCEEDED });
    await worker.result({ jobId: bad.jobId, status: JobStatus.FAILED_FATAL, errorCode: "E1" });
    await scene.submit({ topic: "job.no.x" });
    await scene.until(bad.jobId, "FAILED");
    expect(await read('cordum_scheduler_dead_letters_total{topic="job.echo"}')).toBe(1);
    expect(await read('cordum_scheduler_dead_letters_total{topic="job.no.x"}')).toBe(1);
    expect(await read('cordum_scheduler_safety_denied_total{topic="job.no.x"}')).toBe(1);
    const took = (of: string) => `cordum_scheduler_job_duration_seconds_${of}{status="JOB_STATUS_SUCCEEDED"}`;
    expect(await read(took("count"))).toBe(1);
    expect(await read(took("sum"))).toBeGreaterThanOrEqual(2);
  });

  it("tells who waits for a person, how long, and what came of it", async () => {
    const asked = await Promise.all([1, 2, 3].map(() => scene.submit({ topic: "job.ask" })));
    await scene.pass(30_000);
    await measure([], scene.parts, NEVER);
    expect(await read("cordum_approval_queue_depth")).toBe(3);
    expect(await read("cordum_approval_oldest_seconds")).toBeGreaterThanOrEqual(30);
    const by = { tenant: "acme", actor: person("eve"), reason: "", note: "" };
    const [first, second, third] = asked.map(({ jobId }) => jobId);
    await approveJob(first ?? "", by, scene.parts, NEVER);
    await rejectJob(second ?? "", by, scene.parts, NEVER);
    await scene.until(third ?? "", "TIMEOUT", 180_000);
    await measure([], scene.parts, NEVER);
    expect(await read("cordum_approval_queue_depth")).toBe(0);
    expect(await read("cordum_approval_oldest_seconds")).toBe(0);
    expect(await read('cordum_approval_decisions_total{decision="approved"}')).toBe(1);
    expect(await read('cordum_approval_decisions_total{decision="rejected"}')).toBe(1);
    expect(await read("cordum_approval_expired_total")).toBe(1);
    expect(await read("cordum_approval_latency_seconds_sum")).toBeGreaterThanOrEqual(60);
  });

  it("tells whether the bus is there", async () => {
    await scene.pass(1_000);
    expect(await read("cordum_bus_connected")).toBe(1);
    expect(await read("cordum_bus_reconnects_total")).toBe(0);
  });
});
