// Execution: one run of one job, from its context to its outcome.
// Owns:          loading, choosing and validating the input, calling the handler, stopping it, storing what it returned.
// Must not know: queues, duplicates, how packets are sent.
// X1. The handler is called at most once per run. Only loading and storing are repeated.
// X2. A run that is stopped ends at the latest `stopGraceMs` later, whether its handler listens to the signal or not.
// X3. A run that was superseded stores nothing: its later attempt owns the key.
// X4. A result is stored before it is reported, with a time to live.

import { backoffMs } from "../backoff.ts";
import type { Runtime } from "../runtime.ts";
import { PayloadTooLarge, type WorkerConnection } from "./connection.ts";
import type { ConstraintsReader } from "./constraints.ts";
import type { Alarm, Deadlines } from "./deadlines.ts";
import { FailureError, failureOf } from "./failure.ts";
import { parseInput } from "./input.ts";
import type { TopicHandler } from "./job-context.ts";
import { inJobSpan } from "./job-span.ts";
import { messageOf, type WorkerLog } from "./log.ts";
import { JobStopped, type Outcome, type Stop, stoppedOutcome } from "./outcome.ts";
import { RunContext } from "./run-context.ts";
import { type JobOffer, type ProgressFacts, parsePointer, resultPlace } from "./wire.ts";

export interface ExecutionLimits {
  readonly inputBytesMax: number;
  readonly resultBytesMax: number;
  readonly resultTtlMs: number;
  readonly ioTimeoutMs: number;
  readonly stopGraceMs: number;
}

export interface ExecutionParts {
  readonly connection: WorkerConnection;
  readonly runtime: Runtime;
  readonly deadlines: Deadlines;
  readonly log: WorkerLog;
  readonly limits: ExecutionLimits;
  readonly constraints: ConstraintsReader;
}

export interface RunSpec {
  readonly offer: JobOffer;
  readonly definition: TopicHandler;
  /** Where progress goes. */
  tell(facts: ProgressFacts): void;
}

const IO_TRIES = 3;
/** Why signals of a run fire when it is over. Without a reason Node makes an error with a stack for each. */
const OVER = new Error("the run is over");
const BACKOFF = { baseMs: 200, capMs: 2_000 };
/** What a call is called when the connection says that the payload is too large. */
const TOO_LARGE = { CONTEXT_UNAVAILABLE: "CONTEXT_TOO_LARGE", RESULT_NOT_STORED: "RESULT_TOO_LARGE" } as const;

type Handled =
  | { readonly kind: "returned"; readonly value: unknown }
  | { readonly kind: "threw"; readonly thrown: unknown };

export class Execution {
  readonly offer: JobOffer;
  readonly #definition: TopicHandler;
  readonly #parts: ExecutionParts;
  readonly #tell: (facts: ProgressFacts) => void;
  /** What comes first: the end of the handler or the order to stop. */
  readonly #first = Promise.withResolvers<Handled | "stopped">();
  // Most handlers look at no signal and most runs need no timer: both are made when they are asked for, which saves some
  // microseconds a job.
  #controller: AbortController | undefined;
  #over: AbortController | undefined;
  #isOver = false;
  #timeOver: Alarm | undefined;
  #stop: Stop | undefined;
  #percent = 0;
  #handled: Promise<Handled> | undefined;

  constructor(parts: ExecutionParts, run: RunSpec) {
    this.#parts = parts;
    this.offer = run.offer;
    this.#definition = run.definition;
    this.#tell = run.tell;
  }

  get isSuperseded(): boolean {
    return this.#stop?.kind === "superseded";
  }
  get percent(): number {
    return this.#percent;
  }
  get log(): WorkerLog {
    return this.#parts.log;
  }
  /** Settles when the handler has ended, which may be after the outcome. Undefined while and where none is running. */
  get handlerEnded(): Promise<unknown> | undefined {
    return this.#handled;
  }

  /** Tells the handler to stop. The first reason counts, except that nothing takes a superseded run back. */
  stop(stop: Stop): void {
    if (this.#stop === undefined || stop.kind === "superseded") this.#stop = stop;
    this.#controller?.abort(new JobStopped(stop));
    this.#first.resolve("stopped");
  }

  /** Runs to the end. Never rejects. */
  async outcome(): Promise<Outcome> {
    try {
      return await this.#conclude(await this.#handle());
    } catch (error) {
      return this.#failed(error);
    } finally {
      this.#isOver = true;
      this.#timeOver?.callOff();
      this.#over?.abort(OVER);
    }
  }

  /** The handler's. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#stop !== undefined) this.#controller.abort(new JobStopped(this.#stop));
    return this.#controller.signal;
  }

  /** Fires when the run is over, so that none of its timers outlives it. */
  get #overSignal(): AbortSignal {
    this.#over ??= new AbortController();
    if (this.#isOver) this.#over.abort(OVER);
    return this.#over.signal;
  }

  async #handle(): Promise<Handled | "still running"> {
    const { offer } = this;
    const constraints = this.#parts.constraints.read(offer.env.CORDUM_POLICY_CONSTRAINTS);
    this.#watchRuntime(constraints.budgets?.maxRuntimeMs);
    const bytes = offer.contextPtr === "" ? undefined : this.#checked(await this.#loadContext());
    const input = parseInput(bytes, offer.topic);
    if (this.#stop !== undefined) throw new JobStopped(this.#stop);
    const context = new RunContext(this, constraints, input.raw);
    const handled = inJobSpan(offer, () => this.#definition.invoke(input, context)).then(
      (value) => this.#end({ kind: "returned", value }),
      (thrown: unknown) => this.#end({ kind: "threw", thrown }),
    );
    this.#handled = handled;
    const first = await this.#first.promise;
    if (first !== "stopped") return first;
    const grace = this.#parts.runtime
      .sleep(this.#parts.limits.stopGraceMs, this.#overSignal)
      .then(() => "still running" as const);
    return Promise.race([handled, grace]);
  }

  #end(handled: Handled): Handled {
    this.#handled = undefined;
    this.#first.resolve(handled);
    return handled;
  }

  /** What the handler tells. */
  progress(percent: number, message: string): void {
    if (this.#isOver) return;
    if (Number.isFinite(percent)) this.#percent = Math.round(Math.min(100, Math.max(0, percent)));
    this.#tell({ percent: this.#percent, message });
  }

  /** Policy's maximum counts from the start of the run, loading included. */
  #watchRuntime(maxRuntimeMs: number | undefined): void {
    if (maxRuntimeMs === undefined || maxRuntimeMs === 0) return;
    this.#timeOver = this.#parts.deadlines.after(maxRuntimeMs, () => this.stop({ kind: "time_over", maxRuntimeMs }));
  }

  async #conclude(handled: Handled | "still running"): Promise<Outcome> {
    // What was ordered before the handler ended. An order that comes while its result is stored is too late.
    const stop = this.#stop;
    if (handled === "still running") return stoppedOutcome(stop ?? { kind: "worker_stopping" }, "still running");
    if (handled.kind === "threw") return this.#failed(handled.thrown);
    let resultPtr = "";
    if (handled.value !== undefined && !this.isSuperseded) {
      const place = resultPlace(this.offer.jobId);
      await this.#store(place.key, handled.value);
      resultPtr = place.pointer;
    }
    // Nobody wanted the job itself to end when its worker was told to stop: done is done, and to repeat it would do it twice.
    if (stop === undefined || stop.kind === "worker_stopping") return { status: "SUCCEEDED", resultPtr };
    return stoppedOutcome(stop, "finished", resultPtr);
  }

  #failed(thrown: unknown): Outcome {
    if (this.#stop !== undefined) return stoppedOutcome(this.#stop, "ended");
    return { ...failureOf(thrown), resultPtr: "" };
  }

  #loadContext(): Promise<Uint8Array | undefined> {
    const { connection } = this.#parts;
    const pointer = parsePointer(this.offer.contextPtr);
    if (pointer.kind === "refused")
      throw new FailureError("INVALID_POINTER", `context pointer refused: ${pointer.reason}`);
    const { key, fallbackKey } = pointer;
    const load =
      fallbackKey === undefined
        ? () => connection.loadPayload(key)
        : async () => (await connection.loadPayload(key)) ?? connection.loadPayload(fallbackKey);
    return this.#tryIo("CONTEXT_UNAVAILABLE", "load of the context", load);
  }

  #checked(context: Uint8Array | undefined): Uint8Array {
    const { inputBytesMax } = this.#parts.limits;
    if (context === undefined)
      throw new FailureError("CONTEXT_NOT_FOUND", "the context of the job is not there (any more)");
    if (context.length > inputBytesMax) {
      throw new FailureError(
        "CONTEXT_TOO_LARGE",
        `the context has ${context.length} bytes, this worker takes ${inputBytesMax}`,
      );
    }
    return context;
  }

  #store(key: string, value: unknown): Promise<void> {
    const { connection, limits } = this.#parts;
    const bytes = encodeResult(value);
    if (bytes.length > limits.resultBytesMax) {
      throw new FailureError(
        "RESULT_TOO_LARGE",
        `the result has ${bytes.length} bytes, at most ${limits.resultBytesMax} are kept`,
      );
    }
    return this.#tryIo("RESULT_NOT_STORED", "store of the result", () =>
      connection.storePayload(key, bytes, limits.resultTtlMs),
    );
  }

  async #tryIo<T>(code: keyof typeof TOO_LARGE, what: string, work: () => Promise<T>): Promise<T> {
    const { runtime, deadlines, limits, log } = this.#parts;
    for (let attempt = 1; ; attempt++) {
      try {
        return await deadlines.within(limits.ioTimeoutMs, what, work);
      } catch (error) {
        if (error instanceof PayloadTooLarge)
          throw new FailureError(TOO_LARGE[code], `${what}: ${error.message}`, error);
        log.warn("payload.call_failed", { jobId: this.offer.jobId, what, attempt, reason: messageOf(error) });
        // The reason stays in the log: messages of stores name hosts.
        if (attempt === IO_TRIES || this.#stop !== undefined)
          throw new FailureError(code, `${what} failed, tries: ${attempt}`, error);
        await runtime.sleep(backoffMs(attempt, BACKOFF, runtime.random()), this.#overSignal);
      }
    }
  }
}

function encodeResult(value: unknown): Uint8Array {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    throw new FailureError("INVALID_OUTPUT", `the result cannot be written as JSON: ${messageOf(cause)}`, cause);
  }
  if (text === undefined) throw new FailureError("INVALID_OUTPUT", "the result cannot be written as JSON");
  return Buffer.from(text);
}
