// Answers that race with others, and answers to questions that policy has changed since.

import { JobStatus } from "@cordum/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { cancelJob } from "../jobs/cancel.ts";
import { JOB_KIND } from "../jobs/job-store.ts";
import { wakeJob } from "../jobs/wake.ts";
import { type JobScene, NEVER, openJobScene, POLICY, resultsOf } from "../testing/job-scene.ts";
import { person } from "../testing/people.ts";
import { addWorker, type SceneWorker } from "../testing/scene-worker.ts";
import { type Answer, approveJob, rejectJob } from "./answer.ts";
import { listApprovals } from "./list-approvals.ts";

const TTL_MS = 60_000;
let scene: JobScene;
let worker: SceneWorker;
let jobId: string;

beforeEach(async () => {
  scene = await openJobScene({ settings: { approvalTtlMs: TTL_MS } });
  worker = await addWorker(scene, { topics: ["job.ask"] });
  ({ jobId } = await scene.submit({ topic: "job.ask" }));
});
afterEach(() => scene.settle());

type Over = Partial<Omit<Answer, "actor">> & { readonly by?: string; readonly role?: string };
const answer = ({ by = "bob", role = "approver", ...over }: Over = {}): Answer => ({
  tenant: "acme",
  actor: person(by, { role }),
  reason: "",
  note: "",
  ...over,
});
const approve = (over: Over = {}) => approveJob(jobId, answer(over), scene.parts, NEVER);
const reject = (over: Over = {}) => rejectJob(jobId, answer(over), scene.parts, NEVER);
const load = () => scene.load(jobId);
const codes = (results: readonly PromiseSettledResult<unknown>[]): readonly string[] =>
  results.map((result) => (result.status === "fulfilled" ? "ok" : String(result.reason.code)));
const writes = (): number =>
  scene.committed.filter((batch) => batch.changes.some((change) => change.do === "put" && change.key.kind === JOB_KIND))
    .length;

describe("of two answers exactly one wins", () => {
  it("when two approve", async () => {
    expect(codes(await Promise.allSettled([approve(), approve({ by: "eve" })]))).toEqual([
      "ok",
      "APPROVAL_ALREADY_RESOLVED",
    ]);
    await scene.quiet();
    expect(worker.seen).toHaveLength(1);
    expect((await load()).approval?.by).toBe("bob");
  });

  it("when one approves and one rejects at once", async () => {
    const answers = await Promise.allSettled([reject(), approve({ by: "eve" })]);
    expect(codes(answers).toSorted()).toEqual(["APPROVAL_ALREADY_RESOLVED", "ok"]);
    await scene.quiet();
    const isRejected = answers[0].status === "fulfilled";
    expect(worker.seen).toHaveLength(isRejected ? 0 : 1);
    expect((await load()).approval).toMatchObject(
      isRejected ? { answer: "rejected", by: "bob" } : { answer: "approved", by: "eve" },
    );
  });

  it("when one rejects before one approves", async () => {
    await reject();
    await expect(approve({ by: "eve" })).rejects.toMatchObject({ code: "APPROVAL_ALREADY_RESOLVED" });
    await scene.quiet();
    expect(worker.seen).toHaveLength(0);
    expect(await load()).toMatchObject({
      phase: { state: "DENIED", outcome: { code: "approval_rejected", message: "approval rejected", by: "bob" } },
      approval: { answer: "rejected", by: "bob" },
    });
    expect(resultsOf(scene, jobId)).toMatchObject([{ status: JobStatus.DENIED, errorCode: "approval_rejected" }]);
  });

  it.each([1, 2, 3, 4, 5, 6])("against a cancel that comes %i hops later", async (hops) => {
    const approving = approve();
    for (let hop = 0; hop < hops; hop++) await Promise.resolve();
    const cancelling = cancelJob(jobId, { tenant: "acme", by: "ada", reason: "" }, scene.parts, NEVER);
    const [approved, cancelled] = await Promise.allSettled([approving, cancelling]);
    await scene.quiet();
    expect((await load()).phase.state).toBe("CANCELLED"); // a cancel wins always: before the answer, or after it
    expect(cancelled.status).toBe("fulfilled");
    if (approved.status === "rejected") expect(approved.reason.code).toBe("APPROVAL_NOT_ACTIONABLE");
    if (worker.seen.length > 0) expect(scene.sent("worker.w1.cancel", "jobCancel")).toHaveLength(1);
  });

  it("against the end of its time", async () => {
    await scene.settle();
    await scene.clock.advance(TTL_MS);
    // Too late also before somebody has noticed.
    await expect(approve()).rejects.toMatchObject({ code: "APPROVAL_NOT_ACTIONABLE" });
    const [approved] = await Promise.allSettled([approve(), wakeJob(jobId, scene.parts, NEVER)]);
    expect(approved.status).toBe("rejected");
    expect((await load()).phase).toMatchObject({ state: "TIMEOUT", outcome: { code: "approval_expired" } });
  });

  it("and twenty people make one dispatch", async () => {
    const people = Array.from({ length: 20 }, (_, n) => approve({ by: `person${n}` }));
    const results = codes(await Promise.allSettled(people));
    expect(results.filter((code) => code === "ok")).toHaveLength(1);
    await scene.pass(10_000);
    expect(worker.seen).toHaveLength(1);
  });
});

describe("an answer", () => {
  it("may be repeated by whoever gave it, without effect", async () => {
    await approve({ reason: "fine" });
    await scene.quiet();
    const before = writes();
    expect(await approve({ reason: "other words" })).toMatchObject({ moved: false });
    await worker.result({ jobId, status: JobStatus.SUCCEEDED });
    await scene.until(jobId, "SUCCEEDED");
    expect(await approve()).toMatchObject({ moved: false });
    expect(writes()).toBe(before + 1); // the result
    expect((await load()).approval?.reason).toBe("fine");
    await expect(reject()).rejects.toMatchObject({ code: "APPROVAL_ALREADY_RESOLVED" });
    await expect(approve({ by: "eve" })).rejects.toMatchObject({ code: "APPROVAL_ALREADY_RESOLVED" });
  });

  it.each(["ada", "ADA", " ada "])("is not for whoever asked, by whatever key: %j", async (by) => {
    await expect(approve({ by })).rejects.toMatchObject({ code: "SELF_APPROVAL_DENIED" });
    expect((await load()).phase.state).toBe("APPROVAL_REQUIRED");
    await reject({ by });
    expect((await load()).phase.state).toBe("DENIED");
  });

  it("may be one's own where that is set", async () => {
    const lax = await openJobScene({ settings: { allowsSelfApproval: true } });
    const submitted = await lax.submit({ topic: "job.ask" });
    await approveJob(submitted.jobId, answer({ by: "ada" }), lax.parts, NEVER);
    expect((await lax.load(submitted.jobId)).approval).toMatchObject({ answer: "approved", by: "ada" });
    await lax.settle();
  });

  it("of another tenant finds no job", async () => {
    for (const [act, id] of [
      [approveJob, jobId],
      [rejectJob, jobId],
      [approveJob, "unknown"],
    ] as const)
      await expect(act(id, answer({ tenant: "other" }), scene.parts, NEVER)).rejects.toMatchObject({
        code: "JOB_NOT_FOUND",
      });
  });

  it.each(["job.echo", "job.slow", "job.no.x"])("is no answer where nobody asked: %s", async (topic) => {
    const other = await scene.submit({ topic });
    for (const act of [approveJob, rejectJob])
      await expect(act(other.jobId, answer(), scene.parts, NEVER)).rejects.toMatchObject({
        code: "APPROVAL_NOT_ACTIONABLE",
      });
  });

  it("is kept with its words, cut to a length", async () => {
    await approve({ reason: `  ${"r".repeat(511)}😀`, note: "n".repeat(10_000), role: "lead" });
    const { approval } = await load();
    expect(approval).toMatchObject({ answer: "approved", by: "bob", role: "lead" });
    expect(approval?.reason).toBe(`${"r".repeat(511)}\ufffd`);
    expect(approval?.note).toHaveLength(512);
    const { request } = await load();
    expect(Buffer.from(request, "base64").toString("latin1")).not.toContain("approval_"); // words are no labels
  });
});

describe("when policy has changed since it asked", () => {
  const edited = (from: string, to: string): void => {
    expect(POLICY).toContain(from);
    scene.policy.replace(POLICY.replace(from, to));
  };

  it("elsewhere, the answer counts", async () => {
    edited("too many", "far too many");
    await approve();
    await scene.quiet();
    expect(worker.seen).toHaveLength(1);
  });

  it("in the rule, the question is put anew, and its answer counts", async () => {
    const before = await load();
    edited("a person must look", "two persons must look");
    await expect(approve()).rejects.toMatchObject({ code: "APPROVAL_STALE_POLICY" });
    const asked = await load();
    if (asked.phase.state !== "APPROVAL_REQUIRED" || before.phase.state !== "APPROVAL_REQUIRED") throw new Error("?");
    expect(asked.phase.ask).toMatchObject({ reason: "two persons must look", ruleId: "ask" });
    expect(asked.phase.ask.ruleHash).not.toBe(before.phase.ask.ruleHash);
    expect(asked.approval).toBeUndefined();
    await approve();
    await scene.quiet();
    expect(worker.seen).toHaveLength(1);
  });

  it("so that nobody need ask, the job may run", async () => {
    edited("decision: require_approval", "decision: allow");
    await approve();
    await scene.quiet();
    expect(worker.seen).toHaveLength(1);
  });

  it.each(["deny", "throttle"])("so that it would %s, the answer does not count and the job waits", async (kind) => {
    edited("decision: require_approval", `decision: ${kind}`);
    await expect(approve()).rejects.toMatchObject({ code: "APPROVAL_STALE_POLICY" });
    expect((await load()).phase.state).toBe("APPROVAL_REQUIRED");
    await reject();
    expect((await load()).phase.state).toBe("DENIED");
  });

  it("so that there is none, nobody can approve, and anybody reject", async () => {
    scene.policy.replace("");
    await expect(approve()).rejects.toMatchObject({ code: "POLICY_UNAVAILABLE" });
    await reject();
    expect((await load()).phase.state).toBe("DENIED");
  });

  it("after the answer and before a worker came: under the same rule the answer stands, under another it is asked again", async () => {
    await worker.die();
    await scene.pass(31_000);
    await approve();
    expect((await load()).phase).toMatchObject({ state: "SCHEDULED", waiting: "no_workers" });
    edited("too many", "far too many");
    const next = await addWorker(scene, { id: "w2", topics: ["job.ask"], capacity: 1, heartbeatMs: 0 });
    await scene.quiet();
    expect(next.seen).toHaveLength(1);

    const other = await scene.submit({ topic: "job.ask" });
    await approveJob(other.jobId, answer(), scene.parts, NEVER);
    expect((await scene.load(other.jobId)).phase).toMatchObject({ state: "SCHEDULED", waiting: "pool_overloaded" });
    edited("a person must look", "look again");
    await next.result({ jobId, status: JobStatus.SUCCEEDED });
    await scene.quiet();
    expect((await scene.load(other.jobId)).phase).toMatchObject({
      state: "APPROVAL_REQUIRED",
      ask: { reason: "look again" },
    });
    expect(next.seen).toHaveLength(1);
  });

  it("under way between two attempts, the answer stands for the second", async () => {
    scene.policy.replace(
      `${POLICY.replace("    reason: a person", "    constraints: { budgets: { max_retries: 1 } }\n    reason: a person")}`,
    );
    const { jobId: id } = await scene.submit({ topic: "job.ask" });
    await approveJob(id, answer(), scene.parts, NEVER);
    await scene.quiet();
    await worker.result({ jobId: id, status: JobStatus.FAILED });
    await scene.until(id, "DISPATCHED", 3_000);
    expect(worker.seen.filter((request) => request.jobId === id).map((request) => request.dispatch?.attempt)).toEqual([
      1, 2,
    ]);
  });
});

it("a request that is not the one that was asked about is not approved", async () => {
  const seen = await scene.parts.jobs.load(jobId, NEVER);
  const cheap = await scene.submit({ topic: "job.ask", prompt: "something else", labels: { amount: "1000000" } });
  if (seen === undefined) throw new Error("no job");
  const { request } = await scene.load(cheap.jobId);
  await scene.parts.jobs.replace(seen, { ...seen.record, request }, NEVER);
  await expect(approve()).rejects.toMatchObject({ code: "APPROVAL_STALE_REQUEST" });
  expect((await load()).phase.state).toBe("APPROVAL_REQUIRED");
});

it("questions are listed newest first, each once, for their own tenant", async () => {
  const ids = [jobId];
  for (let n = 0; n < 12; n++) {
    await scene.clock.advance(5);
    ids.unshift((await scene.submit({ topic: "job.ask" })).jobId);
  }
  await scene.submit({ topic: "job.ask", tenant: "other" });
  const found: string[] = [];
  let after: { readonly score: number; readonly member: string } | undefined;
  do {
    const page = await listApprovals(
      { tenant: "acme", limit: 5, ...(after === undefined ? {} : { after }) },
      scene.parts,
      NEVER,
    );
    found.push(...page.jobs.map((job) => job.id));
    after = page.next;
  } while (after !== undefined);
  expect(found).toEqual(ids);
});
