// The whole store, as it is at one moment.
// Owns:          that jobs, their alarms, indexes, lanes and dead letters agree (G4, G5).
// Must not know: how they came to be so; records of other kinds (records.ts).

import type { Dump } from "../../adapters/memory/memory-state.ts";
import { indexName } from "../../adapters/state/names.ts";
import { DEAD_LETTER_KIND } from "../../dead-letters/dead-letter.ts";
import { alarmOf, isTerminal, type Job } from "../../jobs/job.ts";
import { parseJob } from "../../jobs/job-codec.ts";
import { entriesOfJob, JOB_INDEX } from "../../jobs/job-indexes.ts";
import { isDeadLetter } from "../../jobs/job-moves.ts";
import { JOB_KIND } from "../../jobs/job-store.ts";
import { LANES_INDEX } from "../../scheduling/backlog-lanes.ts";
import type { WorldView } from "../plan.ts";
import type { Ledger } from "./ledger.ts";
import { othersAgree } from "./records.ts";

/** For so long an alarm that was taken may be away. */
const ALARM_LEASE_MS = 10_000;

interface StoredJob {
  readonly job: Job;
  readonly partition: number;
  readonly alarmAt: number | "never";
}

export function storeAgrees(dump: Dump, view: Pick<WorldView, "now">, ledger: Ledger): string | undefined {
  const jobs = jobsOf(dump, ledger);
  return (
    acceptedAreStored(jobs, ledger) ??
    alarmsAreInTime(jobs, view.now) ??
    indexesAgree(jobs, dump) ??
    lanesAreNamed(jobs, dump) ??
    deadLettersAgree(jobs, dump, ledger) ??
    othersAgree(dump)
  );
}

/** A version that was seen when it was committed is not parsed again. */
function jobsOf({ records }: Dump, ledger: Ledger): readonly StoredJob[] {
  return records.flatMap(({ stored, alarmAt }) => {
    const { key, version } = stored;
    if (key.kind !== JOB_KIND) return [];
    const known = ledger.histories.get(key.id);
    const job = known?.version === version ? known.job : parseJob(stored.value);
    return [{ job, partition: key.partition, alarmAt }];
  });
}

function acceptedAreStored(jobs: readonly StoredJob[], ledger: Ledger): string | undefined {
  const stored = new Set(jobs.map(({ job }) => job.id));
  const missing = [...ledger.accepted].find((id) => !stored.has(id) && !ledger.forgotten.has(id));
  return missing === undefined ? undefined : `G4: ${missing} was accepted and is not stored`;
}

function alarmsAreInTime(jobs: readonly StoredJob[], now: number): string | undefined {
  for (const { job, alarmAt } of jobs) {
    if (isTerminal(job)) continue;
    const wake = alarmOf(job);
    if (alarmAt === "never" || wake === "never") return `G4: ${job.id} is ${job.phase.state} and has no alarm`;
    const latest = Math.max(wake, now + ALARM_LEASE_MS);
    if (alarmAt > latest) return `G4: the alarm of ${job.id} is ${alarmAt - latest} ms later than its earliest wake`;
  }
  return undefined;
}

const INDEXES_OF_JOBS = new Set<string>(Object.values(JOB_INDEX));

function indexesAgree(jobs: readonly StoredJob[], dump: Dump): string | undefined {
  const expected = new Map<string, number>();
  for (const { job, partition } of jobs)
    for (const { place, score } of placesOf(job, partition)) expected.set(place, score);
  for (const { key, entries } of dump.indexes) {
    if (!INDEXES_OF_JOBS.has(key.index)) continue;
    const index = indexName(key);
    for (const { member, score } of entries) {
      const name = `${index} ${member}`;
      if (expected.get(name) !== score) return `G5: index ${name} has ${score}, the record says ${expected.get(name)}`;
      expected.delete(name);
    }
  }
  const [missing] = expected.keys();
  return missing === undefined ? undefined : `G5: index ${missing} is missing`;
}

interface Place {
  readonly place: string;
  readonly score: number;
}
const places = new WeakMap<Job, readonly Place[]>();

/** Where a record must be listed. Versions are looked at again and again, and do not change. */
function placesOf(job: Job, partition: number): readonly Place[] {
  const known = places.get(job);
  if (known !== undefined) return known;
  const made = entriesOfJob(job).map(({ index, of, score }) => ({
    place: `${indexName({ partition, index, of })} ${job.id}`,
    score,
  }));
  places.set(job, made);
  return made;
}

/** Where a job waits for a pool its lane has a name; a name without jobs is only a look too many. */
function lanesAreNamed(jobs: readonly StoredJob[], dump: Dump): string | undefined {
  const named = new Set<string>();
  for (const { key, entries } of dump.indexes) {
    if (key.index === LANES_INDEX)
      for (const { member } of entries) named.add(`${key.partition} ${key.of[0]} ${member}`);
  }
  for (const { job, partition } of jobs) {
    const pools = job.phase.state === "SCHEDULED" ? job.phase.pools : [];
    const unnamed = pools
      .map((pool) => `${partition} ${pool} ${job.priority} ${job.tenant}`)
      .find((lane) => !named.has(lane));
    if (unnamed !== undefined) return `G5: ${job.id} waits in lane ${unnamed}, which has no name`;
  }
  return undefined;
}

function deadLettersAgree(jobs: readonly StoredJob[], dump: Dump, { discarded }: Ledger): string | undefined {
  const letters = new Set(
    dump.records.filter(({ stored }) => stored.key.kind === DEAD_LETTER_KIND).map(({ stored }) => stored.key.id),
  );
  for (const { job } of jobs) {
    if (letters.has(job.id) !== (isDeadLetter(job) && !discarded.has(job.id)))
      return `G5: ${job.id} is ${job.phase.state} and has ${letters.has(job.id) ? "a" : "no"} dead letter`;
  }
  return undefined;
}
