// What a scheduler does on its own, in cycles.
// Owns:          writing progress, vouching for heard dispatches, noticing lost workers, looking at waiting jobs and at old slots,
//                measuring, the snapshot of workers.
// Must not know: how alarms are taken (alarms.ts).

import type { StopSignals } from "../alarms/stop-signals.ts";
import type { Backlog } from "./backlog.ts";
import { changeJob } from "./change.ts";
import { measure } from "./gauges.ts";
import type { JobParts } from "./job-parts.ts";
import type { WorkersSnapshot } from "./keep-workers-snapshot.ts";
import { OldSlots } from "./old-slots.ts";
import type { HeardDispatch } from "./outbound.ts";
import type { Claim } from "./progress-board.ts";
import { reviewAgain, reviewWorker } from "./review-worker.ts";

const CYCLE_MS = 1_000;
/** A sleep that took this much longer: the machine slept, or the process was stopped. */
const STANDSTILL_MS = 4_000;
const MEASURE_MS = 5_000;
const OLD_SLOTS_MS = 5_000;
const FLUSH_MS = 200;
const CLAIMS_AT_ONCE = 256;
const VOUCHES_AT_ONCE = 256;
/** Vouch well before the doorbell alarm is due. */
const VOUCH_MARGIN_MS = 2_000;

export interface Cycled {
  readonly backlog: Backlog;
  readonly snapshot: WorkersSnapshot;
}

/** Runs until `stopping` fires; then waits for what is under way. */
export async function runCycles(parts: JobParts, { backlog, snapshot }: Cycled, signals: StopSignals): Promise<void> {
  const oldSlots = new OldSlots(parts, backlog);
  // Loops of their own: a long look at a lost worker must not keep a dispatch from being vouched for in time.
  await Promise.all([
    everyCycle(() => vouch(parts, signals.work), parts, signals.stopping),
    watchWorkers(parts, signals),
    everyCycle(async () => backlog.tick(), parts, signals.stopping),
    everyCycle(() => oldSlots.turn(signals.work), parts, signals.stopping, OLD_SLOTS_MS),
    measureForever(parts, backlog, signals.stopping),
    keepSnapshot(parts, snapshot, signals),
  ]);
}

/** For a process that only looks at workers: those that are silent are forgotten. Runs until `stopping` fires. */
export async function followWorkers(parts: JobParts, snapshot: WorkersSnapshot, signals: StopSignals): Promise<void> {
  const forget = async (): Promise<void> => void parts.registry.expire(parts.clock.now());
  await Promise.all([everyCycle(forget, parts, signals.stopping), keepSnapshot(parts, snapshot, signals)]);
}

function keepSnapshot(parts: JobParts, snapshot: WorkersSnapshot, { stopping, work }: StopSignals): Promise<void> {
  return everyCycle(() => snapshot.turn(work), parts, stopping, parts.settings.workersSnapshotMs);
}

async function everyCycle(
  work: () => Promise<void>,
  parts: JobParts,
  signal: AbortSignal,
  cycleMs = CYCLE_MS,
): Promise<void> {
  while (await parts.clock.sleep(cycleMs, signal)) {
    try {
      await work();
    } catch (error) {
      if (!signal.aborted) parts.log.error("cycle.failed", error);
    }
  }
}

/** Loses the workers that are silent for long. Silence says nothing while the bus is away, or when this process itself stood still. */
async function watchWorkers(parts: JobParts, { stopping, work }: StopSignals): Promise<void> {
  const { bus, clock, registry } = parts;
  let { reconnects } = bus.status();
  for (let before = clock.now(); await clock.sleep(CYCLE_MS, stopping); before = clock.now()) {
    const now = clock.now();
    const status = bus.status();
    if (!status.connected || status.reconnects !== reconnects || now - before > CYCLE_MS + STANDSTILL_MS) {
      reconnects = status.reconnects;
      registry.startListening(now);
    }
    await loseSilentWorkers(parts, work);
    for (const workerId of parts.secondLooks.takeDue(clock.now())) await tryReview(reviewAgain, workerId, parts, work);
  }
}

async function loseSilentWorkers(parts: JobParts, signal: AbortSignal): Promise<void> {
  for (const workerId of parts.registry.expire(parts.clock.now())) {
    parts.log.warn("worker.lost", { workerId });
    await tryReview(reviewWorker, workerId, parts, signal);
  }
}

async function tryReview(
  review: typeof reviewWorker,
  workerId: string,
  parts: JobParts,
  signal: AbortSignal,
): Promise<void> {
  try {
    await review(workerId, parts, signal);
  } catch (error) {
    // Its jobs have wakes of their own, which look at it again.
    if (!signal.aborted) parts.log.error("worker.not_reviewed", error, { workerId });
  }
}

function measureForever(parts: JobParts, backlog: Backlog, signal: AbortSignal): Promise<void> {
  let shown: readonly string[] = [];
  const measureOnce = async (): Promise<void> => {
    const waiting = backlog.waitingPools();
    await measure(new Set([...shown, ...waiting]), parts, signal);
    shown = waiting;
  };
  return everyCycle(measureOnce, parts, signal, MEASURE_MS);
}

/** Writes what workers said about the jobs that are still out. Runs until `stopping` fires. */
export async function runProgress(parts: JobParts, { stopping, work }: StopSignals): Promise<void> {
  while (await parts.clock.sleep(FLUSH_MS, stopping)) {
    const claims = parts.board.takeDue(parts.clock.now());
    for (let from = 0; from < claims.length; from += CLAIMS_AT_ONCE) {
      await Promise.all(claims.slice(from, from + CLAIMS_AT_ONCE).map((claim) => writeClaim(claim, parts, work)));
    }
  }
}

async function writeClaim(claim: Claim, parts: JobParts, signal: AbortSignal): Promise<void> {
  try {
    const instance = parts.registry.find(claim.workerId, parts.clock.now())?.heartbeat.instance ?? null;
    await changeJob(claim.jobId, { kind: "progressed", ...claim, instance }, parts, signal);
  } catch (error) {
    if (!signal.aborted) parts.log.error("progress.not_written", error, { jobId: claim.jobId });
  }
}

/** A dispatch that was heard some seconds ago and has no answer yet is long work: say in its record that it need not ring again. */
async function vouch(parts: JobParts, signal: AbortSignal): Promise<void> {
  const { outbound, clock, settings } = parts;
  const olderThanMs = Math.max(0, settings.doorbellMs - VOUCH_MARGIN_MS);
  for (;;) {
    const heard = outbound.unanswered(clock.now(), olderThanMs, VOUCHES_AT_ONCE);
    const written = await Promise.all(heard.map((dispatch) => vouchFor(dispatch, parts, signal)));
    if (heard.length < VOUCHES_AT_ONCE || written.includes(false)) return;
  }
}

/** False when it could not be written; the next cycle tries again. */
async function vouchFor(heard: HeardDispatch, parts: JobParts, signal: AbortSignal): Promise<boolean> {
  const { jobId, dispatchId } = heard;
  try {
    await changeJob(jobId, { kind: "heard", dispatchId }, parts, signal);
    parts.outbound.noteVouched(heard);
    return true;
  } catch (error) {
    if (!signal.aborted) parts.log.error("dispatch.not_vouched", error, { jobId });
    return false;
  }
}
