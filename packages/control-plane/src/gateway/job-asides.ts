// What is noted beside a job's course, as clients see it: progress, the order to stop, results that did not count.
// Owns:          their shapes, and from the record to them.
// Must not know: routes; when any of it is noted (jobs/stop-order.ts).

import { Type } from "@fastify/type-provider-typebox";
import type { Static } from "typebox";
import type { Job, StopAnswer, StopOrder, StrayResult } from "../jobs/job.ts";
import type { EpochMs } from "../ports/time.ts";
import { filled } from "./filled.ts";

const text = Type.Optional(Type.String());
const moment = Type.Integer({ description: "Unix microseconds." });

export const StopSchema = Type.Object(
  {
    status: Type.String({
      description:
        "`awaited`: its worker was told and has not answered. `acknowledged`: it answered; `reported` says what it did. `outcome_unknown`: it did not answer in time, and nobody knows what it did.",
    }),
    worker_id: Type.String(),
    asked_at: moment,
    answered_at: Type.Optional(moment),
    reported: text,
  },
  { description: "Only of a job that was ended while a worker had it: what became of it there." },
);

const StraySchema = Type.Object({
  at: moment,
  why: Type.String({
    description: "`ended`, `repeated`, `earlier_attempt`, `not_assigned`, `other_dispatch` or `not_out`.",
  }),
  worker_id: Type.String(),
  via: Type.Optional(Type.String({ description: "Who sent it, where that is not the worker." })),
  dispatch_id: text,
  reported: Type.String(),
  code: text,
});

export const AsideMembers = {
  progress_message: text,
  progress_at: Type.Optional(Type.Integer({ description: "When its worker said that first; Unix microseconds." })),
  stop: Type.Optional(StopSchema),
  stray_results: Type.Optional(
    Type.Array(StraySchema, {
      description: "Results about the job that did not count: the first 10 different ones, oldest first.",
    }),
  ),
};

/** Members of a job's detail; those that do not apply are absent. */
export function asidesOf({ phase, stop, strays = [] }: Job) {
  const progress = "progress" in phase ? phase.progress : undefined;
  return {
    ...filled({ progress_message: progress?.message ?? "", progress_at: micros(progress?.at ?? 0) }),
    ...(stop === undefined ? {} : { stop: stopView(stop) }),
    ...(strays.length === 0 ? {} : { stray_results: strays.map(strayView) }),
  };
}

const STATUS_OF = { awaited: "awaited", acknowledged: "acknowledged", unknown: "outcome_unknown" } as const satisfies {
  readonly [kind in StopAnswer["kind"]]: string;
};

export function stopStatus({ kind }: StopAnswer): string {
  return STATUS_OF[kind];
}

export function stopView({ dispatch, since, answer }: StopOrder): Static<typeof StopSchema> {
  const isAnswered = answer.kind === "acknowledged";
  return {
    status: stopStatus(answer),
    worker_id: isAnswered && answer.workerId !== "" ? answer.workerId : dispatch.workerId,
    asked_at: micros(since),
    ...(isAnswered ? { answered_at: micros(answer.at), reported: answer.reported } : {}),
  };
}

export function strayView({
  at,
  why,
  workerId,
  via,
  dispatchId,
  reported,
  code,
}: StrayResult): Static<typeof StraySchema> {
  return {
    at: micros(at),
    why,
    worker_id: workerId,
    reported,
    ...filled({ via, dispatch_id: dispatchId, code }),
  };
}

function micros(at: EpochMs): number {
  return at * 1000;
}
