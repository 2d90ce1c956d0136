// What a worker has in hand, when it appears or disappears.
// Owns:          losing the jobs of a worker that is gone or was started anew; taking over the slots of one that is there.
// Must not know: how a loss was noticed.
// Of several processes one looks, by rank. It may have died without anybody knowing: so those whose turn it was not look again once that
// would be known, and then it is the turn of one that lives. Should a look fail, the jobs' own wakes look later.
// A process that starts while workers run does not know what they have: it reads that from their jobs, so that it does not overload them.

import { listAcross } from "../records/across-partitions.ts";
import { WORKER_TTL_MS } from "../scheduling/registry.ts";
import { changeJob } from "./change.ts";
import { retryDelayMs } from "./effects.ts";
import { JOB_INDEX } from "./job-indexes.ts";
import type { JobParts } from "./job-parts.ts";

const JOBS_AT_ONCE = 100;

/** Faults: STATE_*; the caller may try again. */
export async function reviewWorker(workerId: string, parts: JobParts, signal: AbortSignal): Promise<void> {
  const now = parts.clock.now();
  if (parts.registry.isKeeperOf(workerId, now)) await look(workerId, parts, signal);
  else parts.secondLooks.note(workerId, now);
}

/** The look of a process whose turn it has become. Faults: STATE_*. */
export async function reviewAgain(workerId: string, parts: JobParts, signal: AbortSignal): Promise<void> {
  const { registry, clock } = parts;
  const now = clock.now();
  // That nobody hears of a worker says nothing in a process that has not listened for long enough.
  const maySay = registry.find(workerId, now) !== undefined || registry.hasListenedFor(WORKER_TTL_MS, now);
  if (maySay && registry.isKeeperOf(workerId, now)) await look(workerId, parts, signal);
}

async function look(workerId: string, parts: JobParts, signal: AbortSignal): Promise<void> {
  const now = parts.clock.now();
  const lead = { index: JOB_INDEX.busyOfWorker, of: [workerId] };
  const alive = parts.registry.find(workerId, now);
  const instanceNow = alive?.heartbeat.instance;
  let after: { readonly score: number; readonly member: string } | undefined;
  do {
    const until = parts.clock.deadline(signal, parts.settings.storeTimeoutMs);
    const from = after === undefined ? {} : { after };
    const page = await listAcross(
      parts.state,
      { lead, alsoIn: [], order: "up", limit: JOBS_AT_ONCE, examineMax: JOBS_AT_ONCE, ...from },
      until,
    );
    for (const { member } of page.entries) {
      const retryAfterMs = retryDelayMs(1, parts.clock.random());
      const changed = await changeJob(
        member,
        { kind: "worker_lost", workerId, instanceNow, retryAfterMs },
        parts,
        signal,
      );
      if (changed !== undefined && !changed.moved && "dispatch" in changed.job.phase && alive !== undefined)
        parts.registry.adopt({ workerId, jobId: member, dispatchId: changed.job.phase.dispatch.id }, now);
    }
    after = page.next;
  } while (after !== undefined);
}
