// What can happen to a job, and what follows outside of its record.
// Owns:          the two unions; nothing else.
// Must not know: who causes an event, how an effect is carried out.

import type { DecisionRecord } from "../policy/decision.ts";
import type { EpochMs, Ms } from "../ports/time.ts";
import type { Limit } from "../scheduling/slots.ts";
import type { ApprovalAnswer, Dispatch, StrayResult, TerminalState, WaitReason } from "./job.ts";

/** A worker's result, read by report.ts: the status is already one of the states a job can end in, "retry" for a failure that may be tried
 *  again, or "returned" for a job that the worker gave back before it began. */
export interface Report {
  readonly ends: TerminalState | "retry" | "returned";
  readonly reported: string;
  readonly code: string;
  readonly message: string;
  readonly resultPtr: string;
  readonly workerId: string;
  readonly executionMs: Ms;
  readonly artifactPtrs: readonly string[];
  /** Dispatch that the worker answers, where it says so; "" for workers that do not know it. */
  readonly dispatchId: string;
}

export type JobEvent =
  | { readonly kind: "decided"; readonly decided: DecisionRecord }
  | { readonly kind: "policy_unavailable"; readonly retryAfterMs: Ms }
  | { readonly kind: "placed"; readonly dispatch: Dispatch; readonly timeoutMs: Ms; readonly attemptsMax: number }
  | { readonly kind: "unplaced"; readonly waiting: WaitReason; readonly pools: readonly string[] }
  /** Its tenant submits more than it may: the job waits for its turn, and is judged then. */
  | { readonly kind: "paced"; readonly until: EpochMs }
  /** This process neither judges nor places: one that does is rung for. */
  | { readonly kind: "handed_over"; readonly ringAgainMs: Ms }
  /** A limit is reached. */
  | { readonly kind: "held_back"; readonly limit: Limit; readonly retryAfterMs: Ms }
  /** No configuration could ever place it. */
  | { readonly kind: "unroutable"; readonly code: string; readonly message: string }
  /** What came with it does not do. */
  | { readonly kind: "refused"; readonly code: string; readonly message: string }
  /** Nobody listened. `maybeBefore`: an earlier delivery of the same dispatch may have been heard. */
  | {
      readonly kind: "undelivered";
      readonly dispatchId: string;
      readonly maybeBefore: boolean;
      /** The doorbell in the record when it was delivered. With another one it has been rung again since, and may have been heard. */
      readonly doorbell: EpochMs | undefined;
      readonly retryAfterMs: Ms;
    }
  | { readonly kind: "heard"; readonly dispatchId: string }
  /** It is to be delivered once more: said in the record before it is done. */
  | { readonly kind: "rung_again"; readonly dispatchId: string }
  | {
      readonly kind: "progressed";
      readonly workerId: string;
      /** Incarnation of the worker that says so; null: its heartbeat was not heard here. */
      readonly instance: string | null;
      readonly dispatchId: string;
      readonly percent: number;
      readonly message: string;
      /** When it was said. */
      readonly at: EpochMs;
    }
  | { readonly kind: "reported"; readonly report: Report; readonly retryAfterMs: Ms }
  /** The worker is gone, or (with an instance) another incarnation of it is there now. */
  | {
      readonly kind: "worker_lost";
      readonly workerId: string;
      readonly instanceNow: string | undefined;
      readonly retryAfterMs: Ms;
    }
  | { readonly kind: "worker_alive"; readonly workerId: string }
  | { readonly kind: "cancelled"; readonly by: string; readonly reason: string }
  | { readonly kind: "approved"; readonly answer: ApprovalAnswer }
  | { readonly kind: "rejected"; readonly answer: ApprovalAnswer }
  /** The question has changed under way: policy asks again, by another rule or for another request. */
  | { readonly kind: "asked_again"; readonly decided: DecisionRecord }
  /** The order to stop could not be sent. */
  | { readonly kind: "stop_unsent" }
  /** The worker of an ended job has said what became of it. */
  | { readonly kind: "stop_answered"; readonly workerId: string; readonly reported: string }
  /** A result that does not count. */
  | { readonly kind: "strayed"; readonly stray: StrayResult }
  | { readonly kind: "woke" };

/** Publishes only, and each may be repeated: what must be true is in the commit. */
export type Effect =
  | { readonly kind: "deliver"; readonly dispatch: Dispatch }
  | { readonly kind: "stop_worker"; readonly reason: string; readonly by: string }
  /** The request on the subject of submissions: whoever judges and places looks at the job. */
  | { readonly kind: "ring" }
  /** A result packet for an end that no worker reported, so that listeners to results hear of it. */
  | { readonly kind: "announce_end" }
  | { readonly kind: "announce_dead_letter" };
