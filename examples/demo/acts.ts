// The acts of the demo, in order.
// Owns:          what is done in which order, and what each wait is for.
// Must not know: how the system is started and ended.
// A1. Whatever waits says what for, and ends: with what it waited for, after WAIT_MS, or when `signal` fires.

import { setTimeout as sleep } from "node:timers/promises";
import { CordumError, type JobDecision, type JobDetail } from "@cordum/sdk";
import type { DemoJob } from "./jobs.ts";
import type { Story } from "./story.ts";
import type { DemoSystem } from "./system.ts";

const WAIT_MS = 15_000;
const POLL_MS = 50;

export interface Stage {
  readonly system: DemoSystem;
  readonly story: Story;
  readonly signal: AbortSignal;
}

export interface Submitted {
  readonly job: DemoJob;
  readonly id: string;
  /** What policy decided first. */
  readonly decision: JobDecision;
}

/** Hands the job in and tells what policy said, before anything that follows from it. */
export async function submit(stage: Stage, job: DemoJob): Promise<Submitted> {
  return inOrder(stage.story, async () => {
    const { system, story, signal } = stage;
    story.tell(job.name, `ada asks: ${job.submission.prompt}`);
    const { job_id: id } = await system.ada.submit(job.submission, { signal });
    const decisions = async () => (await system.ada.decisions(id, { signal })).at(-1);
    const decision = await until(stage, `a decision about ${job.name}`, decisions);
    const at = decision.checked_at === undefined ? undefined : decision.checked_at / 1_000;
    story.tell(job.name, `policy: ${decision.decision}, rule ${decision.rule_id}: ${decision.reason}`, at);
    return { job, id, decision };
  });
}

/** A job that is denied ends at once; what is known about it is kept in the dead letters. */
export async function tellDeadLetter(stage: Stage, { job, id }: Submitted): Promise<void> {
  const letter = await until(stage, `the dead letter of ${job.name}`, async () => {
    for await (const each of stage.system.ada.deadLetters.list({ signal: stage.signal }))
      if (each.job_id === id) return each;
    return undefined;
  });
  stage.story.tell(job.name, `dead letter: ${letter.reason_code}: ${letter.reason}`);
}

/** A throttled job is judged again and again. Shows that, then changes the policy. */
export async function liftThrottle(stage: Stage, { job, id }: Submitted): Promise<void> {
  const { system, story } = stage;
  const judgedAt = async () => (await system.ada.decisions(id)).at(0)?.checked_at ?? 0;
  const before = await judgedAt();
  await until(
    stage,
    `${job.name} to be judged again, one second after the last time`,
    async () => (await judgedAt()) > before || undefined,
  );
  story.tell(job.name, "judged again: still throttled");
  await system.running.replacePolicy(withoutThrottle(system.policy));
  story.say("the policy is edited: mail-is-held-back now allows");
}

/** The edit that a person would make: the rule stays, its decision changes. */
export function withoutThrottle(policy: string): string {
  return policy.replace("decision: throttle", "decision: allow").replace(/^ *retry_after_ms:.*\n/m, "");
}

/** What the person sees, and why ada cannot answer herself. */
export async function showApproval(stage: Stage, { job, id }: Submitted): Promise<void> {
  const { system, story, signal } = stage;
  const asked = await until(stage, `${job.name} to ask for an approval`, async () => {
    for await (const each of system.ben.approvals.list({ signal })) if (each.job.id === id) return each;
    return undefined;
  });
  story.tell(job.name, `waits for a person: rule ${asked.policy_rule_id}: ${asked.policy_reason}`);
  try {
    await system.ada.approvals.approve(id, {}, { signal });
    story.tell(job.name, "ada approved her own job: that must not be possible");
  } catch (error) {
    if (!(error instanceof CordumError)) throw error;
    story.tell(job.name, `ada tries to approve it herself: refused (${error.code})`);
  }
}

export async function answerApproval(stage: Stage, { job, id }: Submitted, isApproved: boolean): Promise<void> {
  const { system, story, signal } = stage;
  const verdict = { reason: isApproved ? "the files are old" : "not today" };
  await inOrder(story, async () => {
    story.tell(job.name, `ben ${isApproved ? "approves" : "rejects"}: ${verdict.reason}`);
    if (isApproved) await system.ben.approvals.approve(id, verdict, { signal });
    else await system.ben.approvals.reject(id, verdict, { signal });
  });
}

export async function untilEnd({ system, story, signal }: Stage, { job, id }: Submitted): Promise<JobDetail> {
  story.tell(job.name, story.hasEnded(job.name) ? "has ended already" : "waiting for its end");
  const ended = await system.ada.wait(id, { signal, timeoutMs: WAIT_MS });
  // News may be lost: the end itself never is.
  story.moved(job.name, ended.state, ended.error_message ?? "");
  return ended;
}

/** What happens meanwhile is told afterwards, in the order of its times. */
async function inOrder<T>(story: Story, work: () => Promise<T>): Promise<T> {
  story.hold();
  try {
    return await work();
  } finally {
    story.release();
  }
}

/** The first answer of `ask` that is not undefined. */
async function until<T>({ story, signal }: Stage, what: string, ask: () => Promise<T | undefined>): Promise<T> {
  const endsAt = performance.now() + WAIT_MS;
  for (let asked = 0; ; asked++) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (asked === 0) story.say(`waiting for ${what}`);
    if (performance.now() > endsAt) throw new Error(`waited ${WAIT_MS / 1_000} s for ${what}, in vain`);
    await sleep(POLL_MS, undefined, { signal });
  }
}
