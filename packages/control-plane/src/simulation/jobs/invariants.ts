// What must hold of jobs, at every step.
// Owns:          the invariants of the life of a job, as checks of commits, of publishes and of the whole store.
// Must not know: how the control plane keeps them; which faults are about.
// G1. A terminal state never changes. G2. A job is placed only under an allowing decision for exactly its request, by a policy that
//     says so; one that must be approved only after somebody other than its requester said yes. G3. Nothing is published for a dispatch
//     that is not committed, and the packet holds the judged request, byte for byte. G4. No accepted job is forgotten: it is stored, and
//     unfinished ones have an alarm that is not late. G5. Records, indexes, lanes and dead letters agree. G6. A worker that was never
//     given a job does not end it, where it could be told. G7. No more attempts are heard by workers than the job may have. G8. An answer that was
//     confirmed to its person is in the record. G9. Once all is well again, what is asked for succeeds.
// G15. One dead letter is retried as one job, and a call for many treats no more than it was asked for (operators.ts). G17. Tenants never mix: not
//     in lists, streams, workers' jobs or answers (people.ts, readers.ts, frame-worker.ts). G22. A result that was acknowledged is in the record.
// More: G14 and G16 in explained.ts, G18 in secrecy.ts, G19 in lock-holders.ts, G20 in key-holders.ts, G21 in readers.ts, G25 in topic-watch.ts.
// G10. Limits on jobs at once are never exceeded. G11. No time ends a job earlier than clocks may be off. G12. Workers are not given more
//     than they can do (capacity.ts). G13, G24. Slots of limits, and of workers, come back (job-world.ts).

import { decodePacket, JobStatus, jobRequestBytes, parsePacket, SUBJECTS } from "@cordum/protocol";
import { isTerminal, type Job, STRAYS_MAX } from "../../jobs/job.ts";
import { parseJob } from "../../jobs/job-codec.ts";
import { bytesOfRequest, hashOfRequest } from "../../jobs/job-request.ts";
import { JOB_KIND } from "../../jobs/job-store.ts";
import type { Verdict } from "../../ports/bus.ts";
import type { Batch } from "../../ports/state.ts";
import type { EpochMs } from "../../ports/time.ts";
import { REREAD_MS } from "../../scheduling/drains.ts";
import { DIFFERING_CLOCKS } from "../clock-error.ts";
import type { Invariant } from "../plan.ts";
import { unexplained } from "./explained.ts";
import type { JobHistory, Ledger } from "./ledger.ts";
import { expectedOf, FEW_MAX, LIMITED_TENANT, TENANT_MAX } from "./policies.ts";
import { storeAgrees } from "./store-agrees.ts";

type Fail = (says: string) => void;

/** What just happened, and who did it: a life of a process, as "node0#1". */
export interface Observed {
  readonly ledger: Ledger;
  readonly who: string;
  /** The world's time. */
  readonly now: EpochMs;
  readonly fail: Fail;
}

/** Looks at every batch that the store applied. */
export function checkCommit(batch: Batch, { ledger, who, now, fail }: Observed): void {
  ledger.observe(batch, fail);
  for (const { job, wakeAt } of jobsIn(batch)) {
    if (!isTerminal(job) && wakeAt === "never") fail(`G4: ${job.id} is ${job.phase.state} and has no alarm`);
    const history = ledger.histories.get(job.id);
    checkTimes(history?.job, job, now, fail);
    if ("dispatch" in job.phase && history?.dispatchIds.has(job.phase.dispatch.id) !== true) {
      ledger.capacity.noteCommitted(job.phase.dispatch.id, who);
      checkDrained(job.id, job.phase.dispatch.workerId, { ledger, who, now, fail });
      checkStanding(job, job.phase.dispatch.at, { ledger, who, now, fail });
    }
    checkVersion(job, batch.id, ledger, fail);
  }
}

/** G23. After healing: before, a process may be unable to learn of it for long. */
function checkDrained(jobId: string, workerId: string, { ledger, who, now, fail }: Observed): void {
  if (ledger.drains.isKnownToAll(workerId, now) && ledger.isHealedFor(HEALED_MS))
    fail(`G23: ${who} gives ${jobId} to ${workerId}, which is drained`);
  else if (ledger.drains.isKnownToAll("direct-a", now)) ledger.count("placed beside a drained worker");
}

/** By then every process has read the orders. */
const HEALED_MS = REREAD_MS + 1_500;

/** G2: the decision is of the policy that was in force when the job was placed. */
function checkStanding(job: Job, at: EpochMs, { ledger, who, fail }: Observed): void {
  const snapshot = job.decisions.at(-1)?.decision.snapshot ?? "";
  if (!ledger.wasInForce(who, snapshot, at))
    fail(`G2: ${who} has placed ${job.id} under the policy ${snapshot}, which was not in force`);
}

function* jobsIn({ changes }: Batch): Generator<{ readonly job: Job; readonly wakeAt: EpochMs | "never" }> {
  for (const change of changes) {
    if (change.do === "put" && change.key.kind === JOB_KIND)
      yield { job: parseJob(change.value), wakeAt: change.wakeAt };
  }
}

const ENDED_BY = new Map([
  ["deadline_exceeded", "deadline"],
  ["running_timeout", "timeout"],
  ["approval_expired", "approval"],
] as const);

/** G11. Whoever wrote the wake and whoever found it due may both be off; the wake itself is what was promised. */
function checkTimes(before: Job | undefined, job: Job, now: number, fail: Fail): void {
  if (before === undefined || !("outcome" in job.phase) || isTerminal(before)) return;
  for (const [code, wake] of ENDED_BY) {
    const earlyMs = (before.wakes[wake] ?? 0) - now;
    if (
      job.phase.outcome.code === code &&
      job.phase.outcome.by === "scheduler" &&
      earlyMs > DIFFERING_CLOCKS.unfollowedMs
    )
      fail(`G11: ${job.id} was ended as ${code} ${earlyMs} ms before its ${wake}`);
  }
}

/** What the store has forgotten is no promise any more (design §5: failover to a replica); all other promises stay. */
export function forget(kept: readonly Batch[], gone: readonly Batch[], ledger: Ledger): void {
  for (const { changes } of gone) {
    for (const change of changes)
      if (change.do === "put" && change.key.kind === JOB_KIND) ledger.forgotten.add(change.key.id);
  }
  ledger.startAnew();
  const before = new Map(ledger.counts);
  // These were judged when they were made.
  for (const batch of kept) ledger.observe(batch, () => undefined);
  for (const batch of kept) for (const { job } of jobsIn(batch)) checkVersion(job, batch.id, ledger, () => undefined);
  ledger.counts.clear();
  for (const [name, count] of before) ledger.counts.set(name, count);
}

function checkVersion(job: Job, version: string, ledger: Ledger, fail: Fail): void {
  const known = ledger.histories.get(job.id);
  const history: JobHistory = known ?? {
    job,
    version,
    dispatchIds: new Set(),
    assigned: new Set(),
    answers: new Set(),
    onlyDirect: true,
    attemptsMax: 0,
  };
  if (known !== undefined) checkChange(known.job, job, fail);
  checkStop(job, ledger, fail);
  history.version = version;
  history.attemptsMax = Math.max(history.attemptsMax, job.attemptsMax);
  const before = known === undefined ? undefined : known.job;
  const says = unexplained(before, job);
  if (says !== undefined) fail(says);
  history.job = job;
  ledger.histories.set(job.id, history);
  if (job.approval !== undefined) history.answers.add(`${job.approval.answer} by ${job.approval.by}`);
  if ("dispatch" in job.phase && !history.dispatchIds.has(job.phase.dispatch.id)) {
    history.dispatchIds.add(job.phase.dispatch.id);
    history.assigned.add(job.phase.dispatch.workerId);
    history.onlyDirect &&= job.phase.dispatch.direct;
    checkPlacing(job, ledger, fail);
    checkLimit(job, ledger, fail);
  }
  if (isTerminal(job) && (before === undefined || !isTerminal(before))) checkEnding(job, before, ledger, fail);
}

function checkChange(before: Job, after: Job, fail: Fail): void {
  // What its worker said afterwards is noted beside an ended job (jobs/stop-order.ts), and nothing else.
  const isNote = JSON.stringify(courseOf(after)) === JSON.stringify(courseOf(before));
  if (isTerminal(before) && !isNote)
    fail(`G1: ${before.id} was ${before.phase.state} and becomes ${after.phase.state}`);
  for (const field of ["request", "hash", "tenant", "topic", "principal", "acceptedAt", "bodyHash"] as const) {
    if (before[field] !== after[field]) fail(`G2: ${field} of ${before.id} has changed`);
  }
}

/** G4 for what is noted beside: an order to stop that waits for its answer is looked at again, and few strays are kept. */
function checkStop({ id, stop, wakes, strays = [] }: Job, ledger: Ledger, fail: Fail): void {
  if (strays.length > STRAYS_MAX) fail(`${id} keeps ${strays.length} results that did not count`);
  if (stop === undefined) return;
  const isAwaited = stop.answer.kind === "awaited";
  if (isAwaited === (wakes.stop === undefined)) fail(`G4: the order to stop ${id} is ${stop.answer.kind}`);
  if (!isAwaited) ledger.count(`stop ${stop.answer.kind}`);
}

function courseOf({ wakes: _, stop, strays: __, ...course }: Job): object {
  return { ...course, stop: stop?.dispatch };
}

/** G2. */
function checkPlacing(job: Job, ledger: Ledger, fail: Fail): void {
  const judged = job.decisions.at(-1);
  if (judged?.jobHash !== job.hash || hashOfRequest(job) !== job.hash)
    fail(`G2: ${job.id} is placed without a decision for this request`);
  const expected = expectedOf(judged?.decision.snapshot ?? "", job.topic);
  const isApproved =
    ledger.approvers.has(job.id) && job.approval?.answer === "approved" && job.approval.by !== job.principal;
  if (expected !== "allow" && !(expected === "ask" && isApproved)) {
    fail(`G2: ${job.id} on ${job.topic} is placed; policy says ${expected}, the decision is ${judged?.decision.kind}`);
  }
}

/** G10. A failover may forget that a slot was taken, whatever else it forgets. */
function checkLimit(job: Job, ledger: Ledger, fail: Fail): void {
  if (ledger.hasFailedOver) return;
  const of = (has: (other: Job) => boolean): readonly string[] =>
    [...ledger.histories.values()].flatMap(({ job: other }) =>
      other.tenant === job.tenant && has(other) && "dispatch" in other.phase
        ? [`${other.id} as ${other.phase.dispatch.id}`]
        : [],
    );
  if (job.topic === "job.few") {
    const out = of(({ topic }) => topic === job.topic);
    if (out.length > FEW_MAX) fail(`G10: on ${job.topic} are out ${out.join(", ")}; ${FEW_MAX} may be`);
    if (out.length === FEW_MAX) ledger.count("limit reached");
  }
  if (job.tenant === LIMITED_TENANT) {
    const out = of(() => true);
    if (out.length > TENANT_MAX) fail(`G10: of ${job.tenant} are out ${out.join(", ")}; ${TENANT_MAX} may be`);
    if (out.length === TENANT_MAX) ledger.count("tenant limit reached");
  }
}

/** G6. */
function checkEnding(job: Job, before: Job | undefined, ledger: Ledger, fail: Fail): void {
  ledger.count(`ended ${job.phase.state}`);
  if (!("outcome" in job.phase) || job.phase.outcome.by !== "worker" || ledger.forgotten.has(job.id)) return;
  const { workerId } = job.phase.outcome;
  const history = ledger.histories.get(job.id);
  if (!ledger.sent.get(job.id)?.some((result) => result.workerId === workerId))
    fail(`G6: ${job.id} was ended by ${workerId}, which never said so`);
  // A job that waits for its next attempt takes a late result from anybody: to which of a topic's workers the last attempt went is in no
  // record (jobs/transition.ts, acceptsReport).
  const waits = before?.phase.state === "SCHEDULED";
  if (history?.onlyDirect && !waits && !history.assigned.has(workerId)) {
    fail(`G6: ${job.id} was ${before?.phase.state ?? "new"} and is ended by ${workerId}, which never had it`);
  }
}

/** Looks at every message that a node sends. */
export function checkPublish(subject: string, bytes: Uint8Array, { ledger, who, now, fail }: Observed): void {
  if (!who.startsWith("node") || !(subject.startsWith("worker.") || subject.startsWith("job."))) return;
  const { payload } = decodePacket(bytes);
  if (payload?.kind !== "jobRequest") return;
  ledger.count("dispatched");
  const { jobId, dispatch } = payload.value;
  if (ledger.forgotten.has(jobId)) return;
  const history = ledger.histories.get(jobId);
  const dispatchId = dispatch?.dispatchId ?? "";
  if (history?.dispatchIds.has(dispatchId) !== true)
    fail(`G3: ${jobId} is dispatched as ${dispatchId}, which was never committed`);
  const earlyMs = (ledger.notBefore.get(jobId) ?? 0) - now;
  if (earlyMs > 2 * DIFFERING_CLOCKS.unfollowedMs)
    fail(`G14: ${jobId} is given to a worker ${earlyMs} ms before its time`);
  const tooMany = ledger.capacity.notePublished({ jobId, dispatchId, by: who, at: now }, ledger);
  if (tooMany !== undefined) fail(tooMany);
  const judged = history === undefined ? undefined : bytesOfRequest(history.job);
  const sent = jobRequestBytes(bytes)?.subarray(0, judged?.byteLength);
  if (judged === undefined || sent === undefined || Buffer.compare(judged, sent) !== 0) {
    fail(`G3: ${jobId} is dispatched with another request than was judged`);
  }
}

/** G22. Looks at what a node answers for: a result of the worker that has the job now, and for that dispatch, was acknowledged. */
export function checkVerdict(subject: string, bytes: Uint8Array, verdict: Verdict, { ledger, fail }: Observed): void {
  if (subject !== SUBJECTS.jobResult || verdict.kind !== "ack") return;
  const parsed = parsePacket(bytes); // it may be a stranger's
  const payload = parsed.kind === "packet" ? parsed.packet.payload : undefined;
  if (payload?.kind !== "jobResult" || !SAYS_AN_END.has(payload.value.status)) return;
  const { jobId, workerId, dispatch } = payload.value;
  const job = ledger.histories.get(jobId)?.job;
  if (job === undefined || ledger.forgotten.has(jobId) || !("dispatch" in job.phase)) return;
  ledger.count("result acknowledged");
  if (job.phase.dispatch.id === dispatch?.dispatchId && job.phase.dispatch.workerId === workerId)
    fail(`G22: the result of ${jobId} from ${workerId} was acknowledged and is not in the record`);
}

const SAYS_AN_END = new Set<number>([JobStatus.SUCCEEDED, JobStatus.FAILED_FATAL, JobStatus.CANCELLED]);

export function jobInvariants(ledger: Ledger): readonly Invariant[] {
  return [
    (view) => storeAgrees(view.dump(), view, ledger),
    () => attemptsAreBounded(ledger),
    () => freshJobsSucceed(ledger),
    () => confirmedAnswersStand(ledger),
    () => [...ledger.counts.keys()].find((name) => name === "KEY NAMES TWO JOBS" || name === "SELF APPROVED"),
  ];
}

function attemptsAreBounded(ledger: Ledger): string | undefined {
  for (const [jobId, heard] of ledger.heard) {
    const attemptsMax = ledger.histories.get(jobId)?.attemptsMax ?? 0;
    if (heard.size > attemptsMax && !ledger.forgotten.has(jobId))
      return `G7: workers heard ${heard.size} attempts of ${jobId}, which may have ${attemptsMax}`;
  }
  return undefined;
}

function freshJobsSucceed(ledger: Ledger): string | undefined {
  for (const id of ledger.fresh) {
    const phase = ledger.histories.get(id)?.job.phase;
    if (phase !== undefined && "outcome" in phase && phase.state !== "SUCCEEDED") {
      return `G9: ${id}, asked for after healing, is ${phase.state}: ${phase.outcome.code} ${phase.outcome.message}`;
    }
  }
  return undefined;
}

function confirmedAnswersStand(ledger: Ledger): string | undefined {
  for (const [jobId, answers] of ledger.confirmed) {
    const stored = ledger.histories.get(jobId)?.answers;
    if (ledger.forgotten.has(jobId)) continue;
    for (const answer of answers)
      if (stored?.has(answer) !== true) return `G8: ${jobId} was ${answer}, and no version says so`;
  }
  return undefined;
}
