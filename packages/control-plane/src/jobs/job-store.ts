// How jobs lie in State.
// Owns:          kind, retention, and what is written together with a job (its dead letter, the names of the lanes it waits in).
// Must not know: why a job changes.

import { deadLetterChanges } from "../dead-letters/dead-letter.ts";
import type { Clock } from "../ports/clock.ts";
import type { Change, State } from "../ports/state.ts";
import type { Ms } from "../ports/time.ts";
import { putNewest } from "../records/newest.ts";
import { RecordStore, type Saved, type Seen } from "../records/record-store.ts";
import { nameLane } from "../scheduling/backlog-lanes.ts";
import { alarmOf, isTerminal, type Job } from "./job.ts";
import { type DeedOf, deedChanges } from "./job-audit.ts";
import { parseJob, writeJob } from "./job-codec.ts";
import { entriesOfJob } from "./job-indexes.ts";
import { isDeadLetter } from "./job-moves.ts";
import { letterOf } from "./letter-of.ts";

export const JOB_KIND = "job";
const SENT_MAX = 10_000;
/** Larger ones are read again: ten thousand of them would fill the memory. */
const SENT_CHARS_MAX = 16_384;

export type SeenJob = Seen<Job>;
export type SavedJob = Saved<Job>;

export interface JobRetention {
  /** Finished jobs. */
  readonly jobKeepMs: Ms;
  readonly deadLetterKeepMs: Ms;
}

export interface CreateOptions {
  /** Payloads that the job points to. */
  readonly attached?: readonly Change[] | undefined;
  readonly deedOf?: DeedOf | undefined;
}

export class JobStore {
  readonly #records: RecordStore<Job>;
  readonly #retention: JobRetention;
  readonly #clock: Clock;
  /** Jobs that this process has sent out, as it wrote them. They may be out of date: a commit on them tells. */
  readonly #sent = new Map<string, SeenJob>();

  constructor(state: State, clock: Clock, retention: JobRetention) {
    this.#retention = retention;
    this.#clock = clock;
    this.#records = new RecordStore(state, clock, {
      kind: JOB_KIND,
      idOf: (job) => job.id,
      parse: parseJob,
      write: writeJob,
      entriesOf: entriesOfJob,
      alarmOf,
      keepMsOf: (job) => (isTerminal(job) ? retention.jobKeepMs : undefined),
      noteSaved: (id, saved) => this.#remember(id, saved),
    });
  }

  get deadLetterKeepMs(): Ms {
    return this.#retention.deadLetterKeepMs;
  }

  load(id: string, signal: AbortSignal): Promise<SeenJob | undefined> {
    return this.#records.load(id, signal);
  }

  loadMany(ids: readonly string[], signal: AbortSignal): Promise<readonly (SeenJob | undefined)[]> {
    return this.#records.loadMany(ids, signal);
  }

  /** The job as this process wrote it last, if it is out with a worker; perhaps out of date. */
  recall(id: string): SeenJob | undefined {
    return this.#sent.get(id);
  }

  /** Conflict when the id is taken; the conflict brings the job that has it. */
  create(job: Job, signal: AbortSignal, { attached = [], deedOf }: CreateOptions = {}): Promise<SavedJob> {
    const also = [...this.#alsoFor(undefined, job, deedOf), ...attached];
    return this.#records.create(job, { also }, signal);
  }

  /** `deedOf`: whose doing the change is, for the audit; absent where it is nobody's. */
  replace(seen: SeenJob, next: Job, signal: AbortSignal, deedOf?: DeedOf): Promise<SavedJob> {
    const also = this.#alsoFor(seen.record, next, deedOf);
    return this.#records.replace(seen, next, { also }, signal);
  }

  #remember(id: string, { seen }: SavedJob): void {
    const isSmall = (seen?.record.request.length ?? 0) <= SENT_CHARS_MAX;
    if (seen !== undefined && isSmall && "dispatch" in seen.record.phase) putNewest(this.#sent, id, seen, SENT_MAX);
    else this.#sent.delete(id);
  }

  #alsoFor(before: Job | undefined, next: Job, deedOf: DeedOf | undefined): readonly Change[] {
    if (deedOf === undefined) return this.#companionsOf(before, next);
    const { partition } = this.#records.key(next.id);
    const deed = deedChanges(deedOf(before, next), next, partition, this.#clock.now());
    return [...this.#companionsOf(before, next), ...deed];
  }

  /** A note on an ended job leaves its dead letter alone, which may have been retried or removed meanwhile. */
  #companionsOf(before: Job | undefined, job: Job): readonly Change[] {
    if (before !== undefined && isTerminal(before)) return [];
    const { phase, tenant, priority } = job;
    const { partition } = this.#records.key(job.id);
    if (phase.state === "SCHEDULED") return phase.pools.map((pool) => nameLane({ pool, priority, tenant }, partition));
    if (!("outcome" in phase) || !isDeadLetter(job)) return [];
    return deadLetterChanges(letterOf(job, phase.outcome), partition, this.#retention.deadLetterKeepMs);
  }
}
