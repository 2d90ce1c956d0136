// A job's slots under the limits on concurrency.
// Owns:          taking all of a dispatch or none, giving them back, telling who waits for one.
// Must not know: how slots are kept (scheduling/slots.ts).

import { messageOf } from "../ports/fault.ts";
import type { Limit, SlotHolder } from "../scheduling/slots.ts";
import type { Dispatch, Job } from "./job.ts";
import type { JobParts } from "./job-parts.ts";
import { limitsOnConcurrency, standingDecision } from "./settle.ts";

/** The limit that is reached, or undefined when the dispatch holds all its slots. Faults: STATE_*; slots taken before come back by alarm. */
export async function takeSlots(
  job: Job,
  dispatch: Dispatch,
  parts: JobParts,
  signal: AbortSignal,
): Promise<Limit | undefined> {
  const decision = standingDecision(job, parts.policy.snapshot());
  const limits = decision === undefined ? [] : limitsOnConcurrency(job, decision, parts);
  const holder = { jobId: job.id, dispatchId: dispatch.id };
  for (const limit of limits) {
    const answer = await parts.slots.take(limit, holder, signal);
    if (answer === "full") return limit;
  }
  return undefined;
}

/** Does not wait and does not fail: what is not given back now comes back by its alarm. */
export function giveSlotsBack(dispatch: Dispatch, parts: JobParts, signal: AbortSignal): void {
  for (const limitId of dispatch.limits) {
    const until = parts.clock.deadline(signal, parts.settings.storeTimeoutMs);
    parts.slots.giveBack(limitId, dispatch.id, until).then(
      (freed) => {
        if (freed) parts.limitHints.tell(limitId);
      },
      (error: unknown) => {
        if (!signal.aborted)
          parts.log.warn("slot.not_given_back", {
            limitId,
            reason: messageOf(error),
          });
      },
    );
  }
}

/** The alarm of a slot. */
export async function wakeSlot(recordId: string, parts: JobParts, signal: AbortSignal): Promise<void> {
  const isOut = async ({ jobId, dispatchId }: SlotHolder): Promise<boolean> => {
    const seen = await parts.jobs.load(jobId, parts.clock.deadline(signal, parts.settings.storeTimeoutMs));
    return seen !== undefined && "dispatch" in seen.record.phase && seen.record.phase.dispatch.id === dispatchId;
  };
  const freed = await parts.slots.wake(recordId, isOut, parts.clock.deadline(signal, parts.settings.storeTimeoutMs));
  if (freed !== undefined) parts.limitHints.tell(freed);
}
