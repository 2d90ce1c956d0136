// `cordum dlq`, `cordum status`
// Owns:          from answers to text.
// Must not know: how they travel.

import { json } from "../render/json.ts";
import { table } from "../render/table.ts";
import { age } from "../render/time.ts";
import type { Session } from "../session.ts";
import { oneLine } from "../terminal.ts";
import { take } from "./take.ts";

export async function listDeadLetters({ client, given, terminal, signal }: Session): Promise<void> {
  const limit = given.whole("limit", { min: 1, max: 10_000 }) ?? 20;
  const { items, isAll } = await take(client.deadLetters.list({ signal, pageSize: Math.min(limit, 200) }), limit);
  if (given.flag("json")) return terminal.print(json(items));
  if (items.length === 0) return terminal.note("no dead letters");
  const rows = items.map((letter) => [
    letter.job_id,
    (letter.status ?? "").replace(/^JOB_STATUS_/, ""),
    letter.topic ?? "",
    letter.reason_code ?? "",
    letter.reason ?? "",
    letter.created_at,
  ]);
  terminal.print(table([["JOB", "STATUS", "TOPIC", "CODE", "REASON", "AT"], ...rows]));
  if (!isAll) terminal.note(`the newest ${limit}; --limit shows more`);
}

export async function retryDeadLetter({ client, given, terminal, signal }: Session, jobId: string): Promise<void> {
  const retried = await client.deadLetters.retry(jobId, { signal });
  if (given.flag("json")) return terminal.print(json(retried));
  terminal.print(oneLine(retried.job_id));
}

export async function deleteDeadLetter({ client, given, terminal, signal }: Session, jobId: string): Promise<void> {
  await client.deadLetters.delete(jobId, { signal });
  if (!given.flag("json")) terminal.note("removed");
}

export async function printStatus({ client, given, terminal, signal }: Session): Promise<void> {
  const status = await client.status({ signal });
  if (given.flag("json")) return terminal.print(json(status));
  const rows = [
    ["version", status.build.version],
    ["uptime", age(status.uptime_seconds * 1_000)],
    ["bus", status.nats === undefined ? "" : status.nats.status],
    ["state", status.redis === undefined ? "" : status.redis.ok ? "ok" : `not ok: ${status.redis.error ?? ""}`],
    ["workers", status.workers === undefined ? "" : String(status.workers.count)],
  ];
  const shown = rows.filter(([, value]) => value !== "");
  terminal.print(shown.map(([name, value]) => `${(name ?? "").padEnd(9)}${oneLine(value ?? "")}`).join("\n"));
}
