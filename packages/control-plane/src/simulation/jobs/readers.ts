// Readers at a node of a simulated house: one follows all jobs of a tenant, one watches single jobs to their end.
// Owns:          what they were shown, and what must hold of it. A reader goes on from where it was, at the same node after a crash.
// Must not know: how changes are found.
// G21: Nothing older than what it has is shown to a reader; at the end it has seen the state of each job as it is; whoever watches a job sees
//      its end.

import { isTerminal, type Job } from "../../jobs/job.ts";
import type { JobFeed } from "../../jobs/job-feed.ts";
import { JobFollower } from "../../jobs/job-follower.ts";
import { watchJob } from "../../jobs/job-watch.ts";
import { faultOr, knownJob, OTHER_TENANT, type Shown, TENANT, type User } from "./user.ts";

const WAITING_MAX = 4;

/** The nodes' readers read for different tenants. */
export function tenantOfReader({ name, habits }: Pick<User, "name" | "habits">): string {
  return habits.tenants && name === "node1" ? OTHER_TENANT : TENANT;
}

export async function readAlong(feed: JobFeed, user: User): Promise<void> {
  const { ports, ledger } = user;
  const { chance, clock, signal } = ports;
  while (!signal.aborted) {
    const connection = new AbortController();
    if (!ledger.isHealed) void cutAfter(5_000 + chance.below(30_000), connection, user);
    await faultOr(readOn(feed, connection.signal, user)); // a life's own signal never fires
    ledger.count("reader connects");
    if (!(await clock.sleep(500 + chance.below(2_000), signal))) return;
  }
}

async function cutAfter(ms: number, connection: AbortController, { ports }: User): Promise<void> {
  await ports.clock.sleep(ms, ports.signal);
  connection.abort();
}

async function readOn(feed: JobFeed, until: AbortSignal, user: User): Promise<void> {
  const { parts, people, ports, ledger } = user;
  const { reader } = people;
  const show = ({ tenant, phase, updatedAt }: Job): Shown => ({ tenant, state: phase.state, updatedAt });
  const since = reader.since ?? 0;
  const follower = new JobFollower(feed, parts, { tenant: tenantOfReader(user), since, waitingMax: WAITING_MAX, show });
  try {
    for await (const { jobId, shown, safeAt } of follower.changes(until)) {
      look(jobId, shown, user);
      reader.since = safeAt;
      if (!ledger.isHealed && ports.chance.once(8)) await ports.clock.sleep(ports.chance.below(6_000), until);
    }
  } finally {
    if (follower.passes > 1) ledger.count("reader fell behind");
  }
}

function look(jobId: string, shown: Shown, user: User): void {
  const { ledger, people, fail } = user;
  const tenant = tenantOfReader(user);
  ledger.count("shown");
  if (shown.tenant !== tenant) fail(`G17: a reader of ${tenant} is shown ${jobId} of ${shown.tenant}`);
  const before = people.reader.seen.get(jobId);
  if (before !== undefined && shown.updatedAt < before.updatedAt && !ledger.forgotten.has(jobId))
    fail(`G21: a reader is shown ${jobId} as it was ${before.updatedAt - shown.updatedAt} ms before what it has`);
  people.reader.seen.set(jobId, shown);
}

/** A job that the reader does not know as it is; undefined: it has seen everything. */
export function unseenBy(user: Pick<User, "name" | "habits" | "people" | "ledger">): string | undefined {
  const tenant = tenantOfReader(user);
  const { seen } = user.people.reader;
  for (const { job } of user.ledger.histories.values()) {
    if (job.tenant !== tenant || user.ledger.forgotten.has(job.id)) continue;
    const shown = seen.get(job.id);
    if (shown?.state !== job.phase.state || shown.updatedAt !== job.updatedAt)
      return `${job.id} is ${job.phase.state}, the reader at ${user.name} has seen it ${shown?.state ?? "never"}`;
  }
  return undefined;
}

export async function watchSome(feed: JobFeed, user: User): Promise<void> {
  const { people, ledger, ports } = user;
  const { chance, clock, signal } = ports;
  while (await clock.sleep(1_000 + chance.below(8_000), signal)) {
    const { reader } = people;
    if (reader.watched === undefined && !ledger.isHealed) reader.watched = knownJob(user);
    if (reader.watched === undefined) continue;
    const seen = await faultOr(watchOne(reader.watched, feed, user));
    if (seen === "end" || ledger.forgotten.has(reader.watched)) reader.watched = undefined;
  }
}

async function watchOne(jobId: string, feed: JobFeed, user: User): Promise<"end" | "cut"> {
  const { parts, ports, ledger, fail } = user;
  const tenant = ledger.histories.get(jobId)?.job.tenant ?? TENANT;
  let last: Job | undefined;
  for await (const { job } of watchJob({ tenant, jobId }, feed, parts, ports.signal)) {
    if (job.id !== jobId || job.tenant !== tenant)
      fail(`G17: who watches ${jobId} of ${tenant} is shown ${job.id} of ${job.tenant}`);
    last = job;
  }
  if (ports.signal.aborted) return "cut";
  if (!ledger.forgotten.has(jobId) && (last === undefined || !isTerminal(last)))
    fail(`G21: who watched ${jobId} was left while it was ${last?.phase.state}`);
  ledger.count("watched to the end");
  return "end";
}
