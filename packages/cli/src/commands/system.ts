// `cordum status`
// Owns:          from answers to text.
// Must not know: how they travel.

import { json } from "../render/json.ts";
import { age } from "../render/time.ts";
import type { Session } from "../session.ts";
import { oneLine } from "../terminal.ts";

/** States of jobs that a look at a system is for. */
const SHOWN_ALWAYS = new Set(["pending", "approval_required", "scheduled", "dispatched", "running"]);

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
  const { pipeline = {} } = status;
  for (const [state, count] of Object.entries(pipeline))
    if (count > 0 || SHOWN_ALWAYS.has(state)) rows.push([state.replaceAll("_", " "), String(count)]);
  const shown = rows.filter(([, value]) => value !== "");
  terminal.print(shown.map(([name, value]) => `${(name ?? "").padEnd(19)}${oneLine(value ?? "")}`).join("\n"));
}
