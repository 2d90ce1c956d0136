// What happened to a job and why it waits, as people read it.
// Owns:          which members are shown, in which order, with which words.
// Must not know: how they were fetched.

import type { JobLog, JobLogEntry, JobWait } from "@cordum/sdk";
import { oneLine } from "../terminal.ts";
import { table } from "./table.ts";
import { age, moment } from "./time.ts";

/** `now` in epoch ms. */
export function describeReason(why: JobWait, now: number): string {
  const { limit } = why;
  const rows: readonly (readonly [string, string])[] = [
    ["job", why.id],
    ["state", [why.state, why.reason].join("  ")],
    ["why", why.explanation],
    ["since", `${moment(why.since / 1_000)}, ${age(now - why.since / 1_000)} ago`],
    ["freed by", why.freed_by],
    ["who", why.who_can_act.join(", ")],
    ...why.queues.map(({ pool, priority, ahead, waiting, workers, free_slots }): readonly [string, string] => [
      "queue",
      `pool ${pool}, ${priority}: ${ahead} ahead, ${waiting} waiting; ${workers} workers, ${free_slots} slots free`,
    ]),
    ["limit", limit === undefined ? "" : `${limit.used} of ${limit.max ?? "?"} used, ${limit.ahead} ahead`],
    ["next look", why.next_look_at === undefined ? "" : moment(why.next_look_at / 1_000)],
    ["ends at", why.ends_at === undefined ? "" : moment(why.ends_at / 1_000)],
  ];
  const shown = rows.filter(([, value]) => value !== "");
  return shown.map(([name, value]) => `${name.padEnd(10)}${oneLine(value)}`).join("\n");
}

export function describeLog({ items }: JobLog): string {
  const rows = items.map((entry) => [moment(entry.at / 1_000), whatOf(entry), whyOf(entry), entry.by ?? ""]);
  return table([["AT", "WHAT", "WHY", "BY"], ...rows]);
}

function whatOf({ kind, state, decision, outcome, reported }: JobLogEntry): string {
  if (kind === "state") return state ?? "";
  return `${kind === "decision" ? "policy" : kind}: ${decision ?? outcome ?? reported ?? ""}`;
}

function whyOf({ why, rule_id, reason }: JobLogEntry): string {
  return [why, rule_id, reason].filter((part) => part !== undefined && part !== "").join(": ");
}
