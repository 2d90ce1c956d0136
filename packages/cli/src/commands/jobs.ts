// `cordum job get|status|list|cancel|watch`
// Owns:          from options to questions, from answers to text.
// Must not know: how they travel.

import { type CancelledJob, isTerminal, JOB_STATES, type JobQuery, type StopOrder } from "@cordum/sdk";
import { CommandFailure } from "../failure.ts";
import { describeJob, describeStop, jobTable } from "../render/job.ts";
import { json } from "../render/json.ts";
import type { Session } from "../session.ts";
import { oneLine } from "../terminal.ts";
import { take } from "./take.ts";
import { followToEnd } from "./watch.ts";

export async function getJob({ client, given, terminal, signal }: Session, jobId: string): Promise<void> {
  const job = await client.get(jobId, { signal });
  terminal.print(given.flag("json") ? json(job) : describeJob(job));
}

/** The state alone, for scripts. */
export async function printState({ client, given, terminal, signal }: Session, jobId: string): Promise<void> {
  const job = await client.get(jobId, { signal });
  terminal.print(given.flag("json") ? json(job) : oneLine(job.state));
}

const PAGE = 200;
const ALL_PAGE = 500;
/** More than anybody reads; a list of all must end. */
const ALL_MAX = 1_000_000;

export async function listJobs({ client, given, terminal, runtime, signal }: Session): Promise<void> {
  const names = {
    state: given.text("state")?.toUpperCase(),
    topic: given.text("topic"),
    team: given.text("team"),
    trace_id: given.text("trace"),
    tenant: given.text("tenant"),
    updated_after: given.moment("since", runtime.now()),
    updated_before: given.moment("until", runtime.now()),
  };
  const query: JobQuery = Object.fromEntries(Object.entries(names).filter(([, value]) => value !== undefined));
  const isForAll = given.flag("all");
  const limit = isForAll ? ALL_MAX : (given.whole("limit", { min: 1, max: 10_000 }) ?? 20);
  const pageSize = Math.min(limit, isForAll ? ALL_PAGE : PAGE);
  const { items, isAll } = await take(client.list(query, { signal, pageSize }), limit, (count) => {
    if (isForAll && count % ALL_PAGE === 0) terminal.note(`${count} jobs so far`);
  });
  if (items.length === 0 && query.state !== undefined) refuseUnknown(query.state);
  if (given.flag("json")) return terminal.print(json(items));
  if (items.length === 0) return terminal.note("no jobs");
  terminal.print(jobTable(items, runtime.now()));
  if (!isAll) terminal.note(`the newest ${limit}; --limit shows more, --all shows all`);
}

/** Only where nothing was found: the server may be newer. */
function refuseUnknown(state: string): void {
  if (JOB_STATES.some((known) => known === state) || isTerminal(state)) return;
  throw new CommandFailure("USAGE", `no job is in a state ${state}; the states are ${JOB_STATES.join(", ")}`);
}

/** With `--wait` until it is known what its worker did, or that nobody knows. */
export async function cancelJob(session: Session, jobId: string): Promise<void> {
  const { client, given, terminal, signal } = session;
  const cancelled = await client.cancel(jobId, { signal });
  const stop = given.flag("wait") ? await waitForStop(session, cancelled) : cancelled.stop;
  if (given.flag("json")) return terminal.print(json(stop === undefined ? cancelled : { ...cancelled, stop }));
  const why = cancelled.reason === undefined ? "" : ` (${cancelled.reason})`;
  terminal.print(oneLine(`${cancelled.state}${why}`));
  if (stop !== undefined) terminal.note(oneLine(describeStop(stop)));
}

const STOP_WAIT_MS = 120_000;
const STOP_POLL_MS = 250;

async function waitForStop(session: Session, cancelled: CancelledJob): Promise<StopOrder | undefined> {
  const { client, given, terminal, runtime, signal } = session;
  const endsAt = runtime.now() + (given.span("timeout") ?? STOP_WAIT_MS);
  let { stop } = cancelled;
  if (stop?.status === "awaited") terminal.note(oneLine(describeStop(stop)));
  while (stop?.status === "awaited") {
    if (runtime.now() >= endsAt)
      throw new CommandFailure("TIMEOUT", `job ${cancelled.id} is cancelled; its worker has not answered yet`);
    if (!(await runtime.sleep(STOP_POLL_MS, signal)))
      throw new CommandFailure("INTERRUPTED", "stopped waiting; the job is cancelled");
    stop = (await client.get(cancelled.id, { signal })).stop;
  }
  return stop;
}

export async function watchJob(session: Session, jobId: string): Promise<void> {
  await followToEnd(session, jobId);
}
