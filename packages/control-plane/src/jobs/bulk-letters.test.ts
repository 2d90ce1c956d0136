import { JobStatus } from "@cordum/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readAudit } from "../audit/read-audit.ts";
import { listDeadLetters } from "../dead-letters/list-dead-letters.ts";
import { type JobScene, NEVER, openJobScene } from "../testing/job-scene.ts";
import { person } from "../testing/people.ts";
import { addWorker, type SceneWorker } from "../testing/scene-worker.ts";
import { type BulkAnswer, type BulkWish, discardMany, retryMany } from "./bulk-letters.ts";
import { retryDeadLetter } from "./retry.ts";

let scene: JobScene;
let worker: SceneWorker;
beforeEach(async () => {
  scene = await openJobScene();
  worker = await addWorker(scene, { capacity: 1_000, heartbeatMs: 0 });
});
afterEach(() => scene.settle());

const WISH: BulkWish = {
  filter: { tenant: "acme" },
  actor: person("op"),
  reason: "the disk was full",
  dryRun: false,
  limit: 100,
};
const retry = (over: Partial<BulkWish> = {}) => retryMany({ ...WISH, ...over }, scene.parts, NEVER);
const discard = (over: Partial<BulkWish> = {}) => discardMany({ ...WISH, ...over }, scene.parts, NEVER);
const listed = async (tenant = "acme") =>
  (await listDeadLetters(scene.state, { tenant, limit: 500 }, NEVER)).letters.map(({ jobId }) => jobId).toSorted();
const idsOf = ({ outcomes }: BulkAnswer) => outcomes.map(({ jobId }) => jobId);
const audited = async () => (await readAudit(scene.state, { tenant: "acme", limit: 500 }, NEVER)).length;

async function fail(errorCode: string, tenant = "acme"): Promise<string> {
  const { jobId } = await scene.submit({ tenant });
  await worker.result({ jobId, status: JobStatus.FAILED_FATAL, errorCode, errorMessage: "no" });
  await scene.quiet();
  await scene.clock.advance(1);
  return jobId;
}

describe("a retry of many", () => {
  it("is for the letters of its filter alone, says what it will do, and does that", async () => {
    const wanted = [await fail("E1"), await fail("E1"), await fail("E1")];
    const others = [await fail("E2"), await fail("E1", "other")];
    const filter = { tenant: "acme", code: "E1" };
    const before = scene.committed.length;
    const planned = await retry({ filter, dryRun: true });
    expect([scene.committed.length, await audited()]).toEqual([before, 0]);
    expect(planned).toMatchObject({ scope: { ...filter, createdBefore: scene.clock.now() }, matches: 3 });
    expect(idsOf(planned)).toEqual(wanted.toReversed());
    const done = await retry({ filter });
    expect(done.outcomes).toEqual(planned.outcomes.map((outcome) => ({ ...outcome, kind: "retried" })));
    expect(done.next).toBeUndefined();
    for (const outcome of done.outcomes)
      if (outcome.kind === "retried")
        expect(await scene.load(outcome.newJobId)).toMatchObject({ phase: { state: "DISPATCHED" } });
    expect([await listed(), await listed("other")]).toEqual([[others[0]], [others[1]]]);
    expect(await readAudit(scene.state, { tenant: "acme", limit: 9 }, NEVER)).toMatchObject(
      Array.from({ length: 3 }, () => ({ action: "dlq.retry", reason: WISH.reason, actor: WISH.actor })),
    );
  });

  it("goes on by its cursor, each letter once, in calls of any size", async () => {
    const wanted = [];
    for (let n = 0; n < 11; n++) wanted.unshift(await fail("E1"));
    const seen: string[] = [];
    let after: BulkAnswer["next"];
    do {
      const answer = await retry({ limit: 4, ...(after === undefined ? {} : { after }) });
      expect(answer.outcomes.length).toBeLessThanOrEqual(4);
      seen.push(...idsOf(answer));
      after = answer.next;
    } while (after !== undefined);
    expect(seen).toEqual(wanted);
  });

  it("does not retry what its own retries leave behind", async () => {
    const denied = [];
    for (let n = 0; n < 5; n++) denied.push((await scene.submit({ topic: "job.no.x" })).jobId);
    await scene.clock.advance(1);
    const answer = await retry();
    expect(answer.outcomes.length).toBe(5);
    expect((await listed()).length).toBe(5);
    expect(idsOf(answer).toSorted()).toEqual(denied.toSorted());
  });

  it("makes no second job when it is repeated or done twice at once", async () => {
    for (let n = 0; n < 6; n++) await fail("E1");
    const [one, two] = await Promise.all([retry(), retry()]);
    const made = new Set(
      [one, two].flatMap(({ outcomes }) =>
        outcomes.flatMap((outcome) => (outcome.kind === "retried" ? [outcome.newJobId] : [])),
      ),
    );
    expect([made.size, await audited()]).toEqual([6, 6]);
    expect((await retry()).outcomes).toEqual([]);
  });

  it("answers for each letter, whatever becomes of the others", async () => {
    const [good, bare, gone] = [await fail("E1"), await fail("E1"), await fail("E1")];
    await scene.payloads.delete(`ctx:${bare}`, NEVER);
    await retryDeadLetter(gone, { tenant: "acme", actor: person("ada") }, scene.parts, NEVER);
    const { outcomes } = await retry();
    expect(outcomes).toMatchObject([
      { jobId: bare, kind: "refused", code: "JOB_NOT_RETRYABLE", message: "the job's context is no longer kept" },
      { jobId: good, kind: "retried" },
    ]);
    expect(await listed()).toEqual([bare]);
  });
});

describe("a removal of many", () => {
  it("removes the letters of its filter alone, after saying so", async () => {
    const wanted = [await fail("E1"), await fail("E1")];
    const others = [await fail("E2"), await fail("E1", "other")];
    const filter = { tenant: "acme", code: "E1" };
    const planned = await discard({ filter, dryRun: true });
    expect(planned.outcomes).toMatchObject(wanted.toReversed().map((jobId) => ({ jobId, kind: "would_delete" })));
    expect((await listed()).length).toBe(3);
    const done = await discard({ filter });
    expect(done.outcomes).toMatchObject(wanted.toReversed().map((jobId) => ({ jobId, kind: "deleted" })));
    expect([await listed(), await listed("other")]).toEqual([[others[0]], [others[1]]]);
    expect(await audited()).toBe(2);
    expect((await discard({ filter })).outcomes).toEqual([]);
    expect(await audited()).toBe(2);
  });
});
