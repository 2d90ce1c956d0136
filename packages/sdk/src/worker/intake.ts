// Intake: which job runs now, which waits, which was here before.
// Owns:          the jobs that this process holds, its slots, its memory of ended jobs.
// Must not know: how a job is run, who sent the packet.
// T1. One run per job and attempt: a delivery that is doubled while the job is held repeats the claim, one after its end repeats
//     the result. Nothing is run again.
// T2. A later attempt of a job supersedes the one that is held; an earlier one is ignored.
// T3. At most `concurrency` handlers at once, and per topic what its definition says; at most `waitingMax` jobs wait, in order of
//     arrival. What comes on top is given back at once as retryable: a queue that nobody sees is a lost job.
// T4. A slot is taken until the handler has really ended, even when its job was reported long before.
// T5. A job is claimed when it has run for `CLAIM_AFTER_MS`, not while it waits; one that ends or tells its progress before has said so.
// T6. An answer that asked for a repeat is not remembered when the sender does not number attempts: its repeat looks the same.

import { Execution, type ExecutionParts } from "./execution.ts";
import { capText, type Failure, failure } from "./failure.ts";
import type { TopicHandler } from "./job-context.ts";
import type { JobOutbox, Outbox } from "./outbox.ts";
import { type Outcome, stoppedOutcome } from "./outcome.ts";
import { RememberedResults } from "./remembered.ts";
import { type CancelOrder, type JobOffer, type PacketWriter, type ProgressFacts, SUBJECTS } from "./wire.ts";

export interface IntakeLimits {
  readonly concurrency: number;
  readonly waitingMax: number;
  readonly rememberedMax: number;
}

export interface IntakeParts extends ExecutionParts {
  readonly writer: PacketWriter;
  readonly outbox: Outbox;
  readonly intake: IntakeLimits;
}

/** The jobs of one topic. */
interface Lane {
  readonly definition: TopicHandler;
  running: number;
}

interface Held {
  readonly offer: JobOffer;
  readonly lane: Lane;
  readonly outbox: JobOutbox;
  execution: Execution | undefined;
}

/** Most jobs of some systems are shorter: their claim would only cost. */
const CLAIM_AFTER_MS = 50;
/** Answers under way beside those of running jobs: cancelled while waiting, doubled, refused. */
const ANSWERS_MAX = 1_000;

export class Intake {
  readonly #parts: IntakeParts;
  readonly #held = new Map<string, Held>();
  readonly #waiting: Held[] = [];
  readonly #lanes = new Map<TopicHandler, Lane>();
  readonly #remembered: RememberedResults;
  readonly #answers = new Set<Promise<unknown>>();
  readonly #givingUp = new AbortController();
  #running = 0;
  #onIdle: (() => void)[] = [];

  constructor(parts: IntakeParts) {
    this.#parts = parts;
    this.#remembered = new RememberedResults(parts.intake.rememberedMax);
  }

  /** Jobs that this process has taken on and not ended: running and waiting. */
  get activeJobs(): number {
    return this.#running + this.#waiting.length;
  }

  accept(offer: JobOffer, definition: TopicHandler): void {
    const ended = this.#remembered.find(offer.jobId, offer.attempt);
    const held = this.#held.get(offer.jobId);
    if (ended !== undefined) this.#answer(offer, ended.outcome, ended.executionMs);
    else if (held !== undefined && offer.attempt < held.offer.attempt) this.#ignore(offer, "stale_attempt");
    else if (held !== undefined && offer.attempt === held.offer.attempt) this.#repeatClaim(held);
    else {
      if (held !== undefined) this.#supersede(held);
      this.#hold({ offer, lane: this.#laneOf(definition), outbox: this.#parts.outbox.forJob(), execution: undefined });
    }
  }

  /** Answers a job that this worker cannot run. */
  refuse(offer: JobOffer, why: Failure): void {
    this.#answer(offer, { ...why, resultPtr: "" }, 0);
  }

  cancel(order: CancelOrder): void {
    const held = this.#held.get(order.jobId);
    if (held === undefined || (order.attempt !== undefined && order.attempt !== held.offer.attempt)) return;
    const stop = { kind: "cancelled", by: order.by, reason: order.reason } as const;
    if (held.execution !== undefined) {
      held.execution.stop(stop);
      return;
    }
    const outcome = stoppedOutcome(stop, "ended");
    this.#forget(held);
    this.#remembered.remember(held.offer.jobId, held.offer.attempt, { outcome, executionMs: 0 });
    this.#answer(held.offer, outcome, 0);
  }

  /** Resolves when every job that is held has been reported. */
  async idle(): Promise<void> {
    while (this.#held.size > 0 || this.#answers.size > 0) {
      await new Promise<void>((resolve) => this.#onIdle.push(resolve));
    }
  }

  /** Tells running jobs to stop and gives back those that have not begun. */
  stopAll(): void {
    for (const held of [...this.#held.values()]) {
      if (held.execution !== undefined) held.execution.stop({ kind: "worker_stopping" });
      else this.#giveBack(held, failure("WORKER_DRAINED", "the worker stopped before the job began"));
    }
  }

  /** No more tries to send what cannot be sent. */
  giveUp(): void {
    this.#givingUp.abort();
  }

  #hold(held: Held): void {
    this.#held.set(held.offer.jobId, held);
    this.#waiting.push(held);
    this.#startWaiting();
    if (this.#waiting.length > this.#parts.intake.waitingMax)
      this.#giveBack(held, failure("WORKER_FULL", this.#describeLoad()));
  }

  #startWaiting(): void {
    while (this.#waiting.length > 0 && this.#running < this.#parts.intake.concurrency) {
      const at = this.#waiting.findIndex(({ lane }) => lane.running < lane.definition.concurrency);
      const [next] = at === -1 ? [] : this.#waiting.splice(at, 1);
      if (next === undefined) return;
      void this.#run(next);
    }
  }

  /** Never rejects: whatever goes wrong here, the slot comes back. */
  async #run(held: Held): Promise<void> {
    const { runtime, deadlines, log } = this.#parts;
    const { offer, lane, outbox } = held;
    const startedAt = runtime.mono();
    const claim = deadlines.after(CLAIM_AFTER_MS, () => this.#repeatClaim(held));
    const tell = (facts: ProgressFacts) => {
      claim.callOff();
      this.#tell(held, facts.percent, facts.message);
    };
    const execution = new Execution(this.#parts, { offer, definition: lane.definition, tell });
    held.execution = execution;
    this.#take(lane, 1);
    try {
      const outcome = await execution.outcome();
      if (!execution.isSuperseded) await this.#report(held, outcome, Math.round(runtime.mono() - startedAt));
    } catch (error) {
      log.error("job.not_reported", error, { jobId: offer.jobId, topic: offer.topic, attempt: offer.attempt });
    }
    claim.callOff();
    outbox.close();
    if (this.#held.get(offer.jobId) === held) this.#held.delete(offer.jobId);
    this.#noticeIdle();
    if (execution.handlerEnded !== undefined) await execution.handlerEnded;
    this.#take(lane, -1);
    this.#startWaiting();
  }

  #report({ offer, outbox }: Held, outcome: Outcome, executionMs: number): Promise<boolean> {
    const { log, writer } = this.#parts;
    const { jobId, topic, attempt, traceId } = offer;
    const { status } = outcome;
    if (status !== "FAILED_RETRYABLE" || offer.attemptSaid)
      this.#remembered.remember(jobId, attempt, { outcome, executionMs });
    const about = { jobId, topic, attempt, traceId, executionMs, status };
    if (status === "SUCCEEDED") log.debug("job.ended", about);
    else log.info("job.ended", { ...about, code: outcome.code });
    return outbox.result(SUBJECTS.result, writer.result(offer, outcome, executionMs), this.#givingUp.signal);
  }

  #tell(held: Held, percent: number, message: string): void {
    held.outbox.progress(SUBJECTS.progress, () =>
      this.#parts.writer.progress(held.offer, { percent, message: capText(message) }),
    );
  }

  #repeatClaim(held: Held): void {
    if (held.execution !== undefined) this.#tell(held, held.execution.percent, "");
  }

  #supersede(held: Held): void {
    if (held.execution !== undefined) held.execution.stop({ kind: "superseded" });
    this.#forget(held);
  }

  #giveBack(held: Held, why: Failure): void {
    this.#forget(held);
    this.#answer(held.offer, { ...why, resultPtr: "" }, 0);
  }

  #forget(held: Held): void {
    const at = this.#waiting.indexOf(held);
    if (at !== -1) this.#waiting.splice(at, 1);
    this.#held.delete(held.offer.jobId);
  }

  /** A result that no running job sends. */
  #answer(offer: JobOffer, outcome: Outcome, executionMs: number): void {
    if (this.#answers.size >= ANSWERS_MAX) {
      this.#ignore(offer, "too_many_answers");
      return;
    }
    const { outbox, writer } = this.#parts;
    const sent = outbox
      .sendSurely(SUBJECTS.result, writer.result(offer, outcome, executionMs), this.#givingUp.signal)
      .then(() => {
        this.#answers.delete(sent);
        this.#noticeIdle();
      });
    this.#answers.add(sent);
  }

  #ignore(offer: JobOffer, reason: string): void {
    this.#parts.log.warn("job.ignored", { jobId: offer.jobId, topic: offer.topic, attempt: offer.attempt, reason });
  }

  #noticeIdle(): void {
    if (this.#held.size > 0 || this.#answers.size > 0) return;
    const waiters = this.#onIdle;
    this.#onIdle = [];
    for (const resolve of waiters) resolve();
  }

  #laneOf(definition: TopicHandler): Lane {
    const known = this.#lanes.get(definition);
    if (known !== undefined) return known;
    const lane: Lane = { definition, running: 0 };
    this.#lanes.set(definition, lane);
    return lane;
  }

  #take(lane: Lane, by: 1 | -1): void {
    this.#running += by;
    lane.running += by;
  }

  #describeLoad(): string {
    return `the worker is full: ${this.#running} running, ${this.#parts.intake.waitingMax} waiting`;
  }
}
