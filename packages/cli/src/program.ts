// The command line: which subcommands and options there are.
// Owns:          names, help texts, exit codes of a call as a whole.
// Must not know: what the subcommands do; each is loaded when it is called, so that help and errors are quick.
// G1. Options may stand anywhere; what is left over is an error. G2. Whatever fails ends in one line on standard error, a hint where
//     there is one, and a code of the table.

import { readFileSync } from "node:fs";
import { Argument, Command, CommanderError, Option } from "commander";
import { SHELLS, type Shell } from "./commands/shells.ts";
import { addDeadLetters } from "./dead-letter-commands.ts";
import { EXIT_CODES } from "./exit-codes.ts";
import { tell } from "./failure.ts";
import { Given } from "./given.ts";
import { addJobs } from "./job-commands.ts";
import type { Machine } from "./machine.ts";
import { remote } from "./remote.ts";

/** Runs one command line (without node and script). The exit code of the process; never throws. */
export async function run(argv: readonly string[], machine: Machine): Promise<number> {
  const { terminal } = machine;
  try {
    await createProgram(machine).parseAsync(argv, { from: "user" });
    return EXIT_CODES.OK.code;
  } catch (error) {
    // Commander has said what is wrong, or has shown what was asked for.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_CODES.OK.code : EXIT_CODES.USAGE.code;
    const told = tell(error);
    terminal.note(told.text);
    return told.exitCode;
  }
}

export function createProgram(machine: Machine): Command {
  const program = new Command("cordum")
    .description("Control plane that governs what AI agents and workers do.")
    .version(version(), "-V, --version", "print the version")
    .helpOption("-h, --help", "show help")
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
    .configureOutput({
      writeOut: (text) => machine.terminal.print(text.replace(/\n$/, "")),
      writeErr: (text) => machine.terminal.note(text.replace(/\n$/, "")),
    })
    .showHelpAfterError("(--help shows what there is)")
    .option(
      "--url <url>",
      "address of the server (env CORDUM_API_URL, CORDUM_GATEWAY; default: the `cordum dev` of this folder)",
    )
    .addOption(new Option("--gateway <url>", "the same as --url").hideHelp())
    .option("--api-key <key>", "key to use (env CORDUM_API_KEY); others may see it in the process list")
    .option("--api-key-file <file>", "file that holds the key")
    .option("--as <principal>", "key of the `cordum dev` of this folder: admin, submitter or approver")
    .option("--json", "print JSON for programs")
    .addHelpText("after", EXAMPLES);
  addDev(program, machine);
  addServe(program, machine);
  addJobs(program, machine);
  addApprovals(program, machine);
  addKeys(program, machine);
  addConfig(program, machine);
  addDeadLetters(program, machine);
  addSystem(program, machine);
  addWorkers(program, machine);
  addCompletion(program, machine);
  return program;
}

const EXAMPLES = `
Examples:
  cordum dev                                                 start everything in this folder
  cordum serve --roles scheduler                             start one process of a fleet
  cordum job submit job.echo --input '{"n":1}' --wait        hand in a job and wait for its result
  cordum approvals                                           what waits for a person
  cordum approve <job> --as approver --reason "looks right"  let it go on`;

function addDev(program: Command, machine: Machine): void {
  program
    .command("dev")
    .description("run everything in one process, with SQLite, a sample policy and sample workers")
    .configureHelp({ showGlobalOptions: false })
    .option("--port <port>", "port of the REST API on this machine (default 8081); 0 takes a free one")
    .option("--data <folder>", "folder for the SQLite files and the keys (default .cordum)")
    .option("--policy <file>", "policy file (default: policy.yaml in the data folder, made on the first start)")
    .option("--pools <file>", "file that maps topics to pools (default: every topic goes to the workers that serve it)")
    .option("--workers <module>", "module that exports `workers`; may be given several times", collect, [])
    .option("--no-sample-workers", "do not serve job.default, job.echo and job.slow.echo")
    .action(async function (this: Command) {
      const { runDev } = await import("./dev/command.ts");
      await runDev(new Given(this.optsWithGlobals()), machine);
    });
}

function addServe(program: Command, machine: Machine): void {
  program
    .command("serve")
    .description(
      "run one process (or several) of a control plane on NATS and Redis, with settings from the environment",
    )
    .configureHelp({ showGlobalOptions: false })
    .option("--roles <roles>", "gateway, scheduler or both, separated by commas (default: both)")
    .option("--processes <n>", "how many behind one address, to use several cores (default 1)")
    .action(async function (this: Command) {
      const { runServe } = await import("./serve/command.ts");
      await runServe(new Given(this.optsWithGlobals()), machine);
    });
}

function addApprovals(program: Command, machine: Machine): void {
  const list = program
    .command("approvals")
    .description("jobs that wait for a person")
    .option("--all", "answered ones as well")
    .option("--limit <n>", "how many (default 50)");
  remote(list, machine, async () => (await import("./commands/approvals.ts")).listApprovals);
  for (const verb of ["approve", "reject"] as const) {
    const command = program
      .command(verb)
      .argument("<job>")
      .description(
        verb === "approve" ? "let a job go on that waits for a person" : "deny a job that waits for a person",
      )
      .option("--reason <text>", "why; kept with the job")
      .option("--note <text>", "more for whoever reads it later");
    remote(command, machine, async () => {
      const { answer } = await import("./commands/approvals.ts");
      return (session, jobId) => answer(session, jobId, verb);
    });
  }
}

function addKeys(program: Command, machine: Machine): void {
  const keys = program.command("keys").alias("key").description("API keys: make, list, rotate and revoke them");
  const list = keys
    .command("list")
    .description("keys that were made, newest first")
    .option("--ended", "revoked and expired ones instead")
    .option("--limit <n>", "how many (default 100)");
  remote(list, machine, async () => (await import("./commands/keys.ts")).listKeys);
  const create = keys
    .command("create")
    .description("make a key; prints it, this once")
    .option("--name <text>", "what it is for")
    .option("--role <roles>", "admin, operator, approver, submitter, viewer or worker; several separated by commas")
    .option("--principal <name>", "who acts when it is used (default: the key itself)")
    .option("--tenant <tenants>", "tenants that it works for, separated by commas (default: that of your key)")
    .option("--all-tenants", "let it name any tenant")
    .option("--acts-for-others", "let its requests say in whose name they come (X-Principal-Id)")
    .option("--expires <days>", "end it after that many days, e.g. 90d (default: never)");
  remote(create, machine, async () => (await import("./commands/keys.ts")).createKey);
  const one = (name: string, description: string) =>
    keys
      .command(name)
      .argument("<key>")
      .description(description)
      .option("--reason <text>", "why; kept in the audit log");
  const rotate = one("rotate", "give a key a new secret; prints it, this once").option(
    "--grace <time>",
    "how long the old secret stays valid, e.g. 24h; 0 ends it now",
  );
  remote(rotate, machine, async () => (await import("./commands/keys.ts")).rotateKey);
  const revoke = one("revoke", "end a key for good, everywhere");
  remote(revoke, machine, async () => (await import("./commands/keys.ts")).revokeKey);
}

function addConfig(program: Command, machine: Machine): void {
  const config = program.command("config").description("what is set for the installation, a tenant, a team, …");
  const module = () => import("./commands/config.ts");
  const of = (name: string, description: string) =>
    config
      .command(name)
      .description(description)
      .option("--scope <scope>", "system, org, team, workflow or step (default: org, the tenant of the key)")
      .option("--id <id>", "which team, workflow or step; of scope system: which document (default: default)");
  remote(of("get", "print one document"), machine, async () => (await module()).getConfig);
  const set = of("set", "put a document in place of the one that is there")
    .argument("<data>", "JSON, a file with JSON, or - for standard input")
    .option("--merge", "put its members into the document; the others stay")
    .option("--revision <n>", "only if the document is at this revision; 0: only if there is none");
  remote(set, machine, async () => (await module()).setConfig);
  remote(of("delete", "remove a document"), machine, async () => (await module()).deleteConfig);
  const effective = config
    .command("effective")
    .description("what holds for jobs, all scopes merged")
    .option("--team <id>", "of this team")
    .option("--workflow <id>", "of this workflow")
    .option("--step <id>", "of this step");
  remote(effective, machine, async () => (await module()).effectiveConfig);
  addSchemas(program, machine);
}

function addSchemas(program: Command, machine: Machine): void {
  const schemas = program.command("schemas").alias("schema").description("JSON Schemas that payloads have to keep to");
  const module = () => import("./commands/config.ts");
  const list = schemas
    .command("list")
    .description("ids, registered last first")
    .option("--limit <n>", "how many (default 100)");
  remote(list, machine, async () => (await module()).listSchemas);
  const one = (name: string, description: string) =>
    schemas.command(name).argument("<id>", "e.g. billing/Invoice").description(description);
  remote(one("get", "print a schema"), machine, async () => (await module()).getSchema);
  const system = ["--system", "the installation's, which every tenant finds that has none of that id"] as const;
  const register = one("register", "register a schema, or another one under the same id")
    .argument("<schema>", "JSON, a file with JSON, or - for standard input")
    .option(...system);
  remote(register, machine, async () => (await module()).registerSchema);
  remote(one("delete", "remove a schema").option(...system), machine, async () => (await module()).deleteSchema);
}

function addSystem(program: Command, machine: Machine): void {
  const status = program.command("status").description("how the server is");
  remote(status, machine, async () => (await import("./commands/system.ts")).printStatus);
}

function addWorkers(program: Command, machine: Machine): void {
  const workers = program.command("workers").description("workers that the server knows");
  remote(workers, machine, async () => (await import("./commands/workers.ts")).listWorkers);
  const one = (name: string, description: string) =>
    workers
      .command(name)
      .argument("<worker>")
      .description(description)
      .option("--reason <text>", "why; kept in the audit log");
  const drain = one("drain", "give a worker no new jobs; those that it has go on")
    .option("--wait", "wait until it has no job any more")
    .option("--timeout <time>", "how long --wait waits (default 1h)");
  remote(drain, machine, async () => (await import("./commands/workers.ts")).drainWorker);
  const undrain = one("undrain", "let a drained worker have jobs again");
  remote(undrain, machine, async () => (await import("./commands/workers.ts")).undrainWorker);
  const revoke = one("revoke", "end the session of a worker that is connected with an API key");
  remote(revoke, machine, async () => (await import("./commands/workers.ts")).revokeSession);
}

function addCompletion(program: Command, { terminal }: Machine): void {
  program
    .command("completion")
    .description("print what a shell needs to complete this command: source <(cordum completion bash)")
    .configureHelp({ showGlobalOptions: false })
    .addArgument(new Argument("<shell>").choices([...SHELLS]))
    .action(async (shell: Shell) => {
      const { completionScript } = await import("./commands/completion.ts");
      terminal.print(completionScript(program, shell));
    });
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

function version(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  const found =
    typeof manifest === "object" && manifest !== null && "version" in manifest ? manifest.version : undefined;
  return typeof found === "string" ? found : "unknown";
}
