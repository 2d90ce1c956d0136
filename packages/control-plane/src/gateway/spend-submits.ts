// The price of a submit in jobs.
// Owns:          what a caller hears whose tenant submits more than it may.
// Must not know: how a rate is kept.

import type { FastifyReply } from "fastify";
import type { JobParts } from "../jobs/job-parts.ts";
import type { SubmitRate } from "../jobs/submit-rate.ts";
import { Fault } from "../ports/fault.ts";
import type { Meter } from "../ports/telemetry.ts";
import type { Ms } from "../ports/time.ts";

export interface SpendParts {
  readonly jobParts: Pick<JobParts, "submitLimiter">;
  readonly meter: Meter;
  deadline(): AbortSignal;
}

/** Undefined: without a limit there is nothing to wait for. Faults: SUBMIT_RATE_LIMITED, with a header that says when; STATE_*. */
export function spendSubmits(
  tenant: string,
  jobs: number,
  parts: SpendParts,
  reply: FastifyReply,
): Promise<void> | undefined {
  return parts.jobParts.submitLimiter.take(tenant, jobs, parts.deadline)?.then((admission) => {
    if (admission.kind === "admitted") return;
    parts.meter.count("cordum_gateway_submits_limited_total", {}, jobs);
    const waitS = Math.ceil(admission.waitMs / 1_000);
    reply.header("retry-after", String(waitS));
    throw limited(tenant, admission.rate, admission.waitMs);
  });
}

function limited(tenant: string, { perSecond, burst }: SubmitRate, waitMs: Ms): Fault {
  const reason = `jobs of tenant ${tenant} are limited to ${perSecond} a second, ${burst} at once`;
  const detail = `${reason}; try again in ${Math.ceil(waitMs / 1_000)} s`;
  return new Fault("SUBMIT_RATE_LIMITED", detail, { fields: [{ field: "tenant", reason }] });
}
