// Operators at a node of a simulated house: they look after dead letters.
// Owns:          what they do with a letter or with many, and what must hold of the answers.
// Must not know: how a job is repeated.

import { listDeadLetters } from "../../dead-letters/list-dead-letters.ts";
import { discardDeadLetter } from "../../dead-letters/resolve.ts";
import { type BulkAnswer, type BulkWish, discardMany, retryMany } from "../../jobs/bulk-letters.ts";
import { remediateJob } from "../../jobs/remediate.ts";
import { retryDeadLetter } from "../../jobs/retry.ts";
import { actorNamed, ignoringFaults, OTHER_TENANT, TENANT, type User } from "./user.ts";

/** The world must come to rest: a job that was retried may make the next letter. */
const DEEDS_MAX = 8;
const MANY = 3;

export async function tendLetters(user: User): Promise<void> {
  const { people, ledger, habits } = user;
  const { chance, clock, signal } = user.ports;
  while (people.deeds < DEEDS_MAX && (await clock.sleep(1_000 + chance.below(3_000), signal))) {
    if (ledger.isHealed) return;
    const tenant = habits.tenants && chance.once(3) ? OTHER_TENANT : TENANT;
    await ignoringFaults(() => (chance.once(3) ? tendMany(tenant, user) : tendOne(tenant, user)));
  }
}

async function tendOne(tenant: string, user: User): Promise<void> {
  const { parts, ledger, people, fail } = user;
  const { chance, signal, clock } = user.ports;
  const until = clock.deadline(signal, 5_000);
  const { letters } = await listDeadLetters(parts.state, { tenant, limit: 8 }, until);
  const foreign = letters.find((letter) => letter.tenant !== tenant);
  if (foreign !== undefined) fail(`G17: ${tenant} is shown the dead letter of ${foreign.jobId} of ${foreign.tenant}`);
  const letter = letters[chance.below(Math.max(1, letters.length))];
  if (letter === undefined) return;
  people.deeds++;
  const { jobId } = letter;
  const actor = actorNamed("olga", tenant);
  if (letter.code === "safety_denied" && chance.once(2)) {
    const made = await remediateJob(jobId, { tenant, actor, remediationId: "" }, parts, signal);
    ledger.noteRepeated("remediated", jobId, made.jobId, fail);
    ledger.confirmDeed("job.remediate", jobId, fail);
  } else if (chance.once(4)) {
    if (await discardDeadLetter(jobId, { tenant, actor }, parts, signal)) {
      ledger.count("discarded");
      ledger.confirmDeed("dlq.delete", jobId, fail);
    }
  } else {
    const made = await retryDeadLetter(jobId, { tenant, actor }, parts, signal);
    ledger.noteRepeated("retried", jobId, made.jobId, fail);
    ledger.confirmDeed("dlq.retry", jobId, fail);
  }
}

async function tendMany(tenant: string, user: User): Promise<void> {
  const { parts, people } = user;
  const { chance, signal } = user.ports;
  people.deeds++;
  const wish: BulkWish = {
    filter: { tenant, ...(chance.once(2) ? { code: "safety_denied" } : {}) },
    actor: actorNamed("olga", tenant),
    reason: "all of them",
    dryRun: chance.once(3),
    limit: MANY,
  };
  const many = chance.once(3) ? discardMany : retryMany;
  hearMany(await many(wish, parts, signal), wish, user);
}

function hearMany({ outcomes }: BulkAnswer, { dryRun, filter }: BulkWish, { ledger, fail }: User): void {
  if (outcomes.length > MANY) fail(`G15: ${outcomes.length} letters were treated, ${MANY} were asked for`);
  for (const outcome of outcomes) {
    const { jobId, kind } = outcome;
    ledger.count(`bulk ${kind}`);
    const owner = ledger.histories.get(jobId)?.job.tenant;
    if (owner !== undefined && owner !== filter.tenant)
      fail(`G17: ${filter.tenant} treats the letter of ${jobId} of ${owner}`);
    if (dryRun && (kind === "retried" || kind === "deleted")) fail(`G15: a dry run has ${kind} ${jobId}`);
    if (kind === "retried") {
      ledger.noteRepeated("retried", jobId, outcome.newJobId, fail);
      ledger.confirmDeed("dlq.retry", jobId, fail);
    }
    if (kind === "deleted") ledger.confirmDeed("dlq.delete", jobId, fail);
  }
}
