// What is configured for a job.
// Owns:          which layers of configuration hold for it; having them in memory before it is judged, placed and sent.
// Must not know: how layers are merged (config/), where they lie.
// G1. A job is judged and placed under the configuration of that moment, not of its submission: what was tightened since holds.
// G2. While the configuration cannot be read, a job is neither judged nor placed.

import type { JobRequest } from "@cordum/protocol";
import type { Effective, Subject } from "../config/effective.ts";
import type { Job } from "./job.ts";
import type { JobParts } from "./job-parts.ts";
import { requestOf } from "./job-request.ts";

type Parts = Pick<JobParts, "configs">;

/** As workers of the original are told: team and step in the env, the workflow in the request. */
export function subjectOf({ tenant, team }: Pick<Job, "tenant" | "team">, request: JobRequest): Subject {
  return { tenant, team, workflow: request.workflowId, step: request.env.step_id ?? "" };
}

/** From memory; undefined when it has to be read. */
export function configOf(job: Job, { configs }: Parts): Effective | undefined {
  return configs.findPlain(job.tenant) ?? configs.find(subjectOf(job, requestOf(job)));
}

/** Reads it where it is not in memory. Faults: STATE_*, CONFIG_CONTENDED. */
export async function meetConfig(job: Job, { configs }: Parts): Promise<Effective> {
  return configs.load(subjectOf(job, requestOf(job)));
}
