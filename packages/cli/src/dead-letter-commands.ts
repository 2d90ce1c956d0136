// The command line of dead letters.
// Owns:          `cordum dlq …`: names, help texts, options.
// Must not know: what the commands do.

import type { Command } from "commander";
import { MOMENTS } from "./job-commands.ts";
import type { Machine } from "./machine.ts";
import { remote } from "./remote.ts";

export function addDeadLetters(program: Command, machine: Machine): void {
  const module = () => import("./commands/dead-letters.ts");
  const filtered = (command: Command) =>
    command
      .option("--topic <topic>", "only of this topic")
      .option("--code <code>", "only with this reason code, e.g. safety_denied")
      .option("--signature <id>", "only of this group, see `cordum dlq groups`")
      .option("--since <time>", `only since then: ${MOMENTS}`)
      .option("--until <time>", "only until then");
  const dlq = filtered(program.command("dlq").description("jobs that ended without success")).option(
    "--limit <n>",
    "how many (default 20)",
  );
  remote(dlq, machine, async () => (await module()).listDeadLetters);
  const groups = dlq.command("groups").description("what they died of, and how many of each");
  remote(filtered(groups), machine, async () => (await module()).listGroups);
  for (const verb of ["retry", "delete"] as const) {
    const command = filtered(
      dlq
        .command(verb)
        .argument("[job]")
        .description(
          verb === "retry"
            ? "submit a job once more and print the new job's id; without a job, all that the options find"
            : "remove a dead letter, not the job; without a job, all that the options find",
        ),
    )
      .option("--all", "every dead letter, where no option narrows the choice")
      .option("--dry-run", "say what would be done, and do nothing")
      .option("--reason <text>", "why; kept in the audit log");
    remote(command, machine, async () => {
      const { resolveLetters, resolveOne } = await module();
      return (session, jobId) =>
        jobId === undefined ? resolveLetters(session, verb) : resolveOne(session, verb, jobId);
    });
  }
}
