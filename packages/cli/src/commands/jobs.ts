// `cordum job get|status|list|cancel|watch`
// Owns:          from options to questions, from answers to text.
// Must not know: how they travel.

import type { JobQuery } from "@cordum/sdk";
import { describeJob, jobTable } from "../render/job.ts";
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

export async function listJobs({ client, given, terminal, runtime, signal }: Session): Promise<void> {
  const names = {
    state: given.text("state")?.toUpperCase(),
    topic: given.text("topic"),
    team: given.text("team"),
    trace_id: given.text("trace"),
  };
  const query: JobQuery = Object.fromEntries(Object.entries(names).filter(([, value]) => value !== undefined));
  const limit = given.whole("limit", { min: 1, max: 10_000 }) ?? 20;
  const { items, isAll } = await take(client.list(query, { signal, pageSize: Math.min(limit, 200) }), limit);
  if (given.flag("json")) return terminal.print(json(items));
  if (items.length === 0) return terminal.note("no jobs");
  terminal.print(jobTable(items, runtime.now()));
  if (!isAll) terminal.note(`the newest ${limit}; --limit shows more`);
}

export async function cancelJob({ client, given, terminal, signal }: Session, jobId: string): Promise<void> {
  const cancelled = await client.cancel(jobId, { signal });
  if (given.flag("json")) return terminal.print(json(cancelled));
  const why = cancelled.reason === undefined ? "" : ` (${cancelled.reason})`;
  terminal.print(oneLine(`${cancelled.state}${why}`));
}

export async function watchJob(session: Session, jobId: string): Promise<void> {
  await followToEnd(session, jobId);
}
