import { JobStatus } from "@cordum/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { approveJob, rejectJob } from "../approvals/answer.ts";
import { AUDIT_LOG, type AuditEntry, parseAuditEntry } from "../audit/audit-entry.ts";
import { readAudit } from "../audit/read-audit.ts";
import { discardDeadLetter } from "../dead-letters/resolve.ts";
import { Fault } from "../ports/fault.ts";
import type { Batch } from "../ports/state.ts";
import { type JobScene, NEVER, openJobScene } from "../testing/job-scene.ts";
import { person } from "../testing/people.ts";
import { addWorker } from "../testing/scene-worker.ts";
import { cancelJob } from "./cancel.ts";
import { retryDeadLetter } from "./retry.ts";

let scene: JobScene;
beforeEach(async () => {
  scene = await openJobScene();
});
afterEach(() => scene.settle());

const ADA = person("ada", { role: "operator" });
const BOB = person("bob");
const entries = (tenant = "acme") => readAudit(scene.state, { tenant, limit: 100 }, NEVER);
const brief = async () =>
  (await entries()).map(({ action, actor, of }) => `${actor.principal} ${action} ${of.kind} ${of.id}`);
const cancel = (jobId: string, by: typeof ADA | string = ADA) =>
  cancelJob(jobId, { tenant: "acme", by, reason: "not needed" }, scene.parts, NEVER);
const answered = (act: typeof approveJob, jobId: string, actor = BOB) =>
  act(jobId, { tenant: "acme", actor, reason: "because", note: "n" }, scene.parts, NEVER);
const retry = (jobId: string) => retryDeadLetter(jobId, { tenant: "acme", actor: ADA }, scene.parts, NEVER);
const discard = (jobId: string, tenant = "acme") =>
  discardDeadLetter(jobId, { tenant, actor: ADA }, scene.parts, NEVER);

/** The batch that holds the entry. */
function batchOf({ action }: Pick<AuditEntry, "action">): Batch | undefined {
  return scene.committed.find((batch) =>
    batch.changes.some((change) => change.do === "append" && parseAuditEntry(change.entry).action === action),
  );
}
const putsOf = (batch: Batch | undefined) =>
  batch?.changes.flatMap((change) => (change.do === "put" || change.do === "delete" ? [change.key.id] : []));

describe("what people and keys do to jobs", () => {
  it("is told once, in the commit of the change, whatever is repeated", async () => {
    const { jobId } = await scene.submit();
    await cancel(jobId);
    await cancel(jobId);
    expect(await entries()).toMatchObject([
      {
        tenant: "acme",
        actor: ADA,
        action: "job.cancel",
        of: { kind: "job", id: jobId },
        reason: "not needed",
        facts: { from: "SCHEDULED", to: "CANCELLED" },
      },
    ]);
    expect(putsOf(batchOf({ action: "job.cancel" }))).toEqual([jobId]);
  });

  it("is told for the answer that stands, not for the one that lost", async () => {
    const [yes, no] = [await scene.submit({ topic: "job.ask" }), await scene.submit({ topic: "job.ask" })];
    await answered(approveJob, yes.jobId);
    await answered(approveJob, yes.jobId);
    await expect(answered(rejectJob, yes.jobId, person("eve"))).rejects.toThrow(Fault);
    await scene.clock.advance(1);
    await answered(rejectJob, no.jobId);
    await expect(answered(approveJob, no.jobId, person("eve"))).rejects.toThrow(Fault);
    expect(await brief()).toEqual([`bob job.approve job ${yes.jobId}`, `bob job.reject job ${no.jobId}`]);
    expect((await entries())[0]).toMatchObject({
      reason: "because",
      facts: { to: "SCHEDULED", rule: "ask", note: "n", jobHash: expect.stringMatching(/^[0-9a-f]{64}$/) },
    });
    expect(putsOf(batchOf({ action: "job.approve" }))).toEqual([yes.jobId]);
  });

  it("is not told for an answer to a question that policy asks anew", async () => {
    const { jobId } = await scene.submit({ topic: "job.ask" });
    scene.policy.replace(`
version: v1
rules:
  - { id: ask, match: { topics: ["job.ask"] }, decision: require_approval, reason: another question }
`);
    await expect(answered(approveJob, jobId)).rejects.toMatchObject({ code: "APPROVAL_STALE_POLICY" });
    expect(await entries()).toEqual([]);
  });

  it("is told for the retry that makes the job, and for the removal that removes", async () => {
    const { jobId } = await scene.submit({ topic: "job.no.x" });
    const [first] = await Promise.all([retry(jobId), retry(jobId)]);
    await retry(jobId);
    const retried = await entries();
    expect(retried).toMatchObject([
      { action: "dlq.retry", of: { kind: "dead_letter", id: jobId }, facts: { retriedAs: first.jobId } },
    ]);
    expect(putsOf(batchOf({ action: "dlq.retry" }))).toContain(first.jobId);
    await scene.clock.advance(1);
    await discard(jobId, "other");
    await discard(jobId);
    await discard(jobId);
    expect((await brief()).slice(1)).toEqual([`ada dlq.delete dead_letter ${jobId}`]);
    expect(putsOf(batchOf({ action: "dlq.delete" }))).toEqual([jobId]);
  });

  it("is told for the one of many at once that did it", async () => {
    const { jobId } = await scene.submit();
    await Promise.all(Array.from({ length: 10 }, (_, n) => cancel(jobId, person(`p${n}`))));
    expect(await entries()).toHaveLength(1);
    const [entry] = await entries();
    expect((await scene.load(jobId)).phase).toMatchObject({ outcome: { by: entry?.actor.principal } });
  });

  it("does not hold what nobody with a credential did", async () => {
    const worker = await addWorker(scene);
    const [one, two] = [await scene.submit(), await scene.submit()];
    await cancel(one.jobId, "somebody on the bus");
    await worker.result({ jobId: two.jobId, status: JobStatus.FAILED_FATAL });
    await scene.until(two.jobId, "FAILED");
    expect(await entries()).toEqual([]);
    const appended = scene.committed.flatMap(({ changes }) => changes.filter((change) => change.do === "append"));
    expect(appended.filter((change) => change.log.log === AUDIT_LOG)).toEqual([]);
  });
});
