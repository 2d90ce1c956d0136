// What is known at the end of a round, and the form of what must hold of it.
// Owns:          the facts; which jobs a loss of Redis may have touched.
// Must not know: which invariants there are.

import type { Dump } from "@cordum/control-plane/adapters/memory/memory-state";
import type { Job } from "@cordum/control-plane/jobs/job";
import { parseJob } from "@cordum/control-plane/jobs/job-codec";
import { JOB_KIND } from "@cordum/control-plane/jobs/job-store";
import type { Execution } from "./effects.ts";
import type { Ledger } from "./ledger.ts";

export interface Facts {
  readonly dump: Dump;
  /** When the dump was made. */
  readonly now: number;
  readonly ledger: Ledger;
  readonly executions: readonly Execution[];
  /** Ends of workers' lives. */
  readonly deaths: readonly { readonly worker: string; readonly at: number }[];
  /** How often each process has ended without being told to. */
  readonly surprises: ReadonlyMap<string, number>;
  /** What a reader of the stream of tenant acme knows. */
  readonly seen: {
    readonly states: ReadonlyMap<string, string>;
    readonly tenants: ReadonlySet<string>;
    readonly firstAt: number;
    readonly failure: unknown;
  };
}

export interface Finding {
  /** Things that were looked at. */
  readonly looked: number;
  /** One sentence for each that breaks the invariant. */
  readonly faults: readonly string[];
}

export interface Invariant {
  readonly name: string;
  /** What must hold, in one sentence. */
  readonly says: string;
  check(round: RoundFacts): Finding;
}

/** Facts, arranged by job. */
export class RoundFacts {
  readonly facts: Facts;
  readonly jobs: ReadonlyMap<string, Job>;
  readonly executionsOf: ReadonlyMap<string, readonly Execution[]>;

  constructor(facts: Facts) {
    this.facts = facts;
    const records = facts.dump.records.filter(({ stored }) => stored.key.kind === JOB_KIND);
    this.jobs = new Map(records.map(({ stored }) => [stored.key.id, parseJob(stored.value)]));
    this.executionsOf = Map.groupBy(facts.executions, ({ job }) => job);
  }

  executions(jobId: string): readonly Execution[] {
    return this.executionsOf.get(jobId) ?? [];
  }

  /** Something of it happened while Redis may have forgotten what it was told. */
  isTouched(jobId: string): boolean {
    const { ledger } = this.facts;
    const job = this.jobs.get(jobId);
    const accepted = ledger.accepted.get(jobId);
    const starts = [job?.acceptedAt, accepted?.at, ...this.executions(jobId).map(({ start }) => start)];
    const begin = Math.min(...starts.filter((at) => at !== undefined));
    const ends = [accepted?.at, ...this.executions(jobId).map(({ start, end }) => end ?? start)];
    const isEnded = job !== undefined && "outcome" in job.phase;
    const last = Math.max(...ends.filter((at) => at !== undefined));
    const end = isEnded ? Math.max(last, job.phase.outcome.at) : job === undefined ? last : Number.POSITIVE_INFINITY;
    return ledger.losses.some(({ from, to }) => begin <= to && end >= from);
  }
}
