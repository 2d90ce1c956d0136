// Watching one job until it has ended.
// Owns:          the first look, the order of what follows, the end.
// Must not know: transports, what a change looks like to the reader.
// T1. The job as it is comes first; its terminal state comes last, and then nothing. T2. A slow reader gets the latest state, never a list.
// T3. Where the record goes while it is watched (a failover may forget it), the watch ends with what was last known.

import { Fault } from "../ports/fault.ts";
import { type JobChange, loadChanges } from "./changed-since.ts";
import { isTerminal } from "./job.ts";
import type { JobFeed } from "./job-feed.ts";
import type { JobParts } from "./job-parts.ts";

/** Until the job has ended, its record is gone, or `signal` fires. Faults: JOB_NOT_FOUND for foreign ones too, STATE_*, BUS_UNAVAILABLE. */
export async function* watchJob(
  { tenant, jobId }: { readonly tenant: string; readonly jobId: string },
  feed: JobFeed,
  parts: JobParts,
  signal: AbortSignal,
): AsyncGenerator<JobChange, void, undefined> {
  let latest: JobChange | undefined;
  let isGone = false;
  let wake = (): void => undefined;
  const heard = (change: JobChange): void => {
    if ((latest?.job.updatedAt ?? 0) <= change.job.updatedAt) latest = change;
    wake();
  };
  const missed = (): void => {
    isGone = true;
    wake();
  };
  const leave = await feed.watch(tenant, jobId, { heard, missed });
  const onAbort = (): void => wake();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    const first = (await loadChanges(tenant, [jobId], parts, signal)).get(jobId);
    if (first === undefined) throw new Fault("JOB_NOT_FOUND", "job not found");
    heard(first);
    let given = "";
    while (!signal.aborted) {
      if (latest !== undefined && latest.version !== given) {
        const change = latest;
        given = change.version;
        yield change;
        if (isTerminal(change.job)) return;
        continue;
      }
      if (isGone) return;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    leave();
  }
}
