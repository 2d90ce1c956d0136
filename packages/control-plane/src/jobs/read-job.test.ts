import { encodePacket, JobStatus, SUBJECTS } from "@cordum/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type JobScene, NEVER, openJobScene } from "../testing/job-scene.ts";
import { addWorker } from "../testing/scene-worker.ts";
import { readJob } from "./read-job.ts";

let scene: JobScene;
beforeEach(async () => {
  scene = await openJobScene();
});
afterEach(() => scene.settle());

const submitPacket = async (jobId: string, tenantId: string, contextPtr: string): Promise<void> => {
  const value = { jobId, topic: "job.echo", tenantId, contextPtr };
  const packet = encodePacket({ protocolVersion: 1, payload: { kind: "jobRequest", value } });
  await scene.bus.publish(SUBJECTS.jobSubmit, packet, NEVER);
  await scene.quiet();
};
const put = (key: string, value: unknown): Promise<void> =>
  scene.payloads.put(key, Buffer.from(JSON.stringify(value)), 60_000, NEVER);

describe("reading a job", () => {
  it("brings its context and result", async () => {
    const worker = await addWorker(scene);
    for (const idempotencyKey of ["", "k"]) {
      const { jobId } = await scene.submit({ idempotencyKey });
      await put(`res:${jobId}`, { answer: 42 });
      await worker.result({ jobId, status: JobStatus.SUCCEEDED, resultPtr: `redis://res:${jobId}` });
      await scene.until(jobId, "SUCCEEDED");
      const read = await readJob(jobId, "acme", scene.parts, NEVER);
      expect(read).toMatchObject({ context: { prompt: "hello", context: { n: 1 } }, result: { answer: 42 } });
    }
  });

  it("is for its own tenant: to others it does not exist", async () => {
    const { jobId } = await scene.submit();
    for (const id of [jobId, "unknown"])
      await expect(readJob(id, "other", scene.parts, NEVER)).rejects.toMatchObject({ code: "JOB_NOT_FOUND" });
  });

  it.each([
    "redis://ctx:victim",
    "redis://ctx:a.b",
    "redis://ctx/a.b",
    "redis://res:a",
    "redis://art:a",
    "http://a",
    "",
  ])("reads no payload that is not its own: %j", async (pointer) => {
    for (const key of ["ctx:victim", "ctx:a.b", "res:a", "art:a"]) await put(key, "theirs");
    await submitPacket("a.b", "victim", "redis://ctx:a.b");
    await submitPacket("a", "acme", pointer);
    expect((await readJob("a", "acme", scene.parts, NEVER)).context).toBeNull();
    expect((await readJob("a.b", "victim", scene.parts, NEVER)).context).toBe("theirs");
  });

  it("shows what is no JSON, or gone, as nothing", async () => {
    await scene.payloads.put("ctx:a", Uint8Array.of(0xff, 0xfe, 0x7b), 60_000, NEVER);
    await submitPacket("a", "acme", "redis://ctx:a");
    await submitPacket("b", "acme", "redis://ctx:b");
    expect((await readJob("a", "acme", scene.parts, NEVER)).context).toBeNull();
    expect((await readJob("b", "acme", scene.parts, NEVER)).context).toBeNull();
  });
});
