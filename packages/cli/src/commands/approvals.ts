// `cordum approvals`, `cordum approve`, `cordum reject`
// Owns:          what a person sees before an answer, and what is said after it.
// Must not know: which rules an approval has; the server keeps them.

import type { Approval, Verdict } from "@cordum/sdk";
import { json } from "../render/json.ts";
import { table } from "../render/table.ts";
import { age } from "../render/time.ts";
import type { Session } from "../session.ts";
import { oneLine } from "../terminal.ts";
import { take } from "./take.ts";

export async function listApprovals({ client, given, terminal, runtime, signal }: Session): Promise<void> {
  const limit = given.whole("limit", { min: 1, max: 10_000 }) ?? 50;
  const { items, isAll } = await take(client.approvals.list({ signal, includeResolved: given.flag("all") }), limit);
  if (given.flag("json")) return terminal.print(json(items));
  if (items.length === 0) return terminal.note("nothing waits for an approval");
  terminal.print(approvalTable(items, runtime.now()));
  if (!isAll) terminal.note(`the first ${limit}; --limit shows more`);
}

export async function answer(session: Session, jobId: string, verb: "approve" | "reject"): Promise<void> {
  const { client, given, terminal, signal } = session;
  const [reason, note] = [given.text("reason"), given.text("note")];
  const verdict: Verdict = { ...(reason !== undefined && { reason }), ...(note !== undefined && { note }) };
  const answered = await client.approvals[verb](jobId, verdict, { signal });
  if (given.flag("json")) terminal.print(json(answered));
  else terminal.print(oneLine(`${verb === "approve" ? "approved" : "rejected"} ${answered.job_id}`));
}

function approvalTable(approvals: readonly Approval[], now: number): string {
  const rows = approvals.map(({ job, policy_rule_id, policy_reason, approval_status }) => [
    job.id,
    job.topic ?? "",
    job.principal ?? job.actor_id ?? "",
    (job.risk_tags ?? []).join(","),
    policy_rule_id ?? "",
    policy_reason ?? "",
    approval_status ?? "",
    `${age(now - job.updated_at / 1_000)} ago`,
  ]);
  return table([["JOB", "TOPIC", "ASKED BY", "RISK", "RULE", "REASON", "STATUS", "SINCE"], ...rows]);
}
