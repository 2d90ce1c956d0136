// `cordum serve`
// Owns:          the order: roles, settings, start, ready, stop.
// Must not know: what the roles are made of.
// C1. The first SIGINT or SIGTERM drains; the second ends the process at once, and so does one that comes before it is ready.

import {
  type Config,
  createLog,
  describeProblems,
  describeUnknownName,
  type Log,
  parseConfiguration,
  type Role,
  type Running,
  startNode,
} from "@cordum/control-plane";
import { EXIT_CODES } from "../exit-codes.ts";
import { CommandFailure, startFailure } from "../failure.ts";
import type { Given } from "../given.ts";
import type { Machine } from "../machine.ts";
import { type StopSignals, stopSignals, untilAborted } from "../runtime.ts";
import type { Terminal } from "../terminal.ts";
import { PROCESSES_MAX, Processes, processNumber, tellReady } from "./processes.ts";
import { forProcess, problemsTogether, rolesOf, serveEnvironment, serversOf } from "./settings.ts";

/** Until it is stopped. Throws CommandFailure when it cannot start. */
export async function runServe(given: Given, machine: Machine): Promise<void> {
  const roles = rolesOf(given);
  const count = given.whole("processes", { min: 1, max: PROCESSES_MAX }) ?? 1;
  const number = processNumber(machine.terminal.env);
  if (number !== undefined)
    return runOne(forProcess(readConfig(machine.terminal, roles), number), roles, machine, number);
  const config = readConfig(machine.terminal, roles, (warning) => machine.terminal.note(warning));
  if (count === 1) return runOne(config, roles, machine);
  forProcess(config, count);
  await runSeveral(count, config, roles, machine);
}

/** `number`: which one of several. */
async function runOne(config: Config, roles: ReadonlySet<Role>, machine: Machine, number?: number): Promise<void> {
  const stop = stopSignals(() => process.exit(EXIT_CODES.INTERRUPTED.code));
  const log = logOf(config, roles, machine, number);
  log.info("serve.starting", serversOf(config));
  const running = await start({ config, log, roles }, stop);
  if (number === undefined) printReady(running.url, roles, machine);
  else tellReady(running.url);
  log.info("serve.ready", { url: running.url ?? "none" });
  await untilAborted(stop.first);
  log.info("serve.draining", { signal: String(stop.first.reason) });
  await running.drain();
  log.info("serve.stopped");
  stop.forget();
}

async function runSeveral(count: number, config: Config, roles: ReadonlySet<Role>, machine: Machine): Promise<void> {
  const processes = new Processes(count, { log: logOf(config, roles, machine), runtime: machine.runtime });
  const stop = stopSignals(() => {
    processes.kill();
    process.exit(EXIT_CODES.INTERRUPTED.code);
  });
  const stopping = untilAborted(stop.first).then(() => processes.drain());
  const url = await Promise.race([processes.start(), untilStopped(stop)]);
  printReady(url, roles, machine, ` in ${count} processes`);
  await stopping;
  stop.forget();
}

function logOf(config: Config, roles: ReadonlySet<Role>, { terminal, runtime }: Machine, number?: number): Log {
  const sink = { write: (line: string) => terminal.note(line.replace(/\n$/, "")) };
  const about = { roles: nameOf(roles), ...(number === undefined ? {} : { process: number }) };
  return createLog({ ...config.log, about }, sink, () => runtime.now());
}

function printReady(url: string | undefined, roles: ReadonlySet<Role>, { terminal, runtime }: Machine, how = ""): void {
  const where = url === undefined ? "" : ` at ${url}`;
  terminal.print(`Cordum ${nameOf(roles)} ready${where} after ${(runtime.age() / 1_000).toFixed(1)} s${how}`);
}

function nameOf(roles: ReadonlySet<Role>): string {
  return [...roles].join(" and ");
}

function readConfig(
  { env, isLogOnScreen }: Terminal,
  roles: ReadonlySet<Role>,
  warn: (warning: string) => void = () => undefined,
): Config {
  const parsed = parseConfiguration(serveEnvironment(env, isLogOnScreen), roles);
  for (const warning of parsed.warnings) warn(`warning: ${describeUnknownName(warning)}`);
  const problems = parsed.kind === "invalid" ? parsed.problems : problemsTogether(parsed.config);
  if (parsed.kind === "valid" && problems.length === 0) return parsed.config;
  throw new CommandFailure("USAGE", describeProblems(problems));
}

interface Start {
  readonly config: Config;
  readonly log: Log;
  readonly roles: ReadonlySet<Role>;
}

/** A signal before the process is ready need not wait for servers that do not answer. */
async function start(options: Start, stop: StopSignals): Promise<Running> {
  const starting = startNode(options).catch((error: unknown) => {
    const hint = "GATEWAY_HTTP_ADDR, GATEWAY_METRICS_ADDR and SCHEDULER_METRICS_ADDR choose other ports.";
    throw startFailure(error, hint);
  });
  return Promise.race([starting, untilStopped(stop)]);
}

async function untilStopped(stop: StopSignals): Promise<never> {
  await untilAborted(stop.first);
  throw new CommandFailure("INTERRUPTED", "stopped before it was ready");
}
