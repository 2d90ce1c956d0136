// `cordum why`, `cordum job events`, `cordum trace`
// Owns:          from answers to text.
// Must not know: how the answers are found.

import { describeLog, describeReason } from "../render/explain.ts";
import { jobTable } from "../render/job.ts";
import { json } from "../render/json.ts";
import type { Session } from "../session.ts";
import { take } from "./take.ts";

export async function printWhy({ client, given, terminal, runtime, signal }: Session, jobId: string): Promise<void> {
  const why = await client.jobs.why(jobId, { signal });
  terminal.print(given.flag("json") ? json(why) : describeReason(why, runtime.now()));
}

export async function printEvents({ client, given, terminal, signal }: Session, jobId: string): Promise<void> {
  const log = await client.jobs.events(jobId, { signal });
  if (given.flag("json")) return terminal.print(json(log));
  terminal.print(describeLog(log));
  if (!log.complete) terminal.note("how it began is no longer kept");
}

export async function printTrace(session: Session, traceId: string): Promise<void> {
  const { client, given, terminal, runtime, signal } = session;
  const limit = given.whole("limit", { min: 1, max: 10_000 }) ?? 100;
  const { items, isAll } = await take(client.jobs.trace(traceId, { signal, pageSize: Math.min(limit, 200) }), limit);
  if (given.flag("json")) return terminal.print(json(items));
  if (items.length === 0) return terminal.note("no jobs of this trace");
  terminal.print(jobTable(items, runtime.now()));
  if (!isAll) terminal.note(`the first ${limit}; --limit shows more`);
}
