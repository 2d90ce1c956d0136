// Run context: what a handler is given about its run.
// Owns:          the one object that handlers see, whose costly members are made when they are asked for.
// Must not know: how a job is run.
// R1. A copy of it (`{ ...context }`) has all its members.

import type { JobConstraints } from "./constraints.ts";
import type { JobContext, Texts } from "./job-context.ts";
import { type WorkerLog, withFields } from "./log.ts";
import type { JobOffer } from "./wire.ts";

/** What a context asks of its run. */
export interface Run {
  readonly offer: JobOffer;
  readonly signal: AbortSignal;
  readonly log: WorkerLog;
  progress(percent: number, message: string): void;
}

export class RunContext implements JobContext {
  readonly jobId: string;
  readonly topic: string;
  readonly attempt: number;
  readonly constraints: JobConstraints;
  readonly env: Texts;
  readonly labels: Texts;
  readonly traceId: string;
  readonly tenant: string;
  readonly rawContext: unknown;
  declare readonly signal: AbortSignal;
  declare readonly log: WorkerLog;
  readonly progress: JobContext["progress"];
  readonly #run: Run;

  static readonly #signal = {
    enumerable: true,
    get(this: RunContext): AbortSignal {
      return this.#run.signal;
    },
  };
  static readonly #log = {
    enumerable: true,
    get(this: RunContext): WorkerLog {
      const { jobId, topic, attempt, traceId } = this;
      return withFields(this.#run.log, { jobId, topic, attempt, traceId });
    },
  };

  constructor(run: Run, constraints: JobConstraints, rawContext: unknown) {
    const { offer } = run;
    this.#run = run;
    this.jobId = offer.jobId;
    this.topic = offer.topic;
    this.attempt = offer.attempt;
    this.constraints = constraints;
    this.env = offer.env;
    this.labels = offer.labels;
    this.traceId = offer.traceId;
    this.tenant = offer.tenant;
    this.rawContext = rawContext;
    this.progress = (percent, message = "") => run.progress(percent, message);
    // Members of its own, see R1, whose functions all contexts share: an object literal's are made anew for each job (1 µs).
    Object.defineProperty(this, "signal", RunContext.#signal);
    Object.defineProperty(this, "log", RunContext.#log);
  }
}
