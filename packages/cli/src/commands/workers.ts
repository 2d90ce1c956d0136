// `cordum workers`, `cordum workers drain|undrain|revoke`
// Owns:          from answers to text; waiting until a worker is empty.
// Must not know: how they travel, how workers are drained.

import { CordumError, type WorkerRecord } from "@cordum/sdk";
import { CommandFailure } from "../failure.ts";
import { json } from "../render/json.ts";
import { table } from "../render/table.ts";
import type { Session } from "../session.ts";
import { oneLine } from "../terminal.ts";

const WAIT_MS = 3_600_000;
const POLL_MS = 500;

export async function listWorkers({ client, given, terminal, signal }: Session): Promise<void> {
  const workers = await client.workers({ signal });
  if (given.flag("json")) return terminal.print(json(workers));
  if (workers.length === 0) return terminal.note("no workers");
  const rows = workers.map((worker) => [
    worker.worker_id,
    worker.pool ?? "",
    `${worker.active_jobs ?? 0}/${worker.max_parallel_jobs ?? "?"}`,
    describeState(worker),
    (worker.capabilities ?? []).join(","),
  ]);
  terminal.print(table([["WORKER", "POOL", "BUSY", "STATE", "CAPABILITIES"], ...rows]));
}

/** With `--wait` until no job is out with it. */
export async function drainWorker(session: Session, workerId: string): Promise<void> {
  const { client, given, terminal, signal } = session;
  const reason = given.text("reason");
  const ordered = await client.drainWorker(workerId, { signal, ...(reason === undefined ? {} : { reason }) });
  const worker = given.flag("wait") ? await waitUntilEmpty(session, ordered) : ordered;
  terminal.print(given.flag("json") ? json(worker) : oneLine(`${workerId}  ${describeState(worker)}`));
}

export async function undrainWorker({ client, given, terminal, signal }: Session, workerId: string): Promise<void> {
  const reason = given.text("reason");
  const worker = await client.undrainWorker(workerId, { signal, ...(reason === undefined ? {} : { reason }) });
  terminal.print(given.flag("json") ? json(worker) : oneLine(`${workerId}  ${describeState(worker)}`));
}

export async function revokeSession({ client, given, terminal, signal }: Session, workerId: string): Promise<void> {
  const reason = given.text("reason");
  const ended = await client.revokeWorkerSession(workerId, { signal, ...(reason === undefined ? {} : { reason }) });
  const said = ended.revoked ? "session ended" : "has no session";
  terminal.print(given.flag("json") ? json(ended) : oneLine(`${workerId}  ${said}`));
}

/** A line on standard error for each change of the number. A server that is away for a moment does not end the wait. */
async function waitUntilEmpty(session: Session, ordered: WorkerRecord): Promise<WorkerRecord> {
  const { given, terminal, runtime, signal } = session;
  const endsAt = runtime.now() + (given.span("timeout") ?? WAIT_MS);
  let worker = ordered;
  for (let said = ""; ; ) {
    const line = describeState(worker);
    if (line !== said) terminal.note(oneLine(`${worker.worker_id}  ${line}`));
    said = line;
    if (worker.drain?.empty !== false) return worker;
    const left = `${worker.worker_id} still has ${count(worker.drain.jobs_out)}`;
    if (runtime.now() >= endsAt)
      throw new CommandFailure("TIMEOUT", left, "It gets no new ones; `cordum workers` shows when it is empty.");
    if (!(await runtime.sleep(POLL_MS, signal)))
      throw new CommandFailure("INTERRUPTED", `stopped waiting; ${left}, and gets no new ones`);
    worker = (await ask(session, worker.worker_id)) ?? worker;
  }
}

async function ask({ client, signal }: Session, workerId: string): Promise<WorkerRecord | undefined> {
  try {
    return await client.worker(workerId, { signal });
  } catch (error) {
    if (error instanceof CordumError && error.retryable && !signal.aborted) return undefined;
    throw error;
  }
}

function describeState({ online, draining, drain }: WorkerRecord): string {
  const presence = online === false ? "silent" : "ready";
  if (draining !== true || drain === undefined) return draining === true ? "draining" : presence;
  const silent = online === false ? ", silent" : "";
  return drain.empty ? `drained${silent}` : `draining, ${count(drain.jobs_out)} left${silent}`;
}

function count(jobs: number): string {
  return jobs === 1 ? "1 job" : `${jobs} jobs`;
}
