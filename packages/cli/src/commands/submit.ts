// `cordum job submit`
// Owns:          from options to a submission; what is said about the new job.
// Must not know: how it is sent.

import type { JobSubmission } from "@cordum/sdk";
import { CommandFailure } from "../failure.ts";
import { readJson, readTexts } from "../input.ts";
import { json } from "../render/json.ts";
import type { Session } from "../session.ts";
import { oneLine } from "../terminal.ts";
import { followToEnd } from "./watch.ts";

const PROMPT_FOR_INPUT_ALONE = "cordum job submit";

/** Throws CommandFailure JOB_UNSUCCESSFUL when it waited and the job ended otherwise than well. */
export async function submitJob(session: Session, topic: string | undefined): Promise<void> {
  const { client, given, terminal, signal } = session;
  const submission = await readSubmission(session, topic);
  const idempotencyKey = given.text("idempotencyKey");
  const job = await client.submit(submission, { signal, ...(idempotencyKey !== undefined && { idempotencyKey }) });
  if (given.flag("wait")) {
    terminal.note(`job ${oneLine(job.job_id)}`);
    await followToEnd(session, job.job_id);
  } else if (given.flag("json")) terminal.print(json({ job_id: job.job_id, trace_id: job.trace_id }));
  else {
    terminal.print(oneLine(job.job_id));
    if (terminal.isInteractive) terminal.note(`follow it: cordum job watch ${oneLine(job.job_id)}`);
  }
}

async function readSubmission({ given, terminal }: Session, argument: string | undefined): Promise<JobSubmission> {
  const topic = argument ?? given.text("topic");
  if (topic === undefined)
    throw new CommandFailure(
      "USAGE",
      "job topic required",
      'For example: cordum job submit job.echo --input \'{"hello":"world"}\'',
    );
  const input = given.text("input");
  const prompt = given.text("prompt");
  if (input === undefined && prompt === undefined)
    throw new CommandFailure("USAGE", "prompt required (use --prompt or --input)");
  const context = input === undefined ? undefined : await readJson("input", input, terminal);
  const labels = given.text("labels");
  const named = {
    capability: given.text("capability"),
    pack_id: given.text("packId"),
    tenant_id: given.text("org"),
    actor_id: given.text("actorId"),
    deadline_ms: given.span("deadline"),
    priority: choice("priority", given.text("priority"), ["interactive", "batch", "critical"]),
    actor_type: choice("actor-type", given.text("actorType"), ["human", "service"]),
  };
  return {
    topic,
    prompt: prompt ?? PROMPT_FOR_INPUT_ALONE,
    ...(context !== undefined && { context }),
    ...(labels !== undefined && { labels: await readTexts("labels", labels, terminal) }),
    ...lists({ risk_tags: given.list("riskTags"), requires: given.list("requires") }),
    ...Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined)),
  };
}

function lists(given: { readonly [name: string]: readonly string[] }): { readonly [name: string]: readonly string[] } {
  return Object.fromEntries(Object.entries(given).filter(([, values]) => values.length > 0));
}

function choice<T extends string>(option: string, value: string | undefined, allowed: readonly T[]): T | undefined {
  const chosen = allowed.find((each) => each === value);
  if (chosen !== undefined || value === undefined) return chosen;
  throw new CommandFailure("USAGE", `--${option} expects ${allowed.join(" or ")}, got "${value}"`);
}
