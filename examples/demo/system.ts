// Cordum in this process, for the demo: keys, folders, workers, and how all of it ends.
// Owns:          starting and ending; nothing is left behind.
// Must not know: the jobs, the story.

import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createLog,
  describeProblems,
  parseConfiguration,
  type RunningAllInOne,
  startAllInOne,
} from "@cordum/control-plane";
import { Client, type Serving, serve } from "@cordum/sdk";
import type { Servers } from "./arguments.ts";
import type { Crew, Site } from "./workers.ts";

export interface DemoSystem {
  readonly running: RunningAllInOne;
  /** Hands in the jobs. May approve, but nobody approves a job of their own. */
  readonly ada: Client;
  readonly ben: Client;
  readonly policy: string;
  /** Workers first, then the system. */
  drain(): Promise<void>;
}

export interface Folders {
  readonly home: string;
  readonly outbox: string;
  readonly scratch: string;
}

const SCRATCH_FILES = ["old-1.log", "old-2.log", "old-3.log"];

export async function makeFolders(): Promise<Folders> {
  const home = await mkdtemp(join(tmpdir(), "cordum-demo-"));
  const folders = { home, outbox: join(home, "outbox"), scratch: join(home, "scratch") };
  await mkdir(folders.outbox);
  await mkdir(folders.scratch);
  for (const name of SCRATCH_FILES) await writeFile(join(folders.scratch, name), "nobody needs this any more\n");
  return folders;
}

export async function removeFolders({ home }: Folders): Promise<void> {
  await rm(home, { recursive: true, force: true });
}

export interface DemoParts {
  readonly folders: Folders;
  readonly servers: Servers;
  readonly crewsOf: (tell: Site["tell"]) => readonly Crew[];
  readonly tell: Site["tell"];
}

export async function startSystem({ folders, servers, crewsOf, tell }: DemoParts): Promise<DemoSystem> {
  const policyPath = join(import.meta.dirname, "policy.yaml");
  const keys = { ada: randomBytes(24).toString("base64url"), ben: randomBytes(24).toString("base64url") };
  const parsed = parseConfiguration({
    GATEWAY_HTTP_ADDR: "127.0.0.1:0",
    GATEWAY_METRICS_ADDR: "off",
    CORDUM_API_KEYS: JSON.stringify([
      { key: keys.ada, role: "operator", principal_id: "ada" },
      { key: keys.ben, role: "approver", principal_id: "ben" },
    ]),
    CORDUM_STATE: servers.redis === undefined ? "sqlite" : "redis",
    REDIS_URL: servers.redis,
    NATS_URL: servers.nats,
    CORDUM_DATA_DIR: join(folders.home, "state"),
    SAFETY_POLICY_PATH: policyPath,
    CORDUM_LOG_FORMAT: "text",
    CORDUM_LOG_LEVEL: "error",
  });
  if (parsed.kind === "invalid") throw new Error(describeProblems(parsed.problems));
  const log = createLog({ ...parsed.config.log, about: {} }, process.stderr, Date.now);
  const running = await startAllInOne({ config: parsed.config, log });
  const serving: Serving[] = [];
  for (const { workerId, definitions } of crewsOf(tell)) {
    serving.push(await serve(definitions, { ...connectionOf(running, servers), workerId, log }));
  }
  return {
    running,
    ada: new Client({ url: running.url, apiKey: keys.ada }),
    ben: new Client({ url: running.url, apiKey: keys.ben }),
    policy: await readFile(policyPath, "utf8"),
    drain: async () => {
      await Promise.all(serving.map((each) => each.drain()));
      await running.drain();
    },
  };
}

/** Over real servers the workers are what workers elsewhere would be: strangers who know two URLs. */
function connectionOf(running: RunningAllInOne, { redis, nats }: Servers) {
  return redis === undefined || nats === undefined ? { connection: running.connection() } : { url: `${nats},${redis}` };
}
