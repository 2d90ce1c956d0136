// Opens a SQLite file as State and Payloads of one process.
// Owns:          starting the thread and what the caller gets.
// Must not know: SQL, the tape.

import { Worker } from "node:worker_threads";
import type { Clock } from "../../ports/clock.ts";
import { Fault } from "../../ports/fault.ts";
import type { Payloads } from "../../ports/payloads.ts";
import type { Layout, State } from "../../ports/state.ts";
import type { Ms } from "../../ports/time.ts";
import { SqlitePayloads } from "./sqlite-payloads.ts";
import { SqliteState } from "./sqlite-state.ts";
import type { FromThread } from "./tape.ts";
import type { ThreadOptions } from "./thread.ts";
import { ThreadLink, type ThreadPort } from "./thread-link.ts";

export interface SqliteOptions {
  /** The database file; beside it lie `-wal` and `.lock`. Its folder exists. */
  readonly path: string;
  readonly partitions: number;
  readonly layout: Layout;
  readonly clock: Clock;
  /** How long the thread may take for a call; default 5 s. */
  readonly timeoutMs?: Ms;
  /** Calls that wait for the thread at most; default 100,000. */
  readonly waitingMax?: number;
  /** Default 1 MiB. */
  readonly valueBytesMax?: number;
  /** Default 4,096. */
  readonly changesMax?: number;
  /** Largest payload; default 16 MiB. */
  readonly payloadBytesMax?: number;
}

/** One file, one thread, two ports. */
export interface SqliteStore {
  /** `state.close()` lets what waits be done and closes the file; payloads are unavailable from then on. */
  readonly state: State;
  readonly payloads: Payloads;
  /** Transactions so far, for benches and tests. */
  transactions(): number;
}

/** STATE_MISCONFIGURED when the file belongs to another process (which is named), has another number of partitions or a newer
 *  schema; STATE_UNAVAILABLE when it cannot be opened. `start` is for tests that stand between. */
export async function openSqlite(options: SqliteOptions, start: StartThread = startThread): Promise<SqliteStore> {
  const { path, partitions, layout, clock, timeoutMs = 5000, waitingMax = 100_000 } = options;
  const port = await start({ path, partitions, layout });
  const link = new ThreadLink(port, clock, { timeoutMs, waitingMax });
  const { valueBytesMax = 1 << 20, changesMax = 4096, payloadBytesMax = 1 << 24 } = options;
  const state = new SqliteState(link, { clock, layout, partitions, valueBytesMax, changesMax });
  return { state, payloads: new SqlitePayloads(link, payloadBytesMax), transactions: () => link.groups };
}

export type StartThread = (options: ThreadOptions) => Promise<ThreadPort>;

/** Starts the thread and waits until it owns the file. */
export async function startThread(options: ThreadOptions): Promise<ThreadPort> {
  // The source runs as it is; published packages are JavaScript.
  const file = import.meta.url.endsWith(".ts") ? "./thread.ts" : "./thread.js";
  // The flags of the process are not the thread's: it needs none, and some (--input-type) would keep it from starting.
  const execArgv = ["--disable-warning=ExperimentalWarning"];
  const worker = new Worker(new URL(file, import.meta.url), { workerData: options, execArgv });
  const first = await new Promise<FromThread>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", (cause) =>
      reject(new Fault("STATE_UNAVAILABLE", `${options.path} cannot be opened`, { cause })),
    );
  });
  if (first.kind === "refused") throw new Fault("STATE_MISCONFIGURED", first.detail);
  return {
    post: (message, transfer) => worker.postMessage(message, [...transfer]),
    listen(on) {
      worker.on("message", (message: FromThread) => on.message(message));
      worker.on("error", (cause) => on.end(cause instanceof Error ? cause : new Error(String(cause))));
      worker.on("exit", (code) => on.end(new Error(`the thread ended with ${code}`)));
    },
    async terminate() {
      await worker.terminate();
    },
  };
}
