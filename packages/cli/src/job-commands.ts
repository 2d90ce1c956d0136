// The command line of jobs.
// Owns:          `cordum job …`, `why`, `trace`: names, help texts, options.
// Must not know: what the commands do.

import type { Command } from "commander";
import type { Machine } from "./machine.ts";
import { remote } from "./remote.ts";

export const MOMENTS = "2h (ago), a date or time such as 2026-01-31T12:00Z, or Unix seconds";

export function addJobs(program: Command, machine: Machine): void {
  const job = program.command("job").alias("jobs").description("hand in, look at, wait for and cancel jobs");
  addSubmit(job, machine);
  addOneAndMany(job, machine);
  addExplaining(program, machine);
}

function addSubmit(job: Command, machine: Machine): void {
  const submit = job
    .command("submit")
    .argument("[topic]", "topic, e.g. job.echo")
    .description("hand in a job; prints its id")
    .option("--topic <topic>", "the same as the argument")
    .option("--input <json>", "input of the worker: JSON, a file with JSON, or - for standard input")
    .option("--prompt <text>", "text that goes with the job")
    .option("--risk-tags <tags>", "what the job risks, separated by commas; policy looks at them")
    .option("--requires <names>", "what its worker must offer, separated by commas")
    .option("--capability <name>", "what the job needs done")
    .option("--labels <json>", 'labels: {"name":"value"}, or a file with that')
    .option("--priority <class>", "critical, interactive or batch")
    .option("--deadline <time>", "the job ends as TIMEOUT when it takes longer, e.g. 90s")
    .option("--idempotency-key <key>", "same key and same job: no second job")
    .option("--pack-id <id>", "pack that the job belongs to")
    .option("--org <tenant>", "tenant, when the key may choose")
    .option("--actor-id <id>", "on whose behalf")
    .option("--actor-type <type>", "human or service")
    .option("--wait", "wait for the end and print the result")
    .option("--timeout <time>", "how long --wait waits (default 5m)");
  remote(submit, machine, async () => (await import("./commands/submit.ts")).submitJob);
}

function addOneAndMany(job: Command, machine: Machine): void {
  const one = (name: string, description: string) => job.command(name).argument("<job>").description(description);
  remote(one("get", "all about one job"), machine, async () => (await import("./commands/jobs.ts")).getJob);
  remote(one("status", "the state alone"), machine, async () => (await import("./commands/jobs.ts")).printState);
  const list = job
    .command("list")
    .description("jobs, newest change first")
    .option("--state <state>", "only jobs in this state, e.g. APPROVAL_REQUIRED")
    .option("--topic <topic>", "only jobs of this topic")
    .option("--team <team>", "only jobs of this team")
    .option("--trace <id>", "only jobs of this trace")
    .option("--tenant <id>", "of this tenant, when the key may choose")
    .option("--since <time>", `changed since then: ${MOMENTS}`)
    .option("--until <time>", "changed until then")
    .option("--limit <n>", "how many (default 20)")
    .option("--all", "all of them; says on standard error how far it is");
  remote(list, machine, async () => (await import("./commands/jobs.ts")).listJobs);
  remote(one("events", "what happened to a job: states, decisions, answers of people"), machine, async () => {
    const { printEvents } = await import("./commands/explain.ts");
    return printEvents;
  });
  const cancel = one("cancel", "stop a job")
    .option("--wait", "wait until it is known what its worker did")
    .option("--timeout <time>", "how long --wait waits (default 2m)");
  remote(cancel, machine, async () => (await import("./commands/jobs.ts")).cancelJob);
  const remediate = one(
    "remediate",
    "submit a job that policy held back in the form that it offers instead; print the new id",
  ).option("--remediation <id>", "which, where policy offers several: `cordum job get <job>` shows them");
  remote(remediate, machine, async () => (await import("./commands/dead-letters.ts")).remediateJob);
  const watch = job
    .command("watch")
    .argument("[job]")
    .description("follow a job to its end and print its result; without a job, follow all of them")
    .option("--timeout <time>", "how long (default 5m; without a job: for ever)")
    .option("--count <n>", "without a job: end after so many changes");
  remote(watch, machine, async () => {
    const [{ watchJob }, { watchAll }] = await Promise.all([
      import("./commands/jobs.ts"),
      import("./commands/watch-all.ts"),
    ]);
    return (session, jobId) => (jobId === undefined ? watchAll(session) : watchJob(session, jobId));
  });
}

function addExplaining(program: Command, machine: Machine): void {
  const why = program.command("why").argument("<job>").description("why a job does not run, and what would free it");
  remote(why, machine, async () => (await import("./commands/explain.ts")).printWhy);
  const trace = program
    .command("trace")
    .argument("<trace>", "id of the trace: that of the job which began it")
    .description("the jobs of a trace, in the order in which they were accepted")
    .option("--limit <n>", "how many (default 100)");
  remote(trace, machine, async () => (await import("./commands/explain.ts")).printTrace);
}
