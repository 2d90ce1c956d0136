// `cordum dlq`, `dlq groups`, `dlq retry`, `dlq delete`, `job remediate`
// Owns:          from options to filters, from answers to text; going on until a filter is through.
// Must not know: how a letter is retried or removed.
// L1. Many at once need a filter, or `--all`: an empty command line changes nothing. L2. What is refused is shown, and ends with a code of its
//     own; the others are done.

import type { DeadLetterFilter, ManyLettersAnswer } from "@cordum/sdk";
import { CommandFailure } from "../failure.ts";
import { json } from "../render/json.ts";
import { table } from "../render/table.ts";
import type { Session } from "../session.ts";
import { oneLine } from "../terminal.ts";
import { take } from "./take.ts";

const GROUPS_MAX = 1_000;

export async function listDeadLetters(session: Session): Promise<void> {
  const { client, given, terminal, signal } = session;
  const limit = given.whole("limit", { min: 1, max: 10_000 }) ?? 20;
  const list = client.deadLetters.list({ ...filterOf(session), signal, pageSize: Math.min(limit, 200) });
  const { items, isAll } = await take(list, limit);
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

export async function listGroups(session: Session): Promise<void> {
  const { client, given, terminal, signal } = session;
  const { items } = await take(client.deadLetters.groups({ ...filterOf(session), signal }), GROUPS_MAX);
  if (given.flag("json")) return terminal.print(json(items));
  if (items.length === 0) return terminal.note("no dead letters");
  const rows = items.map((group) => [
    group.signature,
    String(group.count),
    group.topic,
    group.reason_code,
    group.pattern,
    group.newest_at,
  ]);
  terminal.print(table([["SIGNATURE", "COUNT", "TOPIC", "CODE", "PATTERN", "NEWEST"], ...rows]));
  terminal.note("`cordum dlq retry --signature <id> --dry-run` says what a retry would do");
}

type Verb = "retry" | "delete";

export async function resolveOne(session: Session, verb: Verb, jobId: string): Promise<void> {
  const { client, given, terminal, signal } = session;
  if (Object.keys(filterOf(session)).length > 0 || given.flag("all"))
    throw new CommandFailure("USAGE", "name a job, or what to look for, not both");
  if (given.flag("dryRun")) {
    const letter = await client.deadLetters.get(jobId, { signal });
    if (given.flag("json")) return terminal.print(json(letter));
    return terminal.print(oneLine(`would ${verb} ${letter.job_id}`));
  }
  if (verb === "delete") {
    await client.deadLetters.delete(jobId, { signal });
    if (!given.flag("json")) terminal.note("removed");
    return;
  }
  const retried = await client.deadLetters.retry(jobId, { signal });
  terminal.print(given.flag("json") ? json(retried) : oneLine(retried.job_id));
}

/** In the form that policy offers instead. */
export async function remediateJob(session: Session, jobId: string): Promise<void> {
  const { client, given, terminal, signal } = session;
  const remediationId = given.text("remediation");
  const made = await client.jobs.remediate(jobId, {
    signal,
    ...(remediationId === undefined ? {} : { remediationId }),
  });
  terminal.print(given.flag("json") ? json(made) : oneLine(made.job_id));
}

export async function resolveLetters(session: Session, verb: Verb): Promise<void> {
  const { client, given, terminal, signal } = session;
  const filter = filterOf(session);
  const isForAll = given.flag("all");
  if (Object.keys(filter).length === 0 && !isForAll)
    throw new CommandFailure("USAGE", "name a job, or what to look for", "`--all` means every dead letter.");
  const call = verb === "retry" ? client.deadLetters.retryMany : client.deadLetters.deleteMany;
  const reason = given.text("reason");
  const items: ManyLettersAnswer["items"][number][] = [];
  let cursor: string | undefined;
  do {
    const wish = { filter, all: isForAll, ...(reason === undefined ? {} : { reason }) };
    const answer = await call(cursor === undefined ? wish : { ...wish, cursor }, {
      signal,
      dryRun: given.flag("dryRun"),
    });
    items.push(...answer.items);
    if (answer.next_cursor !== null) terminal.note(`${items.length} of ${answer.scope.matches}`);
    // A server that hands out the same cursor again would keep us here for ever.
    cursor = answer.next_cursor === cursor ? undefined : (answer.next_cursor ?? undefined);
  } while (cursor !== undefined);
  show(session, items);
}

function show({ given, terminal }: Session, items: ManyLettersAnswer["items"]): void {
  const rows = items.map(({ job_id, outcome, new_job_id = "", code = "", detail = "" }) => [
    job_id,
    outcome,
    new_job_id,
    [code, detail].filter((part) => part !== "").join(": "),
  ]);
  if (given.flag("json")) terminal.print(json(items));
  else if (items.length === 0) terminal.note("no dead letters");
  else terminal.print(table([["JOB", "OUTCOME", "NEW JOB", "WHY"], ...rows]));
  const counts = new Map<string, number>();
  for (const { outcome } of items) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  const told = [...counts].map(([outcome, count]) => `${count} ${outcome.replaceAll("_", " ")}`);
  if (told.length > 0) terminal.note(told.join(", "));
  const refused = counts.get("refused") ?? 0;
  if (refused > 0) throw new CommandFailure("CONFLICT", `${refused} could not be done; see WHY`);
}

function filterOf({ given, runtime }: Session): DeadLetterFilter {
  const filter = {
    topic: given.text("topic"),
    reason_code: given.text("code"),
    signature: given.text("signature"),
    created_after: given.moment("since", runtime.now()),
    created_before: given.moment("until", runtime.now()),
  };
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined));
}
