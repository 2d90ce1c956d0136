// Records, indexes, lanes, alarms, slots and dead letters of jobs agree: as a check of a whole store at rest.
// Owns:          what must be in a store, given the records of jobs in it.
// Must not know: where the dump comes from (memory-state.ts, redis-dump.ts), how the store came to be so.

import type { Dump } from "../adapters/memory/memory-state.ts";
import { DEAD_LETTER_KIND } from "../dead-letters/dead-letter.ts";
import { alarmOf, isTerminal, type Job } from "../jobs/job.ts";
import { parseJob } from "../jobs/job-codec.ts";
import { entriesOfJob } from "../jobs/job-indexes.ts";
import { isDeadLetter } from "../jobs/job-moves.ts";
import { JOB_KIND } from "../jobs/job-store.ts";
import type { EpochMs } from "../ports/time.ts";
import { LANES_INDEX, nameLane } from "../scheduling/backlog-lanes.ts";
import { SLOT_KIND } from "../scheduling/slots.ts";

interface StoredJob {
  readonly job: Job;
  readonly partition: number;
  readonly alarmAt: number | "never";
  readonly expires: boolean;
}

/** One sentence for each thing that is missing, too much or wrong. `now`: of the store's clock. */
export function disagreements(dump: Dump, now: EpochMs): readonly string[] {
  const jobs = dump.records
    .filter(({ stored }) => stored.key.kind === JOB_KIND)
    .map(({ stored, alarmAt, expiresAt }): StoredJob => {
      return {
        job: parseJob(stored.value),
        partition: stored.key.partition,
        alarmAt,
        expires: expiresAt !== undefined,
      };
    });
  return [
    ...jobs.flatMap((stored) => faultsOf(stored, now)),
    ...difference("index entry", entriesThere(dump), entriesWanted(jobs)),
    ...difference("dead letter", idsOf(dump, DEAD_LETTER_KIND), idsWhere(jobs, isDeadLetter)),
    ...difference("slot", idsOf(dump, SLOT_KIND), slotsWanted(jobs)),
    ...lanesWanted(jobs).filter((lane) => !lanesThere(dump).has(lane)),
  ];
}

function faultsOf({ job, alarmAt, expires }: StoredJob, now: number): readonly string[] {
  const alarm = alarmOf(job);
  const isLeased = alarm !== "never" && alarmAt !== "never" && alarm <= now && alarmAt >= alarm;
  const faults: string[] = [];
  if (alarm !== alarmAt && !isLeased) faults.push(`alarm of ${job.id} at ${alarmAt}, not ${alarm}`);
  if (isTerminal(job) !== expires) faults.push(`${job.id} is ${job.phase.state} and expires: ${expires}`);
  const isAwake = alarm !== "never" && alarm !== job.wakes.stop;
  if (isTerminal(job) === isAwake) faults.push(`${job.id} is ${job.phase.state} and wakes ${alarm}`);
  return faults;
}

function difference(what: string, there: ReadonlySet<string>, wanted: ReadonlySet<string>): readonly string[] {
  return [
    ...[...wanted].filter((name) => !there.has(name)).map((name) => `${what} missing: ${name}`),
    ...[...there].filter((name) => !wanted.has(name)).map((name) => `${what} too much: ${name}`),
  ];
}

function entriesWanted(jobs: readonly StoredJob[]): ReadonlySet<string> {
  const entries = jobs.flatMap(({ job, partition }) =>
    entriesOfJob(job).map(({ index, of, score }) => JSON.stringify([partition, index, of, job.id, score])),
  );
  return new Set(entries);
}

function entriesThere({ indexes }: Dump): ReadonlySet<string> {
  const ofJobs = indexes.filter(({ key }) => key.index.startsWith("job.") && key.index !== LANES_INDEX);
  return new Set(
    ofJobs.flatMap(({ key, entries }) =>
      entries.map(({ member, score }) => JSON.stringify([key.partition, key.index, key.of, member, score])),
    ),
  );
}

function lanesWanted(jobs: readonly StoredJob[]): readonly string[] {
  return jobs.flatMap(({ job, partition }) => {
    const pools = job.phase.state === "SCHEDULED" ? job.phase.pools : [];
    const changes = pools.map((pool) => nameLane({ pool, priority: job.priority, tenant: job.tenant }, partition));
    return changes.map((change) => (change.do === "enter" ? JSON.stringify([change.index, change.member]) : ""));
  });
}

function lanesThere({ indexes }: Dump): ReadonlySet<string> {
  const lanes = indexes.filter(({ key }) => key.index === LANES_INDEX);
  return new Set(lanes.flatMap(({ key, entries }) => entries.map(({ member }) => JSON.stringify([key, member]))));
}

function slotsWanted(jobs: readonly StoredJob[]): ReadonlySet<string> {
  return new Set(
    jobs.flatMap(({ job: { phase } }) =>
      "dispatch" in phase ? phase.dispatch.limits.map((limit) => `${limit}:${phase.dispatch.id}`) : [],
    ),
  );
}

function idsOf({ records }: Dump, kind: string): ReadonlySet<string> {
  return new Set(records.filter(({ stored }) => stored.key.kind === kind).map(({ stored }) => stored.key.id));
}

function idsWhere(jobs: readonly StoredJob[], claim: (job: Job) => boolean): ReadonlySet<string> {
  return new Set(jobs.filter(({ job }) => claim(job)).map(({ job }) => job.id));
}
