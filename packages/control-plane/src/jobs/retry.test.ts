import { JobStatus } from "@cordum/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { listDeadLetters } from "../dead-letters/list-dead-letters.ts";
import { discardDeadLetter, loadDeadLetter } from "../dead-letters/resolve.ts";
import { type JobScene, NEVER, openJobScene } from "../testing/job-scene.ts";
import { person } from "../testing/people.ts";
import { addWorker } from "../testing/scene-worker.ts";
import { policyInputOf, requestOf } from "./job-request.ts";
import { readJob } from "./read-job.ts";
import { retryDeadLetter } from "./retry.ts";

let scene: JobScene;
beforeEach(async () => {
  scene = await openJobScene();
});
afterEach(() => scene.settle());

const retry = (jobId: string, tenant = "acme") =>
  retryDeadLetter(jobId, { tenant, actor: person("op") }, scene.parts, NEVER).then((retried) => retried.jobId);
const listed = async (code?: string) => {
  const query = { tenant: "acme", limit: 50, ...(code === undefined ? {} : { code }) };
  return (await listDeadLetters(scene.state, query, NEVER)).letters.map((letter) => letter.jobId);
};
const letterOf = async (jobId: string) => (await loadDeadLetter(jobId, "acme", scene.state, NEVER)).letter;

async function failed(over: Parameters<JobScene["submit"]>[0] = {}): Promise<string> {
  const worker = await addWorker(scene, { heartbeatMs: 0 });
  const { jobId } = await scene.submit(over);
  await worker.result({ jobId, status: JobStatus.FAILED_FATAL, errorCode: "E1", errorMessage: "no" });
  await scene.until(jobId, "FAILED");
  return jobId;
}

const FULL = {
  topic: "job.no.x",
  team: "t",
  priority: "critical",
  adapterId: "ad",
  memoryId: "mem:shared",
  contextMode: "rag",
  projectId: "p",
  actorId: "agent",
  actorType: "service",
  idempotencyKey: "once",
  packId: "pack",
  capability: "cap",
  riskTags: ["write"],
  requires: ["gpu"],
  labels: { a: "b" },
  tags: ["x"],
  maxTotalTokens: 77,
  deadlineMs: 9_000,
} as const;

describe("retry of a dead letter", () => {
  it("carries over all that policy looked at, and more", async () => {
    const { jobId } = await scene.submit(FULL);
    const newId = await retry(jobId);
    const [old, made] = [await scene.load(jobId), await scene.load(newId)];
    const [before, after] = [requestOf(old), requestOf(made)];
    const marks = { retry: "true", dlq_entry: jobId, retry_of_job: jobId };
    expect(policyInputOf(made)).toEqual({
      ...policyInputOf(old),
      jobId: newId,
      labels: { ...policyInputOf(old).labels, ...marks },
    });
    expect(after).toEqual({
      ...before,
      jobId: newId,
      parentJobId: jobId,
      contextPtr: after.contextPtr,
      labels: { ...before.labels, ...marks },
      meta: { ...before.meta, idempotencyKey: "", labels: { ...before.labels, ...marks } },
    });
    const { tenant, topic, team, principal, priority, traceId } = old;
    expect(made).toMatchObject({ tenant, topic, team, principal, priority, traceId, attempts: 0, bodyHash: "" });
    expect(after.contextPtr).not.toBe(before.contextPtr);
    expect((await readJob(newId, "acme", scene.parts, NEVER)).context).toEqual(
      (await readJob(jobId, "acme", scene.parts, NEVER)).context,
    );
  });

  it("is judged anew: denied by the same rule, asked about again, or run", async () => {
    const denied = await scene.submit({ topic: "job.no.x" });
    const again = await scene.load(await retry(denied.jobId));
    expect([again.phase.state, again.decisions.at(-1)?.decision.ruleId]).toEqual(["DENIED", "no"]);
    expect(await listed("safety_denied")).toEqual([again.id]);
    const third = await scene.load(await retry(again.id));
    expect(requestOf(third).labels).toMatchObject({ retry_of_job: again.id, dlq_entry: again.id });
    const id = await retry(await failed());
    expect((await scene.load(id)).phase.state).toBe("DISPATCHED");
  });

  it("makes one job, however often and by however many it is asked for", async () => {
    const jobId = await failed();
    const ids = await Promise.all([retry(jobId), retry(jobId), retry(jobId)]);
    ids.push(await retry(jobId));
    expect(new Set(ids).size).toBe(1);
    const received = [...scene.counts].filter(([name]) => name.startsWith("cordum_scheduler_jobs_received_total"));
    expect(received.map(([, count]) => count)).toEqual([2]);
  });

  it("takes the dead letter out of the lists and leaves it to be read until its time is up", async () => {
    const jobId = await failed();
    const { keepUntil } = await letterOf(jobId);
    expect(await listed()).toEqual([jobId]);
    await scene.clock.advance(60_000);
    const newId = await retry(jobId);
    expect([await listed(), await listed("E1")]).toEqual([[], []]);
    expect(await letterOf(jobId)).toMatchObject({ retriedAs: newId, keepUntil });
    await scene.settle();
    await scene.clock.advance(keepUntil - scene.clock.now() - 1);
    expect(await retry(jobId)).toBe(newId);
    await scene.clock.advance(1);
    await expect(retry(jobId)).rejects.toMatchObject({ code: "DEAD_LETTER_NOT_FOUND" });
  });

  it("is finished by the next call when the mark was not written", async () => {
    const jobId = await failed();
    const before = await loadDeadLetter(jobId, "acme", scene.state, NEVER);
    const newId = await retry(jobId);
    const unmark = {
      do: "put",
      key: before.key,
      value: JSON.parse(JSON.stringify(before.letter)),
      wakeAt: "never",
    } as const;
    const marked = await loadDeadLetter(jobId, "acme", scene.state, NEVER);
    const checks = [{ is: "at", key: marked.key, version: marked.version }] as const;
    await scene.state.commit(
      { id: scene.clock.id(), partition: before.key.partition, checks, changes: [unmark] },
      NEVER,
    );
    expect(await retry(jobId)).toBe(newId);
    expect((await letterOf(jobId)).retriedAs).toBe(newId);
  });

  it("is refused without the job's context, and changes nothing then", async () => {
    const jobId = await failed();
    await scene.payloads.delete(`ctx:${jobId}`, NEVER);
    await expect(retry(jobId)).rejects.toMatchObject({ code: "JOB_NOT_RETRYABLE" });
    expect(await listed()).toEqual([jobId]);
  });

  it.each([
    ["denied at the door", () => scene.submit({ ...FULL, idempotencyKey: "k" }).then(({ jobId }) => jobId)],
    ["failed by its worker", () => failed({ team: "t", labels: { a: "b" } })],
  ])("is possible for as long as the dead letter is kept: %s", async (_, submit) => {
    const jobId = await submit();
    const { keepUntil } = await letterOf(jobId);
    const context = (await readJob(jobId, "acme", scene.parts, NEVER)).context;
    const { topic, team, principal, priority, traceId } = await scene.load(jobId);
    await scene.settle();
    // A few milliseconds sooner: what happens to a job at one moment of this clock is written as one after the other.
    await scene.clock.advance(keepUntil - scene.clock.now() - 10);
    for (let partition = 0; partition < 3; partition++) await scene.state.sweep(partition, 1_000, NEVER);
    await scene.payloads.sweep(1_000, NEVER);
    expect(await scene.parts.jobs.load(jobId, NEVER)).toBeUndefined();
    const made = await scene.load(await retry(jobId));
    expect(made).toMatchObject({ topic, team, principal, priority, traceId });
    expect((await readJob(made.id, "acme", scene.parts, NEVER)).context).toEqual(context);
  });

  it("stays what it is when the ended job is noted on later", async () => {
    const worker = await addWorker(scene);
    const { jobId } = await scene.submit({ deadlineMs: 2_000 });
    await scene.until(jobId, "TIMEOUT");
    const newId = await retry(jobId);
    await scene.pass(60_000);
    await worker.result({ jobId, status: JobStatus.SUCCEEDED });
    await scene.quiet();
    expect(await letterOf(jobId)).toMatchObject({ retriedAs: newId });
    expect((await listed()).includes(jobId)).toBe(false);
  });

  it("does not exist for other tenants, nor for jobs that have no dead letter", async () => {
    const jobId = await failed();
    const open = await scene.submit();
    for (const call of [retry(jobId, "other"), retry(open.jobId), retry("nowhere")])
      await expect(call).rejects.toMatchObject({ code: "DEAD_LETTER_NOT_FOUND" });
  });
});

describe("removal of a dead letter", () => {
  it("takes the record and its entries, and only of the own tenant", async () => {
    const [jobId, kept] = [await failed(), await failed()];
    await discardDeadLetter(jobId, { tenant: "other", actor: person("op") }, scene.parts, NEVER);
    expect((await listed()).toSorted()).toEqual([jobId, kept].toSorted());
    await discardDeadLetter(jobId, { tenant: "acme", actor: person("op") }, scene.parts, NEVER);
    await discardDeadLetter(jobId, { tenant: "acme", actor: person("op") }, scene.parts, NEVER);
    expect([await listed(), await listed("E1")]).toEqual([[kept], [kept]]);
    await expect(letterOf(jobId)).rejects.toMatchObject({ code: "DEAD_LETTER_NOT_FOUND" });
    await expect(retry(jobId)).rejects.toMatchObject({ code: "DEAD_LETTER_NOT_FOUND" });
    expect((await scene.load(jobId)).phase.state).toBe("FAILED");
  });
});
