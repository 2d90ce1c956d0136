// `cordum dev`
// Owns:          the order: folder, settings, system, workers, ready, stop.
// Must not know: what the system is made of.
// C1. The first SIGINT or SIGTERM drains: workers first, then the system. The second ends the process at once.

import {
  type Config,
  createLog,
  describeProblems,
  describeUnknownName,
  type Log,
  parseConfiguration,
  type RunningAllInOne,
  startAllInOne,
} from "@cordum/control-plane";
import { type Serving, serve, type WorkerDefinition } from "@cordum/sdk";
import { EXIT_CODES } from "../exit-codes.ts";
import { CommandFailure, startFailure } from "../failure.ts";
import type { Given } from "../given.ts";
import { DEFAULT_FOLDER } from "../local.ts";
import type { Machine } from "../machine.ts";
import { stopSignals, untilAborted } from "../runtime.ts";
import type { Terminal } from "../terminal.ts";
import { type DevFolder, ensurePolicy, forgetAddress, noteAddress, openFolder } from "./folder.ts";
import { readyText } from "./ready.ts";
import { checkOptions, devEnvironment } from "./settings.ts";
import { loadWorkers, sampleWorkers } from "./workers.ts";

/** Until it is stopped. Throws CommandFailure when it cannot start. */
export async function runDev(given: Given, { terminal, runtime }: Machine): Promise<void> {
  checkOptions(given);
  const stop = stopSignals(() => process.exit(EXIT_CODES.INTERRUPTED.code));
  const tenant = terminal.env.TENANT_ID || "default";
  const folder = openFolder(dataPath(given, terminal), tenant, runtime.secret);
  const policyPath = given.text("policy") ?? (terminal.env.SAFETY_POLICY_PATH || ensurePolicy(folder));
  const config = readConfig(given, terminal, folder, policyPath);
  const log = createLog({ ...config.log, about: {} }, { write: (line) => terminal.note(line.replace(/\n$/, "")) }, () =>
    runtime.now(),
  );
  const workers = await definitions(given, terminal.folder);
  const running = await start(config, log);
  const serving = workers.length === 0 ? undefined : await serve(workers, { connection: running.connection(), log });
  noteAddress(folder, running.url);
  const topics = workers.map(({ topic }) => topic);
  const isOtherFolder = folder.path !== (terminal.env.CORDUM_DATA_DIR || DEFAULT_FOLDER);
  terminal.print(readyText({ url: running.url, folder, policyPath, topics, startMs: runtime.age(), isOtherFolder }));
  await untilAborted(stop.first);
  terminal.note("stopping: work in hand may end; Ctrl-C again stops at once");
  await drain(running, serving, folder);
  stop.forget();
}

function dataPath(given: Given, terminal: Terminal): string {
  return given.text("data") ?? (terminal.env.CORDUM_DATA_DIR || DEFAULT_FOLDER);
}

function readConfig(given: Given, terminal: Terminal, folder: DevFolder, policy: string): Config {
  const paths = { data: folder.path, keys: terminal.env.CORDUM_API_KEYS_PATH || folder.keysPath, policy };
  const { env, isLogOnScreen } = terminal;
  const parsed = parseConfiguration(devEnvironment({ given, env, paths, keys: folder.keys, isLogOnScreen }));
  for (const warning of parsed.warnings) terminal.note(`warning: ${describeUnknownName(warning)}`);
  if (parsed.kind === "valid") return parsed.config;
  throw new CommandFailure("USAGE", describeProblems(parsed.problems));
}

async function definitions(given: Given, folder: string): Promise<readonly WorkerDefinition[]> {
  const own = await Promise.all(given.each("workers").map((path) => loadWorkers(path, folder)));
  const topics = new Set(own.flat().map(({ topic }) => topic));
  const samples = given.flag("sampleWorkers") ? sampleWorkers().filter(({ topic }) => !topics.has(topic)) : [];
  return [...own.flat(), ...samples];
}

async function start(config: Config, log: Log): Promise<RunningAllInOne> {
  try {
    return await startAllInOne({ config, log });
  } catch (error) {
    const hint = "Another `cordum dev` may be running. --port takes another port, --port 0 a free one.";
    throw startFailure(error, hint);
  }
}

/** A worker that is stopped first gives its jobs time to end while there is still somebody to report to. */
async function drain(running: RunningAllInOne, serving: Serving | undefined, folder: DevFolder): Promise<void> {
  forgetAddress(folder);
  await serving?.drain();
  await running.drain();
}
