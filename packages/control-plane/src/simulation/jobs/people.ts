// Clients, approvers and whoever cancels, at one node of a simulated house.
// Owns:          what they ask for, what they were told, what they must not be told.
// Must not know: how the control plane works inside; which faults it meets.
// People live outside of the node: what they asked and were told is kept by `People` and in the ledger, whatever crashes.

import { approveJob, rejectJob } from "../../approvals/answer.ts";
import { listApprovals } from "../../approvals/list-approvals.ts";
import { discardDeadLetter } from "../../dead-letters/resolve.ts";
import { cancelJob } from "../../jobs/cancel.ts";
import type { Job } from "../../jobs/job.ts";
import { loadOwnJob } from "../../jobs/read-job.ts";
import { retryDeadLetter } from "../../jobs/retry.ts";
import { type Submitted, submitJob } from "../../jobs/submit.ts";
import { submitBatch } from "../../jobs/submit-batch.ts";
import type { SubmitCommand } from "../../jobs/submit-command.ts";
import { Fault } from "../../ports/fault.ts";
import { COMMAND } from "../../testing/job-scene.ts";
import { QUIET_MS } from "./capacity.ts";
import { type Ledger, note } from "./ledger.ts";
import { TOPICS } from "./policies.ts";
import { WHISPER } from "./secrecy.ts";
import { actorNamed, faultOr, ignoringFaults, knownJob, OTHER_TENANT, TENANT, type User } from "./user.ts";

const CLIENT = "ada";
const APPROVERS = ["bob", "eve", CLIENT] as const;
const BATCH = 3;
const DELAY_MS = 20_000;

/** Asked for after healing: more than the slots of all workers, so that a slot that was never given back is missed. */
export const FRESH = 12;

export async function submitAll(user: User): Promise<void> {
  const { people, ledger } = user;
  const { chance, clock, signal } = user.ports;
  while (people.next < user.submissions) {
    const asked = await submitSome(people.next, user);
    people.next += asked;
    if (!(await clock.sleep(chance.below(asked > 0 ? 900 : 300), signal))) return;
  }
  while (people.nextFresh < FRESH) {
    if (people.nextFresh === 0 && !(await clock.sleep(1_000, signal))) return;
    if (!ledger.isHealed) continue;
    if (people.nextFresh === 0 && !(await clock.sleep(QUIET_MS, signal))) return;
    const { jobId } = await submitJob({ ...BASE_COMMAND, topic: "job.echo", priority: "critical" }, user.parts, signal);
    ledger.fresh.add(jobId);
    people.nextFresh++;
  }
}

/** How many submissions were answered; 0: the client asks again. */
async function submitSome(nth: number, user: User): Promise<number> {
  const { parts, ports, habits, ledger, people } = user;
  const isBatch = habits.batches && nth % BATCH === 0 && nth + BATCH <= user.submissions && ports.chance.once(2);
  const commands = Array.from({ length: isBatch ? BATCH : 1 }, (_, at) => commandOf(nth + at, user));
  for (const { idempotencyKey } of commands)
    if (!people.askedAt.has(idempotencyKey)) people.askedAt.set(idempotencyKey, ports.clock.now());
  const answers = isBatch
    ? await submitBatch(commands, parts, ports.signal)
    : [await faultOr(submitJob(commands[0] ?? BASE_COMMAND, parts, ports.signal))];
  const isAnswered = commands.map((command, at) => hear(command, answers[at], user));
  if (isBatch) ledger.count(isAnswered.every((is) => is) ? "batch" : "batch in part");
  return isAnswered.every((is) => is) ? commands.length : 0;
}

/** True when the client will not ask again. */
function hear(command: SubmitCommand, answer: Submitted | Fault | undefined, { ledger, people }: User): boolean {
  if (answer === undefined) return false;
  if (answer instanceof Fault) {
    ledger.count(`submit ${answer.code}`);
    return answer.spec.retry === "never";
  }
  const { jobId } = answer;
  ledger.accepted.add(jobId);
  ledger.count("accepted");
  if (command.delayMs !== undefined && !ledger.notBefore.has(jobId)) {
    ledger.notBefore.set(jobId, (people.askedAt.get(command.idempotencyKey) ?? 0) + command.delayMs);
    ledger.count("delayed");
  }
  if (command.idempotencyKey !== "") noteKey(`${command.tenant} ${command.idempotencyKey}`, jobId, ledger);
  return true;
}

function noteKey(key: string, jobId: string, ledger: Ledger): void {
  const first = ledger.byKey.get(key);
  if (first === undefined) ledger.byKey.set(key, jobId);
  else if (first !== jobId) ledger.count("KEY NAMES TWO JOBS");
}

/** The nth command of a client is always the same; every third key is used twice, once with another body, once by another tenant. */
function commandOf(nth: number, { name, habits }: User): SubmitCommand {
  const base = nth % 3 === 2 ? nth - 1 : nth;
  const deadlineMs = nth % 5 === 4 && nth % 3 === 0 ? 5_000 : 0;
  return {
    ...BASE_COMMAND,
    tenant: habits.tenants && nth % 4 === 3 ? OTHER_TENANT : TENANT,
    topic: TOPICS[(base * 5 + name.length) % TOPICS.length] ?? "job.echo",
    prompt: nth % 6 === 5 ? `${WHISPER}: another body` : BASE_COMMAND.prompt,
    priority: (["critical", "interactive", "batch"] as const)[base % 3] ?? "batch",
    // Without a key nobody can ask twice: then a lost answer is a job that its client does not know.
    idempotencyKey: nth % 8 === 7 ? "" : `${name}-${base}`,
    deadlineMs,
    ...(habits.delays && base % 4 === 1 && deadlineMs === 0 ? { delayMs: DELAY_MS } : {}),
  };
}

export async function answerApprovals(user: User): Promise<void> {
  const { parts, ledger, habits } = user;
  const { chance, clock, signal } = user.ports;
  while (await clock.sleep(1_500 + chance.below(4_000), signal)) {
    const tenant = habits.tenants && chance.once(2) ? OTHER_TENANT : TENANT;
    await ignoringFaults(async () => {
      const { jobs } = await listApprovals({ tenant, limit: 10 }, parts, signal);
      for (const job of jobs) {
        if (job.tenant !== tenant) user.fail(`G17: ${tenant} is asked about ${job.id} of ${job.tenant}`);
        if (chance.once(ledger.isHealed ? 1 : 2)) await answerOne(job, user);
      }
    });
  }
}

async function answerOne(job: Job, { parts, ports, ledger, fail }: User): Promise<void> {
  const by = APPROVERS[ports.chance.below(APPROVERS.length)] ?? "bob";
  const yes = ports.chance.below(10) < 7;
  const answer = { tenant: job.tenant, actor: actorNamed(by, job.tenant), reason: "because", note: "" };
  if (yes && by !== job.principal) note(ledger.approvers, job.id, by);
  await ignoringFaults(async () => {
    const { moved } = await (yes ? approveJob : rejectJob)(job.id, answer, parts, ports.signal);
    note(ledger.confirmed, job.id, `${yes ? "approved" : "rejected"} by ${by}`);
    ledger.count(yes ? "approved" : "rejected");
    if (moved) ledger.confirmDeed(yes ? "job.approve" : "job.reject", job.id, fail);
    if (yes && by === job.principal) ledger.count("SELF APPROVED");
  });
}

export async function cancelSome(user: User): Promise<void> {
  const { parts, ledger, habits, fail } = user;
  const { chance, clock, signal } = user.ports;
  while (await clock.sleep(3_000 + chance.below(9_000), signal)) {
    const jobId = knownJob(user);
    const tenant = jobId === undefined ? undefined : ledger.histories.get(jobId)?.job.tenant;
    if (jobId === undefined || tenant === undefined || ledger.isHealed) continue;
    await ignoringFaults(async () => {
      if (habits.tenants && chance.once(2)) return trespass(jobId, tenant === TENANT ? OTHER_TENANT : TENANT, user);
      const cancellation = { tenant, by: actorNamed(CLIENT, tenant), reason: "not needed" };
      const { moved } = await cancelJob(jobId, cancellation, parts, signal);
      if (!moved) return;
      ledger.count("cancelled");
      ledger.confirmDeed("job.cancel", jobId, fail);
    });
  }
}

/** Somebody of another tenant tries: nothing may come of it. */
async function trespass(jobId: string, tenant: string, { parts, ports, ledger, fail }: User): Promise<void> {
  const by = actorNamed("mallory", tenant);
  const { signal } = ports;
  const answer = { tenant, actor: by, reason: "", note: "" };
  const attempts: readonly (() => Promise<unknown>)[] = [
    () => cancelJob(jobId, { tenant, by, reason: "" }, parts, signal),
    () => approveJob(jobId, answer, parts, signal),
    () => rejectJob(jobId, answer, parts, signal),
    () => loadOwnJob(jobId, tenant, parts, signal),
    () => retryDeadLetter(jobId, { tenant, actor: by }, parts, signal),
    async () => {
      const isRemoved = await discardDeadLetter(jobId, { tenant, actor: by }, parts, signal);
      if (!isRemoved) throw new Fault("DEAD_LETTER_NOT_FOUND", "as it should be");
    },
  ];
  const which = ports.chance.below(attempts.length);
  const answered = await faultOr(attempts[which]?.() ?? Promise.resolve());
  if (!(answered instanceof Fault))
    fail(`G17: ${tenant} got an answer about ${jobId}, which is another tenant's (${which})`);
  else ledger.count(`trespass ${answered.code}`);
}

export const BASE_COMMAND: SubmitCommand = {
  ...COMMAND,
  tenant: TENANT,
  principal: CLIENT,
  prompt: `${WHISPER}: a prompt`,
  context: { note: WHISPER },
};
