// How jobs lie in State.
// Owns:          kind, retention, and what is written together with a job (its dead letter, the names of the lanes it waits in).
// Must not know: why a job changes.

import { deadLetterChanges } from "../dead-letters/dead-letter.ts";
import type { Clock } from "../ports/clock.ts";
import type { Change, State } from "../ports/state.ts";
import type { Ms } from "../ports/time.ts";
import { RecordStore, type Saved, type Seen } from "../records/record-store.ts";
import { nameLane } from "../scheduling/backlog-lanes.ts";
import { alarmOf, isTerminal, type Job, parseJob } from "./job.ts";
import { entriesOfJob } from "./job-indexes.ts";
import { isDeadLetter } from "./job-moves.ts";

export const JOB_KIND = "job";

export type SeenJob = Seen<Job>;
export type SavedJob = Saved<Job>;

export interface JobRetention {
  /** Finished jobs. */
  readonly jobKeepMs: Ms;
  readonly deadLetterKeepMs: Ms;
}

export class JobStore {
  readonly #records: RecordStore<Job>;
  readonly #retention: JobRetention;

  constructor(state: State, clock: Clock, retention: JobRetention) {
    this.#retention = retention;
    this.#records = new RecordStore(state, clock, {
      kind: JOB_KIND,
      idOf: (job) => job.id,
      parse: parseJob,
      entriesOf: entriesOfJob,
      alarmOf,
      keepMsOf: (job) => (isTerminal(job) ? retention.jobKeepMs : undefined),
    });
  }

  load(id: string, signal: AbortSignal): Promise<SeenJob | undefined> {
    return this.#records.load(id, signal);
  }

  loadMany(ids: readonly string[], signal: AbortSignal): Promise<readonly (SeenJob | undefined)[]> {
    return this.#records.loadMany(ids, signal);
  }

  /** Conflict when the id is taken; the conflict brings the job that has it. */
  create(job: Job, signal: AbortSignal): Promise<SavedJob> {
    return this.#records.create(job, { also: this.#alsoFor(job) }, signal);
  }

  replace(seen: SeenJob, next: Job, signal: AbortSignal): Promise<SavedJob> {
    return this.#records.replace(seen, next, { also: this.#alsoFor(next) }, signal);
  }

  #alsoFor(job: Job): readonly Change[] {
    const { phase, tenant, priority } = job;
    const { partition } = this.#records.key(job.id);
    if (phase.state === "SCHEDULED") return phase.pools.map((pool) => nameLane({ partition, pool, priority, tenant }));
    if (!("outcome" in phase) || !isDeadLetter(job)) return [];
    const letter = {
      shape: 1,
      jobId: job.id,
      tenant: job.tenant,
      topic: job.topic,
      status: phase.outcome.reported === "" ? `JOB_STATUS_${phase.state}` : phase.outcome.reported,
      code: phase.outcome.code,
      reason: phase.outcome.message,
      lastState: job.steps.at(-2)?.state ?? phase.state,
      attempts: job.attempts,
      createdAt: phase.outcome.at,
    } as const;
    return deadLetterChanges(letter, partition, this.#retention.deadLetterKeepMs);
  }
}
