import { JobStatus } from "@cordum/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { cancelJob } from "../jobs/cancel.ts";
import { type JobScene, NEVER, openJobScene } from "../testing/job-scene.ts";
import { addWorker } from "../testing/scene-worker.ts";
import type { DeadLetter } from "./dead-letter.ts";
import { type DeadLetterQuery, listDeadLetters } from "./list-dead-letters.ts";

let scene: JobScene;
beforeEach(async () => {
  scene = await openJobScene();
});
afterEach(() => scene.settle());

async function walk(query: Omit<DeadLetterQuery, "after">): Promise<readonly DeadLetter[]> {
  const found: DeadLetter[] = [];
  let after: DeadLetterQuery["after"];
  do {
    const page = await listDeadLetters(scene.state, { ...query, ...(after === undefined ? {} : { after }) }, NEVER);
    expect(page.letters.length).toBeLessThanOrEqual(query.limit);
    found.push(...page.letters);
    after = page.next;
  } while (after !== undefined);
  return found;
}

describe("dead letters", () => {
  it("are listed newest first, each once, by tenant and by code, with pages of any size", async () => {
    const worker = await addWorker(scene, { capacity: 100 });
    const denied: string[] = [];
    const failed: string[] = [];
    for (let n = 0; n < 15; n++) {
      denied.unshift((await scene.submit({ topic: "job.no.x" })).jobId);
      const { jobId } = await scene.submit();
      await worker.result({ jobId, status: JobStatus.FAILED_FATAL, errorCode: "E1", errorMessage: "no" });
      await scene.quiet();
      failed.unshift(jobId);
      if (n % 3 === 0) await scene.clock.advance(1);
    }
    const other = await scene.submit({ topic: "job.no.x", tenant: "other" });
    for (const limit of [1, 4, 30, 500]) {
      const all = await walk({ tenant: "acme", limit });
      expect(all.map((letter) => letter.jobId).sort()).toEqual([...denied, ...failed].sort());
      expect(all.every((letter, at) => at === 0 || (all[at - 1]?.createdAt ?? 0) >= letter.createdAt)).toBe(true);
      const byCode = await walk({ tenant: "acme", code: "E1", limit });
      expect(byCode.map((letter) => letter.jobId).sort()).toEqual([...failed].sort());
    }
    expect((await walk({ tenant: "other", limit: 9 })).map((letter) => letter.jobId)).toEqual([other.jobId]);
    expect(await walk({ tenant: "nobody", limit: 9 })).toEqual([]);
  });

  it("say what happened, and outlive their job", async () => {
    const { jobId } = await scene.submit({ topic: "job.no.x" });
    await scene.settle();
    await scene.clock.advance(8 * 86_400_000);
    for (let partition = 0; partition < 3; partition++) await scene.state.sweep(partition, 1_000, NEVER);
    expect(await scene.parts.jobs.load(jobId, NEVER)).toBeUndefined();
    expect(await walk({ tenant: "acme", limit: 5 })).toMatchObject([
      {
        jobId,
        tenant: "acme",
        topic: "job.no.x",
        status: "JOB_STATUS_DENIED",
        code: "safety_denied",
        reason: "never",
        lastState: "PENDING",
        attempts: 0,
      },
    ]);
    await scene.clock.advance(23 * 86_400_000);
    expect(await walk({ tenant: "acme", limit: 5 })).toEqual([]);
  });

  it("are not written for what succeeded or was cancelled by somebody", async () => {
    const worker = await addWorker(scene);
    const [done, cancelled] = [await scene.submit(), await scene.submit()];
    await worker.result({ jobId: done.jobId, status: JobStatus.SUCCEEDED });
    await cancelJob(cancelled.jobId, { tenant: "acme", by: "worker", reason: "" }, scene.parts, NEVER);
    await scene.until(done.jobId, "SUCCEEDED");
    expect(await walk({ tenant: "acme", limit: 5 })).toEqual([]);
    const given = await scene.submit();
    await worker.result({ jobId: given.jobId, status: JobStatus.CANCELLED });
    await scene.until(given.jobId, "CANCELLED");
    expect((await walk({ tenant: "acme", limit: 5 })).map((letter) => letter.jobId)).toEqual([given.jobId]);
  });

  it("are filtered by code, topic, signature and time in any combination", async () => {
    const worker = await addWorker(scene, { topics: ["job.echo", "job.two"], capacity: 100 });
    const made: { jobId: string; code: string; topic: string; at: number }[] = [];
    for (let n = 0; n < 24; n++) {
      const topic = n % 3 === 0 ? "job.two" : "job.echo";
      const code = n % 2 === 0 ? "E1" : "E2";
      const { jobId } = await scene.submit({ topic });
      await worker.result({ jobId, status: JobStatus.FAILED_FATAL, errorCode: code, errorMessage: `row ${n} is bad` });
      await scene.quiet();
      made.push({ jobId, code, topic, at: (await scene.load(jobId)).updatedAt });
      await scene.clock.advance(10);
    }
    const wanted = (keep: (one: (typeof made)[number], nth: number) => boolean) =>
      made
        .filter(keep)
        .map(({ jobId }) => jobId)
        .toReversed();
    const found = async (filter: Omit<DeadLetterQuery, "tenant" | "limit" | "after">) => {
      const lists = [];
      for (const limit of [2, 100])
        lists.push((await walk({ tenant: "acme", limit, ...filter })).map((letter) => letter.jobId));
      expect(lists[0]).toEqual(lists[1]);
      return lists[1];
    };
    const [from, to] = [made[5]?.at ?? 0, made[15]?.at ?? 0];
    expect(await found({ code: "E1", topic: "job.two" })).toEqual(
      wanted(({ code, topic }) => code === "E1" && topic === "job.two"),
    );
    expect(await found({ topic: "job.two" })).toEqual(wanted(({ topic }) => topic === "job.two"));
    expect(await found({ createdAfter: from, createdBefore: to })).toEqual(wanted((_, nth) => nth >= 5 && nth <= 15));
    expect(await found({ code: "E2", createdAfter: from, createdBefore: to })).toEqual(
      wanted(({ code }, nth) => code === "E2" && nth >= 5 && nth <= 15),
    );
    const [first] = await walk({ tenant: "acme", limit: 1, code: "E1", topic: "job.two" });
    expect(await found({ signature: first?.signature ?? "" })).toEqual(
      wanted(({ code, topic }) => code === "E1" && topic === "job.two"),
    );
    expect(await found({ code: "E3" })).toEqual([]);
    expect(await found({ signature: first?.signature ?? "", topic: "job.echo" })).toEqual([]);
  });
});
