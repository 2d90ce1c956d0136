// `cordum job watch`, and `cordum job submit --wait`
// Owns:          the rhythm of the questions; one line for each change.
// Must not know: how a job is fetched.
// W1. Lines go to standard error, the result to standard output. W2. It says what it waits for. W3. A server that is away for a
//     moment does not end the watch.

import { CordumError, isTerminal, type JobDetail } from "@cordum/sdk";
import { CommandFailure } from "../failure.ts";
import { describeWait, printEnd } from "../render/job.ts";
import { json } from "../render/json.ts";
import type { Session } from "../session.ts";
import { oneLine } from "../terminal.ts";

const POLL_MS = { first: 100, last: 1_000 };
const WAIT_DEFAULT_MS = 300_000;

/** Ends with the job. Throws CommandFailure: JOB_UNSUCCESSFUL when it ended otherwise than well, TIMEOUT, INTERRUPTED. */
export async function followToEnd(session: Session, jobId: string): Promise<void> {
  const { given, terminal } = session;
  const job = await follow(session, jobId);
  if (given.flag("json")) terminal.print(json(job));
  else printEnd(job, terminal);
  if (job.state !== "SUCCEEDED") {
    throw new CommandFailure("JOB_UNSUCCESSFUL", `job ${jobId} ended as ${job.state}`);
  }
}

async function follow(session: Session, jobId: string): Promise<JobDetail> {
  const { given, terminal, runtime, signal } = session;
  const endsAt = runtime.now() + (given.span("timeout") ?? WAIT_DEFAULT_MS);
  const startedAt = runtime.now();
  let said = "";
  for (let waitMs = POLL_MS.first; ; waitMs = Math.min(POLL_MS.last, waitMs * 1.3)) {
    const job = await ask(session, jobId);
    const line = job === undefined ? "the server does not answer; asking again" : describeWait(job);
    if (line !== said) {
      const seconds = ((runtime.now() - startedAt) / 1_000).toFixed(2);
      terminal.note(`+${seconds}s  ${oneLine(line)}`);
      said = line;
      waitMs = POLL_MS.first;
    }
    if (job !== undefined && isTerminal(job.state)) return job;
    if (runtime.now() >= endsAt) {
      throw new CommandFailure(
        "TIMEOUT",
        `job ${jobId} has not ended yet: ${line}`,
        "The job goes on; --timeout waits longer.",
      );
    }
    if (!(await runtime.sleep(waitMs, signal)))
      throw new CommandFailure("INTERRUPTED", "stopped watching; the job goes on");
  }
}

async function ask({ client, signal }: Session, jobId: string): Promise<JobDetail | undefined> {
  try {
    return await client.get(jobId, { signal, timeoutMs: 5_000 });
  } catch (error) {
    if (signal.aborted) throw new CommandFailure("INTERRUPTED", "stopped watching; the job goes on");
    if (error instanceof CordumError && error.retryable) return undefined;
    throw error;
  }
}
