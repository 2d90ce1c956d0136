// Wait: until a job has ended.
// Owns:          the rhythm of the questions and the end of patience.
// Must not know: routes, retries of one call.
// W1. An answer that may be another one later (server restarting, overloaded) does not end the wait; any other error does.

import { backoffMs } from "../backoff.ts";
import type { Runtime } from "../runtime.ts";
import { CordumError } from "./problem.ts";
import { isTerminal, type JobDetail } from "./records.ts";

const POLL = { baseMs: 100, capMs: 5_000 };

export interface Waiting {
  readonly jobId: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly runtime: Runtime;
  /** Asks once, within `timeoutMs`. */
  load(timeoutMs: number): Promise<JobDetail>;
}

/** The job once it is terminal. Throws CordumError WAIT_TIMEOUT, any error that will not go away, or the signal's reason. */
export async function waitForEnd(waiting: Waiting): Promise<JobDetail> {
  const { runtime, signal } = waiting;
  const endsAt = runtime.mono() + waiting.timeoutMs;
  let seen: JobDetail | undefined;
  let failure: CordumError | undefined;
  for (let poll = 1; ; poll++) {
    signal.throwIfAborted();
    const leftMs = endsAt - runtime.mono();
    if (leftMs <= 0) throw waitTimedOut(waiting, seen, failure);
    const answer = await ask(waiting, leftMs);
    if (answer instanceof CordumError) failure = answer;
    else if (isTerminal(answer.state)) return answer;
    else seen = answer;
    await runtime.sleep(
      Math.min(backoffMs(poll, POLL, runtime.random()), Math.max(0, endsAt - runtime.mono())),
      signal,
    );
  }
}

async function ask(waiting: Waiting, leftMs: number): Promise<JobDetail | CordumError> {
  try {
    return await waiting.load(leftMs);
  } catch (error) {
    if (error instanceof CordumError && error.retryable) return error;
    throw error;
  }
}

function waitTimedOut(waiting: Waiting, seen: JobDetail | undefined, failure: CordumError | undefined): CordumError {
  const about = seen === undefined ? `could not be read (${failure?.code ?? "not asked"})` : `is ${seen.state}`;
  return new CordumError({
    status: 0,
    code: "WAIT_TIMEOUT",
    title: "The job has not ended yet",
    detail: `job ${waiting.jobId} ${about} after ${waiting.timeoutMs} ms`,
    retryable: true,
    cause: failure,
  });
}
