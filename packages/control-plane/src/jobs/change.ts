// Load, change, commit, carry out: the one way in which a job's record is changed.
// Owns:          the retry after a lost race; slots of workers around a commit.
// Must not know: why the change happens.
// H1. Commit first, then publish. What must be true is in the commit; an effect may be lost (the alarm repeats it) or doubled.
// H2. Who loses a race goes on from the record that the conflict brings; nothing goes back to the bus.
// H3. Time does not stand still for a job: a change of a stored one happens after the one before, even where two processes' clocks say
//     otherwise. So the order of its steps is that of its versions, and whoever looks for what has changed since finds the newest.
//     Between the stamp and the commit there is one deadline for everything, so that a follower knows how old a stamp can be.
// H4. A worker's slot is taken before the commit that dispatches to it and given back when that commit fails.

import { Fault } from "../ports/fault.ts";
import type { EpochMs } from "../ports/time.ts";
import { countMove } from "./count-move.ts";
import { carryOut, type DeliveryHistory } from "./effects.ts";
import { type Dispatch, isTerminal, type Job } from "./job.ts";
import type { DeedOf } from "./job-audit.ts";
import { configOf, meetConfig } from "./job-config.ts";
import type { JobEvent } from "./job-event.ts";
import type { Transition } from "./job-moves.ts";
import type { JobParts } from "./job-parts.ts";
import { giveSlotsBack, takeSlots } from "./job-slots.ts";
import { recordLife } from "./job-spans.ts";
import type { SeenJob } from "./job-store.ts";
import { keepForRetry, needsKeeping } from "./keep-for-retry.ts";
import { changeAndSettle } from "./settle.ts";

export interface Changed {
  readonly job: Job;
  /** False: the event changed nothing, because the job is past it. */
  readonly moved: boolean;
}

/** Undefined when there is no such job. Faults: STATE_*, JOB_CONTENDED. */
export async function changeJob(
  jobId: string,
  event: JobEvent | "pull",
  parts: JobParts,
  signal: AbortSignal,
): Promise<Changed | undefined> {
  const seen = await parts.jobs.load(jobId, parts.clock.deadline(signal, parts.settings.storeTimeoutMs));
  return seen === undefined ? undefined : changeSeen(seen, () => event, parts, signal);
}

/** As changeJob, from a record that was read already. `decide` is asked again after each lost race; undefined: nothing to do any more.
 *  `deedOf`: whose doing it is, written in the commit of the change and never without it. */
export async function changeSeen(
  first: SeenJob,
  decide: (job: Job) => JobEvent | "pull" | undefined,
  parts: JobParts,
  signal: AbortSignal,
  deedOf?: DeedOf,
): Promise<Changed | undefined> {
  let seen: SeenJob | undefined = first;
  for (let attempt = 1; seen !== undefined; attempt++) {
    // The commit that ended it may have been done although its answer was lost: then nobody has given the worker's slot back.
    if (isTerminal(seen.record)) parts.registry.release(seen.record.id, parts.clock.now());
    const event = decide(seen.record);
    if (event === undefined) return { job: seen.record, moved: false };
    const before: SeenJob = seen;
    const about = { before: before.record, event, after: before.record.updatedAt };
    const { moved, saved } = await settleAndCommit(about, parts, signal, (next) =>
      parts.jobs.replace(before, next, parts.clock.deadline(signal, parts.settings.storeTimeoutMs), deedOf),
    );
    if (saved === "unchanged") return { job: before.record, moved: false };
    if (saved.kind === "committed") {
      const following = followThrough(moved, parts, signal);
      if (following !== undefined) await following;
      return { job: moved.next, moved: true };
    }
    if (attempt === parts.settings.conflictsMax)
      throw new Fault("JOB_CONTENDED", `job ${seen.record.id} changed ${attempt} times under way`);
    seen = saved.seen;
  }
  return undefined;
}

/** Carries out what a committed move set off, and what follows from that. The move itself is done: whatever fails here is not for who
 *  caused it (a client would ask again for a job that it has); it is logged, and the job's alarm repeats it. Undefined: it set nothing off
 *  that is to be waited for. */
export function followThrough(
  moved: Transition,
  parts: JobParts,
  signal: AbortSignal,
  history: DeliveryHistory = NOT_BEFORE,
): undefined | Promise<void> {
  const carrying = carryOut(moved, parts, signal, history);
  return carrying === undefined ? undefined : follow(moved.next.id, carrying, parts, signal);
}

const NOT_BEFORE: DeliveryHistory = { maybeBefore: false };

async function follow(
  jobId: string,
  carrying: Promise<JobEvent | undefined>,
  parts: JobParts,
  signal: AbortSignal,
): Promise<void> {
  const follows = await carrying;
  if (follows === undefined) return;
  try {
    await changeJob(jobId, follows, parts, signal);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    parts.log.error("follow_up.not_written", error, { jobId, event: follows.kind });
  }
}

export interface Happening {
  readonly before: Job;
  readonly event: JobEvent | "pull";
  /** It happens later than this, see H3. */
  readonly after: EpochMs;
  /** The commit brings the job's context along, kept for as long as it must be. */
  readonly attachesContext?: boolean;
}

/** Settles what the event leads to and commits it, with the worker's and the limits' slots held. "unchanged": there was nothing to write. */
export async function settleAndCommit<S extends { readonly kind: "committed" | "conflict" }>(
  { before, event, after, attachesContext = false }: Happening,
  parts: JobParts,
  signal: AbortSignal,
  commit: (next: Job) => Promise<S>,
): Promise<{ readonly moved: Transition; readonly saved: S | "unchanged" }> {
  const known = mayBePlaced(before, event, parts) ? (configOf(before, parts) ?? meetConfig(before, parts)) : undefined;
  const config = known instanceof Promise ? await known : known;
  const startedAt = parts.clock.now();
  const now = Math.max(startedAt, after + 1);
  const until = (): AbortSignal =>
    parts.clock.deadline(signal, Math.max(0, startedAt + parts.settings.storeTimeoutMs - parts.clock.now()));
  let moved = changeAndSettle(before, event, { now, parts, config });
  let committed = false;
  let mayBeOut = false;
  const dispatch = newDispatch(moved);
  if (dispatch !== undefined)
    parts.registry.reserve({ workerId: dispatch.workerId, jobId: before.id, dispatchId: dispatch.id });
  try {
    const isLimited = dispatch !== undefined && dispatch.limits.length > 0;
    const full = isLimited ? await takeSlots(moved.next, dispatch, parts, until()) : undefined;
    if (full !== undefined) moved = changeAndSettle(before, event, { now, parts, config, full });
    if (moved.next === before) return { moved, saved: "unchanged" };
    if (!attachesContext && needsKeeping(before, moved.next)) await keepForRetry(moved.next, parts, until());
    mayBeOut = true;
    const saved = await commit(moved.next);
    mayBeOut = false;
    committed = saved.kind === "committed" && newDispatch(moved) !== undefined;
    if (saved.kind === "committed") settleBooks(before, moved.next, parts, signal);
    return { moved, saved };
  } finally {
    if (dispatch !== undefined && !committed) {
      parts.registry.withdraw(before.id, dispatch.id);
      // A commit that threw may have happened: then the job is out and needs its slot. The slot's alarm finds out (scheduling/slots.ts S2).
      if (!mayBeOut) giveSlotsBack(dispatch, parts, signal);
    }
  }
}

/** What comes of the event may be a judgement or a placement. */
function mayBePlaced({ phase }: Job, event: JobEvent | "pull", { drives }: JobParts): boolean {
  if (!drives) return false;
  if ("dispatch" in phase) return event !== "pull" && event.kind === "undelivered";
  return phase.state === "PENDING" || phase.state === "SCHEDULED" || phase.state === "APPROVAL_REQUIRED";
}

function newDispatch(moved: Transition): Dispatch | undefined {
  const { phase } = moved.next;
  return moved.effects.some((effect) => effect.kind === "deliver") && "dispatch" in phase ? phase.dispatch : undefined;
}

function settleBooks(before: Job, next: Job, parts: JobParts, signal: AbortSignal): void {
  if (isTerminal(before)) return; // a note on an ended job, no news
  const { meter, outbound, board, registry, congestion, announcer } = parts;
  const { phase } = next;
  countMove(before, next, meter);
  if (isTerminal(next)) recordLife(next, parts.tracing);
  if (!("dispatch" in phase)) {
    outbound.forget(next.id);
    board.forget(next.id);
  }
  registry.keepOnly(next.id, "dispatch" in phase ? phase.dispatch.id : undefined, parts.clock.now());
  const dispatchBefore = "dispatch" in before.phase ? before.phase.dispatch : undefined;
  const hasMovedOn = !("dispatch" in phase) || phase.dispatch.id !== dispatchBefore?.id;
  if (dispatchBefore !== undefined && hasMovedOn) giveSlotsBack(dispatchBefore, parts, signal);
  if (before.phase.state === "SCHEDULED" && "dispatch" in phase)
    for (const pool of before.phase.pools) congestion.left(pool);
  if (phase.state === "SCHEDULED" && phase.waiting === "pool_overloaded")
    for (const pool of phase.pools)
      congestion.note({ pool, priority: next.priority, tenant: next.tenant }, next.acceptedAt);
  announcer.tell(next);
}
