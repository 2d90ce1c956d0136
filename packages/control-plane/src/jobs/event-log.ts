// What happened to a job, in order.
// Owns:          one log of states, decisions, answers of people and what workers said beside it, out of the record.
// Must not know: how it is shown.
// The record keeps the newest 50 states and 20 decisions (job.ts): a log that lost its beginning says so.

import type { DecisionRecord } from "../policy/decision.ts";
import type { EpochMs } from "../ports/time.ts";
import {
  type ApprovalAnswer,
  DECISIONS_MAX,
  type Job,
  type JobStep,
  type StopAnswer,
  type StopOrder,
  type StrayResult,
} from "./job.ts";

export type LoggedEvent =
  | { readonly kind: "state"; readonly at: EpochMs; readonly step: JobStep }
  | { readonly kind: "decision"; readonly at: EpochMs; readonly decided: DecisionRecord }
  | { readonly kind: "approval"; readonly at: EpochMs; readonly answer: ApprovalAnswer }
  /** What became of the order to stop. */
  | { readonly kind: "stop"; readonly at: EpochMs; readonly order: StopOrder; readonly answer: StopAnswer }
  /** A result that did not count. */
  | { readonly kind: "stray_result"; readonly at: EpochMs; readonly stray: StrayResult };

export interface EventLog {
  /** Oldest first. */
  readonly events: readonly LoggedEvent[];
  readonly isComplete: boolean;
}

export function eventLogOf(job: Job): EventLog {
  const [first, ...later] = job.steps.map((step): LoggedEvent => ({ kind: "state", at: step.at, step }));
  const decisions = job.decisions.map((decided): LoggedEvent => ({ kind: "decision", at: decided.at, decided }));
  const { approval } = job;
  const answers: readonly LoggedEvent[] =
    approval === undefined ? [] : [{ kind: "approval", at: approval.at, answer: approval }];
  const strays = (job.strays ?? []).map((stray): LoggedEvent => ({ kind: "stray_result", at: stray.at, stray }));
  // Of one moment: first it was accepted, then judged and answered, then it moved on. Sorting keeps this order.
  const events = [
    ...(first === undefined ? [] : [first]),
    ...decisions,
    ...answers,
    ...later,
    ...stopOf(job),
    ...strays,
  ];
  const isComplete = job.steps[0]?.why === "accepted" && job.decisions.length < DECISIONS_MAX;
  return { events: events.toSorted((a, b) => a.at - b.at), isComplete };
}

function stopOf({ stop: order }: Job): readonly LoggedEvent[] {
  if (order === undefined || order.answer.kind === "awaited") return [];
  const { answer } = order;
  return [{ kind: "stop", at: answer.at, order, answer }];
}
