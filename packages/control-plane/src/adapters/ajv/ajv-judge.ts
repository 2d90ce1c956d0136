// The judge of schemas: a thread that is ended when a question takes too long.
// Owns:          the thread's life, the line of questions, who has to wait for having asked too much.
// Must not know: Ajv, schemas.
// D1. The thread starts with the first question, and again after it was ended. One question at a time: who is late is known.
// D2. A question has QUESTION_MS from the moment that the thread has it; then the thread is ended, the question is unchecked, and its owner's
//     questions are for REST_MS: one tenant's schemas cost the others a tenth of the thread at most.
// D3. The line is bounded, for each owner too.

import { Worker } from "node:worker_threads";
import type { Clock } from "../../ports/clock.ts";
import { messageOf } from "../../ports/fault.ts";
import type { SchemaJudge, SchemaQuestion, SchemaVerdict } from "../../ports/schema-judge.ts";
import type { Log } from "../../ports/telemetry.ts";
import type { Ms } from "../../ports/time.ts";
import type { FromThread, ToThread } from "./thread.ts";

/** By the clock on the wall: long enough for a machine that has ten times as much to do as it can. */
export const QUESTION_MS: Ms = 2_000;
export const REST_MS: Ms = 20_000;
const START_MS: Ms = 15_000;
const LINE_MAX = 1_024;
const LINE_OF_OWNER_MAX = 64;
const OWNERS_MAX = 10_000;
const HEAP_MIB_MAX = 192;

/** The thread as the judge sees it. A test may stand between. */
export interface JudgeThread {
  ask(question: ToThread): void;
  listen(on: { message(message: FromThread): void; end(cause: Error): void }): void;
  end(): Promise<void>;
}

interface Task {
  readonly question: SchemaQuestion;
  /** Of what the thread does for it, whoever still waits. */
  timer: AbortController;
  settle(verdict: SchemaVerdict): void;
}

export interface JudgeParts {
  readonly clock: Clock;
  readonly log: Log;
  /** For tests that stand between. */
  readonly start?: () => JudgeThread;
}

export class AjvJudge implements SchemaJudge {
  readonly #parts: JudgeParts;
  readonly #line: Task[] = [];
  readonly #waiting = new Map<string, number>();
  /** Owners that have asked too much, and until when they rest. */
  readonly #resting = new Map<string, Ms>();
  #thread: { readonly thread: JudgeThread; isReady: boolean } | undefined;
  #current: Task | undefined;
  #isClosed = false;

  constructor(parts: JudgeParts) {
    this.#parts = parts;
  }

  judge(question: SchemaQuestion, signal: AbortSignal): Promise<SchemaVerdict> {
    const { owner } = question;
    const waiting = this.#waiting.get(owner) ?? 0;
    const why = this.#whyNot(owner, waiting, signal);
    if (why !== undefined) return Promise.resolve({ kind: "unchecked", reason: why });
    return new Promise((resolve) => {
      let isSettled = false;
      const task: Task = {
        question,
        timer: new AbortController(),
        settle: (verdict) => {
          if (isSettled) return;
          isSettled = true;
          signal.removeEventListener("abort", onAbort);
          const left = (this.#waiting.get(owner) ?? 1) - 1;
          if (left === 0) this.#waiting.delete(owner);
          else this.#waiting.set(owner, left);
          resolve(verdict);
        },
      };
      const onAbort = (): void => {
        const at = this.#line.indexOf(task);
        if (at !== -1) this.#line.splice(at, 1);
        task.settle({ kind: "unchecked", reason: "the question was given up" });
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiting.set(owner, waiting + 1);
      this.#line.push(task);
      this.#next();
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const { thread } = this.#thread ?? {};
    this.#giveUp("the process is shutting down");
    for (const task of this.#line.splice(0)) task.settle({ kind: "unchecked", reason: "the process is shutting down" });
    await thread?.end();
  }

  #whyNot(owner: string, waiting: number, signal: AbortSignal): string | undefined {
    if (this.#isClosed || signal.aborted) return "the question was given up";
    const until = this.#resting.get(owner);
    if (until !== undefined) {
      if (this.#parts.clock.mono() < until) return "an earlier check took too long; the next ones wait";
      this.#resting.delete(owner);
    }
    const isFull = this.#line.length >= LINE_MAX || waiting >= LINE_OF_OWNER_MAX;
    return isFull ? "too many payloads wait for their check" : undefined;
  }

  #next(): void {
    if (this.#current !== undefined) return;
    const task = this.#line.shift();
    if (task === undefined) return;
    this.#current = task;
    this.#thread ??= this.#begin();
    if (this.#thread.isReady) this.#ask(task);
    else this.#watch(task, START_MS, "the checks could not be started");
  }

  #begin(): { readonly thread: JudgeThread; isReady: boolean } {
    const begun = { thread: (this.#parts.start ?? startThread)(), isReady: false };
    begun.thread.listen({
      message: (message) => {
        if (this.#thread === begun) this.#receive(message);
      },
      end: (cause) => {
        if (this.#thread !== begun) return;
        this.#parts.log.error("schema_check.thread_ended", cause);
        this.#rest(this.#current);
        this.#giveUp("the check failed");
      },
    });
    return begun;
  }

  #receive(message: FromThread): void {
    const task = this.#current;
    task?.timer.abort();
    if (message.kind === "ready") {
      if (this.#thread !== undefined) this.#thread.isReady = true;
      if (task !== undefined) this.#ask(task);
      return;
    }
    this.#current = undefined;
    task?.settle(message.verdict);
    this.#next();
  }

  #ask(task: Task): void {
    const { schema, json } = task.question;
    this.#thread?.thread.ask({ schema, json });
    this.#watch(task, QUESTION_MS, `the check took longer than ${QUESTION_MS} ms`);
  }

  #watch(task: Task, limitMs: Ms, says: string): void {
    const { clock, log } = this.#parts;
    const timer = new AbortController();
    task.timer = timer;
    void clock.sleep(limitMs, timer.signal).then((isOver) => {
      if (!isOver || this.#current !== task) return;
      log.warn("schema_check.too_slow", { owner: task.question.owner, limitMs });
      this.#rest(task);
      this.#giveUp(says);
    });
  }

  #rest(task: Task | undefined): void {
    if (task === undefined) return;
    const [oldest] = this.#resting.keys();
    if (this.#resting.size >= OWNERS_MAX && oldest !== undefined) this.#resting.delete(oldest);
    this.#resting.set(task.question.owner, this.#parts.clock.mono() + REST_MS);
  }

  /** Ends the thread and the question that it has. */
  #giveUp(reason: string): void {
    const { thread } = this.#thread ?? {};
    this.#thread = undefined;
    const task = this.#current;
    this.#current = undefined;
    task?.timer.abort();
    task?.settle({ kind: "unchecked", reason });
    thread?.end().catch((error: unknown) => {
      this.#parts.log.warn("schema_check.thread_not_ended", { reason: messageOf(error) });
    });
    if (!this.#isClosed) this.#next();
  }
}

function startThread(): JudgeThread {
  // The source runs as it is; published packages are JavaScript.
  const file = import.meta.url.endsWith(".ts") ? "./thread.ts" : "./thread.js";
  const worker = new Worker(new URL(file, import.meta.url), {
    execArgv: ["--disable-warning=ExperimentalWarning"],
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB_MAX },
    env: {},
  });
  worker.unref();
  return {
    ask: (question) => worker.postMessage(question),
    listen(on) {
      worker.on("message", (message: FromThread) => on.message(message));
      worker.on("error", (cause) => on.end(cause instanceof Error ? cause : new Error(String(cause))));
      worker.on("exit", (code) => on.end(new Error(`the thread ended with ${code}`)));
    },
    async end() {
      await worker.terminate();
    },
  };
}
