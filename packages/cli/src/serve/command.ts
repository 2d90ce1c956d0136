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
import { problemsTogether, rolesOf, serveEnvironment, serversOf } from "./settings.ts";

/** Until it is stopped. Throws CommandFailure when it cannot start. */
export async function runServe(given: Given, { terminal, runtime }: Machine): Promise<void> {
  const roles = rolesOf(given);
  const config = readConfig(terminal, roles);
  const stop = stopSignals(() => process.exit(EXIT_CODES.INTERRUPTED.code));
  const name = [...roles].join(" and ");
  const sink = { write: (line: string) => terminal.note(line.replace(/\n$/, "")) };
  const log = createLog({ ...config.log, about: { roles: name } }, sink, () => runtime.now());
  log.info("serve.starting", serversOf(config));
  const running = await start({ config, log, roles }, stop);
  const where = running.url === undefined ? "" : ` at ${running.url}`;
  terminal.print(`Cordum ${name} ready${where} after ${(runtime.age() / 1_000).toFixed(1)} s`);
  log.info("serve.ready", { url: running.url ?? "none" });
  await untilAborted(stop.first);
  log.info("serve.draining", { signal: String(stop.first.reason) });
  await running.drain();
  log.info("serve.stopped");
  stop.forget();
}

function readConfig({ env, note, isLogOnScreen }: Terminal, roles: ReadonlySet<Role>): Config {
  const parsed = parseConfiguration(serveEnvironment(env, isLogOnScreen), roles);
  for (const warning of parsed.warnings) note(`warning: ${describeUnknownName(warning)}`);
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
  const stopped = untilAborted(stop.first).then(() => {
    throw new CommandFailure("INTERRUPTED", "stopped before it was ready");
  });
  const starting = startNode(options).catch((error: unknown) => {
    const hint = "GATEWAY_HTTP_ADDR, GATEWAY_METRICS_ADDR and SCHEDULER_METRICS_ADDR choose other ports.";
    throw startFailure(error, hint);
  });
  return Promise.race([starting, stopped]);
}
