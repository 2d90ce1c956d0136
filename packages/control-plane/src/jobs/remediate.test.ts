import { JobStatus } from "@cordum/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { approveJob } from "../approvals/answer.ts";
import { readAudit } from "../audit/read-audit.ts";
import { listDeadLetters } from "../dead-letters/list-dead-letters.ts";
import { loadDeadLetter } from "../dead-letters/resolve.ts";
import { type JobScene, NEVER, openJobScene } from "../testing/job-scene.ts";
import { person } from "../testing/people.ts";
import { addWorker } from "../testing/scene-worker.ts";
import { requestOf } from "./job-request.ts";
import { readJob } from "./read-job.ts";
import { remediateJob } from "./remediate.ts";

const POLICY = `
version: v1
rules:
  - id: no
    match: { topics: ["job.danger"] }
    decision: deny
    reason: never
    remediations:
      - id: use-safe
        title: The safe way
        replacement_topic: job.safe
        replacement_capability: safe.write
        add_labels: { how: safe, " ": blank, approval_granted: "true" }
        remove_labels: [wild, secrets_present]
  - id: many
    match: { topics: ["job.many"] }
    decision: deny
    remediations:
      - { id: a, replacement_topic: job.safe }
      - { id: b, replacement_topic: job.ask }
  - id: odd
    match: { topics: ["job.odd"] }
    decision: deny
    remediations:
      - { id: bad, replacement_topic: "job.>" }
  - id: ask
    match: { topics: ["job.ask"] }
    decision: require_approval
    remediations: [{ id: use-safe, replacement_topic: job.safe }]
  - id: bare
    match: { topics: ["job.bare"] }
    decision: deny
  - id: fine
    match: { topics: ["job.*"] }
    decision: allow
    remediations: [{ id: use-safe, replacement_topic: job.safe }]
`;

let scene: JobScene;
beforeEach(async () => {
  scene = await openJobScene({ policy: POLICY });
});
afterEach(() => scene.settle());

const BY = { tenant: "acme", actor: person("op", { role: "operator" }) };
const remediate = (jobId: string, remediationId = "", tenant = "acme") =>
  remediateJob(jobId, { ...BY, tenant, remediationId }, scene.parts, NEVER);
const WILD = { labels: { wild: "1", kept: "2", approval_x: "3" }, riskTags: ["write"], team: "t" } as const;

describe("remediation", () => {
  it("submits the job as policy offers it, and runs it", async () => {
    await addWorker(scene, { topics: ["job.safe"], answer: () => ({ status: JobStatus.SUCCEEDED }) });
    const { jobId, traceId } = await scene.submit({
      ...WILD,
      ...{ topic: "job.danger", prompt: "secret://vault/key", capability: "wild.write", idempotencyKey: "k" },
    });
    const made = await remediate(jobId);
    expect(made.traceId).toBe(traceId);
    const [old, next] = [await scene.load(jobId), await scene.load(made.jobId)];
    const [before, after] = [requestOf(old), requestOf(next)];
    const labels = {
      ...{ kept: "2", how: "safe", secrets_present: "true" },
      ...{ remediation_of: jobId, remediation_id: "use-safe" },
    };
    expect(after).toEqual({
      ...before,
      jobId: made.jobId,
      parentJobId: jobId,
      topic: "job.safe",
      contextPtr: `redis://ctx:${made.jobId}`,
      labels,
      meta: { ...before.meta, capability: "safe.write", idempotencyKey: "", labels },
    });
    expect(next).toMatchObject({ topic: "job.safe", principal: "ada", team: "t", bodyHash: "" });
    expect((await readJob(made.jobId, "acme", scene.parts, NEVER)).context).toEqual(
      (await readJob(jobId, "acme", scene.parts, NEVER)).context,
    );
    await scene.until(made.jobId, "SUCCEEDED");
  });

  it("makes one job of one offer, and tells the audit and the dead letter", async () => {
    const { jobId } = await scene.submit({ topic: "job.danger" });
    const made = await Promise.all([remediate(jobId), remediate(jobId, "use-safe")]);
    made.push(await remediate(jobId));
    const [id] = made.map((one) => one.jobId);
    expect(new Set(made.map((one) => one.jobId)).size).toBe(1);
    expect(await readAudit(scene.state, { tenant: "acme", limit: 9 }, NEVER)).toMatchObject([
      {
        ...{ actor: BY.actor, action: "job.remediate", of: { kind: "job", id: jobId } },
        facts: { remediation: "use-safe", remediatedAs: id, from: "DENIED" },
      },
    ]);
    expect((await loadDeadLetter(jobId, "acme", scene.state, NEVER)).letter.remediatedAs).toBe(id);
    const { letters } = await listDeadLetters(scene.state, { tenant: "acme", limit: 9 }, NEVER);
    expect(letters.map((letter) => letter.jobId)).toEqual([jobId]);
  });

  it("needs to know which, where there are several", async () => {
    const { jobId } = await scene.submit({ topic: "job.many" });
    await expect(remediate(jobId)).rejects.toMatchObject({
      ...{ code: "INVALID_REQUEST", message: "remediation_id required: one of a, b" },
      fields: [{ field: "remediation_id" }],
    });
    await expect(remediate(jobId, "c")).rejects.toMatchObject({ code: "REMEDIATION_NOT_FOUND" });
    const [a, b] = [await remediate(jobId, "a"), await remediate(jobId, "b")];
    expect((await scene.load(a.jobId)).topic).toBe("job.safe");
    expect((await scene.load(b.jobId)).phase.state).toBe("APPROVAL_REQUIRED");
  });

  it("is possible while a person is asked, not after a yes", async () => {
    const [asked, approved] = [await scene.submit({ topic: "job.ask" }), await scene.submit({ topic: "job.ask" })];
    await remediate(asked.jobId);
    expect((await scene.load(asked.jobId)).phase.state).toBe("APPROVAL_REQUIRED");
    const answer = { tenant: "acme", actor: person("bob"), reason: "", note: "" };
    await approveJob(approved.jobId, answer, scene.parts, NEVER);
    await expect(remediate(approved.jobId)).rejects.toMatchObject({ code: "JOB_NOT_REMEDIABLE" });
  });

  it.each([
    ["was allowed", "job.plain", "JOB_NOT_REMEDIABLE"],
    ["has no offer", "job.bare", "JOB_NOT_REMEDIABLE"],
    ["is offered a topic that is none", "job.odd", "JOB_NOT_REMEDIABLE"],
  ])("is refused for a job that %s", async (_, topic, code) => {
    const { jobId } = await scene.submit({ topic });
    await expect(remediate(jobId)).rejects.toMatchObject({ code });
    expect(await readAudit(scene.state, { tenant: "acme", limit: 9 }, NEVER)).toEqual([]);
  });

  it("does not exist for jobs of others", async () => {
    const { jobId } = await scene.submit({ topic: "job.danger" });
    for (const call of [remediate(jobId, "", "other"), remediate("nothing")])
      await expect(call).rejects.toMatchObject({ code: "JOB_NOT_FOUND" });
  });
});
