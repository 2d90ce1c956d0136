// What a scheduler does on its own, in cycles.
// Owns:          writing progress, vouching for heard dispatches, noticing lost workers, looking at waiting jobs.
// Must not know: how alarms are taken (alarms.ts).

import type { Backlog } from "./backlog.ts";
import { changeJob } from "./change.ts";
import { measure } from "./gauges.ts";
import type { JobParts } from "./job-parts.ts";
import type { Claim } from "./progress-board.ts";
import { reviewWorker } from "./review-worker.ts";

const CYCLE_MS = 1_000;
const MEASURE_EVERY = 5;
const FLUSH_MS = 200;
const CLAIMS_AT_ONCE = 256;
/** Vouch well before the doorbell alarm is due. */
const VOUCH_MARGIN_MS = 2_000;

/** Runs until `signal` fires. */
export async function runCycles(parts: JobParts, backlog: Backlog, signal: AbortSignal): Promise<void> {
  let cycle = 0;
  let shown: readonly string[] = [];
  while (await parts.clock.sleep(CYCLE_MS, signal)) {
    try {
      await vouch(parts, signal);
      for (const workerId of parts.registry.expire(parts.clock.now())) {
        parts.log.warn("worker.lost", { workerId });
        await reviewWorker(workerId, parts, signal);
      }
      backlog.tick();
      if (++cycle % MEASURE_EVERY === 0) {
        const waiting = backlog.waitingPools();
        await measure(new Set([...shown, ...waiting]), parts, signal);
        shown = waiting;
      }
    } catch (error) {
      if (!signal.aborted) parts.log.error("cycle.failed", error);
    }
  }
}

/** Writes what workers said about the jobs that are still out. Runs until `signal` fires. */
export async function runProgress(parts: JobParts, signal: AbortSignal): Promise<void> {
  while (await parts.clock.sleep(FLUSH_MS, signal)) {
    const claims = parts.board.takeAll();
    for (let from = 0; from < claims.length; from += CLAIMS_AT_ONCE) {
      await Promise.all(claims.slice(from, from + CLAIMS_AT_ONCE).map((claim) => writeClaim(claim, parts, signal)));
    }
  }
}

async function writeClaim(claim: Claim, parts: JobParts, signal: AbortSignal): Promise<void> {
  try {
    await changeJob(claim.jobId, { kind: "progressed", ...claim }, parts, signal);
  } catch (error) {
    if (!signal.aborted) parts.log.error("progress.not_written", error, { jobId: claim.jobId });
  }
}

/** A dispatch that was heard some seconds ago and has no answer yet is long work: say in its record that it need not ring again. */
async function vouch(parts: JobParts, signal: AbortSignal): Promise<void> {
  const heard = parts.outbound.takeUnanswered(
    parts.clock.now(),
    Math.max(0, parts.settings.doorbellMs - VOUCH_MARGIN_MS),
  );
  await Promise.all(
    heard.map(async ({ jobId, dispatchId }) => {
      try {
        await changeJob(jobId, { kind: "heard", dispatchId }, parts, signal);
      } catch (error) {
        parts.outbound.noteHeard(jobId, dispatchId, parts.clock.now());
        if (!signal.aborted) parts.log.error("dispatch.not_vouched", error, { jobId });
      }
    }),
  );
}
