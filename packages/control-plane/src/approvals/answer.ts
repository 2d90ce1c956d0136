// A person's answer to a job that waits for approval.
// Owns:          who may answer, what an answer is bound to, and what happens when policy has changed since the question.
// Must not know: HTTP; how jobs are placed.
// Y1. Answer and state change are one commit: of two answers exactly one wins, and the other is told.
// Y2. An approval is bound to the job's request and to the rule that asked. A change elsewhere in the policy does not strand it.
// Y3. When the rule itself has changed, policy judges again: a denial or another question stops the approval, an allowance lets it pass.
// Y4. Nobody approves a request of their own, whatever key they use.

import type { Actor } from "../audit/audit-entry.ts";
import { capText } from "../jobs/cap-text.ts";
import { type Changed, changeSeen } from "../jobs/change.ts";
import type { ApprovalAnswer, Job } from "../jobs/job.ts";
import type { Deed } from "../jobs/job-audit.ts";
import type { JobEvent } from "../jobs/job-event.ts";
import type { JobParts } from "../jobs/job-parts.ts";
import { hashOfRequest, policyInputOf } from "../jobs/job-request.ts";
import { isDue } from "../jobs/transition.ts";
import { Fault } from "../ports/fault.ts";

export interface Answer {
  readonly tenant: string;
  /** What the credential stands for. */
  readonly actor: Actor;
  /** Both capped at 512 characters. */
  readonly reason: string;
  readonly note: string;
}

const TEXT_CHARS_MAX = 512;

/** Faults: JOB_NOT_FOUND (also for foreign jobs), APPROVAL_*, SELF_APPROVAL_DENIED, POLICY_UNAVAILABLE, STATE_*. Repeating one's own answer changes nothing. */
export function approveJob(jobId: string, answer: Answer, parts: JobParts, signal: AbortSignal): Promise<Changed> {
  return resolve(jobId, answer, "approved", parts, signal);
}

export function rejectJob(jobId: string, answer: Answer, parts: JobParts, signal: AbortSignal): Promise<Changed> {
  return resolve(jobId, answer, "rejected", parts, signal);
}

async function resolve(
  jobId: string,
  answer: Answer,
  verdict: "approved" | "rejected",
  parts: JobParts,
  signal: AbortSignal,
): Promise<Changed> {
  const seen = await parts.jobs.load(jobId, parts.clock.deadline(signal, parts.settings.storeTimeoutMs));
  if (seen === undefined || seen.record.tenant !== answer.tenant) throw notFound();
  const by = answer.actor.principal;
  const deedOf = (before: Job | undefined, next: Job) => deedFor(before, next, answer, verdict);
  const changed = await changeSeen(seen, (job) => eventFor(job, answer, verdict, parts), parts, signal, deedOf);
  if (changed === undefined) throw notFound();
  if (changed.job.phase.state === "APPROVAL_REQUIRED" && changed.moved) {
    throw new Fault(
      "APPROVAL_STALE_POLICY",
      `rule ${changed.job.phase.ask.ruleId} asks now: ${changed.job.phase.ask.reason}; look at the job and answer again`,
    );
  }
  const { approval } = changed.job;
  if (approval?.answer !== verdict || approval.by !== by) {
    // Policy went back to a rule that somebody had answered before: that answer stands, this one is in no record.
    throw new Fault("APPROVAL_ALREADY_RESOLVED", `${approval?.answer} by ${approval?.by}`);
  }
  parts.log.info(`approval.${verdict}`, { jobId, tenant: answer.tenant, by });
  return changed;
}

/** An answer that did not stand, since policy asked anew, is nobody's deed. */
function deedFor(
  before: Job | undefined,
  next: Job,
  { actor, reason, note }: Answer,
  verdict: "approved" | "rejected",
): Deed | undefined {
  const { approval } = next;
  if (approval === undefined || approval === before?.approval) return undefined;
  const facts = { to: next.phase.state, rule: ruleOf(before), jobHash: approval.jobHash, note: cap(note) };
  return { actor, action: verdict === "approved" ? "job.approve" : "job.reject", reason: cap(reason), facts };
}

function ruleOf(asked: Job | undefined): string {
  return asked?.phase.state === "APPROVAL_REQUIRED" ? asked.phase.ask.ruleId : "";
}

/** Undefined: this very answer stands already. */
function eventFor(job: Job, answer: Answer, verdict: "approved" | "rejected", parts: JobParts): JobEvent | undefined {
  const { phase, approval } = job;
  const { principal: by, role } = answer.actor;
  if (phase.state !== "APPROVAL_REQUIRED") {
    if (approval?.answer === verdict && approval.by === by) return undefined;
    if (approval !== undefined) throw new Fault("APPROVAL_ALREADY_RESOLVED", `${approval.answer} by ${approval.by}`);
    throw new Fault("APPROVAL_NOT_ACTIONABLE", `the job is ${phase.state}`);
  }
  const stands = {
    answer: verdict,
    by,
    role,
    reason: cap(answer.reason),
    note: cap(answer.note),
    at: parts.clock.now(),
  };
  const bound: ApprovalAnswer = {
    ...stands,
    jobHash: phase.ask.jobHash,
    ruleHash: phase.ask.ruleHash,
    snapshot: phase.ask.snapshot,
  };
  if (verdict === "rejected") return { kind: "rejected", answer: bound };
  if (isDue(job, "approval", stands.at))
    throw new Fault("APPROVAL_NOT_ACTIONABLE", "the time in which it could be approved is over");
  if (isSamePerson(by, job.principal) && !parts.settings.allowsSelfApproval) {
    throw new Fault("SELF_APPROVAL_DENIED", `${by} submitted this job; somebody else must approve it`);
  }
  if (hashOfRequest(job) !== phase.ask.jobHash)
    throw new Fault("APPROVAL_STALE_REQUEST", "the stored request is not the one that was asked about");
  return approvalUnderPolicy(job, bound, parts);
}

/** See Y2 and Y3. A process that holds no policy leaves this to the one that places the job: it judges again there, before placing. */
function approvalUnderPolicy(job: Job, bound: ApprovalAnswer, parts: JobParts): JobEvent {
  if (!parts.drives) return { kind: "approved", answer: bound };
  if (parts.policy.snapshot() === bound.snapshot) return { kind: "approved", answer: bound };
  const decision = parts.policy.decide(policyInputOf(job));
  if (decision === "unavailable")
    throw new Fault("POLICY_UNAVAILABLE", "no policy is loaded, so the approval cannot be checked against it");
  const isSameQuestion = decision.kind === "require_approval" && decision.ruleHash === bound.ruleHash;
  if (isSameQuestion || decision.kind === "allow" || decision.kind === "allow_with_constraints")
    return { kind: "approved", answer: bound };
  if (decision.kind === "require_approval") {
    return { kind: "asked_again", decided: { at: parts.clock.now(), jobHash: job.hash, decision } };
  }
  throw new Fault(
    "APPROVAL_STALE_POLICY",
    `policy has changed since it asked; now it would ${decision.kind}: ${decision.reason}`,
  );
}

function cap(text: string): string {
  return capText(text.trim(), TEXT_CHARS_MAX);
}

/** Keys of one person may spell the name differently; nobody gains a vote by that. */
function isSamePerson(a: string, b: string): boolean {
  return a.trim().toLowerCase() === b.trim().toLowerCase();
}

function notFound(): Fault {
  return new Fault("JOB_NOT_FOUND", "job not found");
}
