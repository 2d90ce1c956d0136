// `cordum job watch` without a job: all jobs of the tenant, as they change.
// Owns:          one line for each change.
// Must not know: how changes arrive.
// W1. A line is whole: with --json it is one JSON value, so that programs can read while it goes on. W2. It goes on over a server that
//     restarts; of each job the latest state comes.

import type { JobUpdate } from "@cordum/sdk";
import { CommandFailure } from "../failure.ts";
import { moment } from "../render/time.ts";
import type { Session } from "../session.ts";
import { oneLine } from "../terminal.ts";

const COUNT_MAX = 1_000_000_000;

/** Ends after --count changes, or throws CommandFailure: TIMEOUT, INTERRUPTED. */
export async function watchAll({ client, given, terminal, runtime, signal }: Session): Promise<void> {
  const count = given.whole("count", { min: 1, max: COUNT_MAX }) ?? Number.POSITIVE_INFINITY;
  const timeoutMs = given.span("timeout");
  const ending = new AbortController();
  const until = AbortSignal.any([signal, ending.signal]);
  if (timeoutMs !== undefined)
    void runtime.sleep(timeoutMs, until).then((isOver) => {
      if (isOver) ending.abort();
    });
  if (!given.flag("json")) terminal.note("following all jobs; Ctrl-C ends it");
  let seen = 0;
  try {
    for await (const { job } of client.jobs.stream({ signal: until })) {
      terminal.print(given.flag("json") ? JSON.stringify(job) : oneLine(lineOf(job)));
      seen += 1;
      if (seen >= count) return;
    }
  } catch (error) {
    if (!until.aborted) throw error;
    if (signal.aborted) throw new CommandFailure("INTERRUPTED", "stopped following");
    throw new CommandFailure("TIMEOUT", `${seen} changes within the time`, "--timeout follows for longer.");
  } finally {
    ending.abort();
  }
}

function lineOf(job: JobUpdate): string {
  const at = moment(job.updated_at / 1_000);
  const more = [job.waiting, job.worker_id, job.error_code].filter((part) => part !== undefined && part !== "");
  return `${at}  ${job.state.padEnd(17)}  ${job.id}  ${job.topic}  ${more.join(" ")}`.trimEnd();
}
