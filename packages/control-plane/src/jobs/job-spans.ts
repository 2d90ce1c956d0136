// The spans of a job.
// Owns:          which spans there are, their names and facts.
// Must not know: who records them.
// N1. One span for each dispatch, under the request that submitted the job, and the worker's span is under it. N2. One span for the whole
//     life of a job, written when it ends; a job may wait for days, so nothing is kept open meanwhile.

import { TRACEPARENT_ENV } from "@cordum/protocol";
import { NO_SPAN, type Span, type SpanFacts, type Tracing } from "../ports/tracing.ts";
import type { Dispatch, Job } from "./job.ts";
import { requestOf } from "./job-request.ts";

/** To be ended with "heard" or what went wrong. */
export function startDispatchSpan(job: Job, dispatch: Dispatch, tracing: Tracing): Span {
  if (!tracing.isOn) return NO_SPAN;
  return tracing.start({
    name: `dispatch ${job.topic}`,
    kind: "producer",
    parent: parentOf(job),
    facts: {
      ...factsOf(job),
      "cordum.attempt": job.attempts,
      "cordum.worker.id": dispatch.workerId,
      "cordum.pool": dispatch.pool,
      "messaging.destination.name": dispatch.subject,
    },
  });
}

/** Precondition: the job has ended. */
export function recordLife(job: Job, tracing: Tracing): void {
  const { phase } = job;
  if (!tracing.isOn || !("outcome" in phase)) return;
  const { outcome, state } = phase;
  const span = tracing.start({
    name: `job ${job.topic}`,
    kind: "internal",
    parent: parentOf(job),
    facts: factsOf(job),
    startAt: job.acceptedAt,
  });
  const decision = job.decisions.at(-1)?.decision;
  span.end(
    {
      "cordum.job.state": state,
      "cordum.attempts": job.attempts,
      ...(decision === undefined
        ? {}
        : { "cordum.policy.decision": decision.kind, "cordum.policy.rule": decision.ruleId }),
    },
    state === "SUCCEEDED" ? "" : outcome.code,
    outcome.at,
  );
}

function parentOf(job: Job): string {
  return requestOf(job).env[TRACEPARENT_ENV] ?? "";
}

function factsOf(job: Job): SpanFacts {
  return { "cordum.job.id": job.id, "cordum.job.topic": job.topic, "cordum.trace.id": job.traceId };
}
