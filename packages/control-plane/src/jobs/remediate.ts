// Submitting a job that policy held back in a form that policy offers instead.
// Owns:          which jobs and offers that is possible for, the request of the new job, its id.
// Must not know: HTTP; how policy makes its offers.
// M1. Offers are those of the newest decision on the job. M2. Only a job that policy kept from running is remediated: not one that was
//     allowed, or that a person let pass. M3. The new id is derived from the job and the offer as it was made: a repeat makes no second job.
// M4. The new job is judged like any submit; it says whom it stands for (labels remediation_of, remediation_id), and so does the dead letter.

import { isTopic, JobMetadata, type JobRequest } from "@cordum/protocol";
import type { Actor } from "../audit/audit-entry.ts";
import { findDeadLetter, markRemediated } from "../dead-letters/resolve.ts";
import { canonicalJson } from "../policy/canonical.ts";
import type { Remediation } from "../policy/decision.ts";
import { Fault, invalidField } from "../ports/fault.ts";
import { derivedUuid } from "./ids.ts";
import type { Job } from "./job.ts";
import type { DeedOf } from "./job-audit.ts";
import type { JobParts } from "./job-parts.ts";
import { RESERVED_LABELS, requestOf } from "./job-request.ts";
import { ownContextKey } from "./own-payloads.ts";
import { loadOwnJob } from "./read-job.ts";
import { repeatJob, requestOfRepeat } from "./repeat-job.ts";

export interface RemediationWish {
  readonly tenant: string;
  readonly actor: Actor;
  /** "": the only one. */
  readonly remediationId: string;
}

/** Faults: JOB_NOT_FOUND, REMEDIATION_NOT_FOUND, JOB_NOT_REMEDIABLE, INVALID_REQUEST, JOB_NOT_RETRYABLE, PAYLOAD_TOO_LARGE,
 *  JOB_CONTENDED, STATE_*, PAYLOADS_UNAVAILABLE. */
export async function remediateJob(
  jobId: string,
  { tenant, actor, remediationId }: RemediationWish,
  parts: JobParts,
  signal: AbortSignal,
): Promise<{ readonly jobId: string; readonly traceId: string }> {
  const within = () => parts.clock.deadline(signal, parts.settings.storeTimeoutMs);
  const job = await loadOwnJob(jobId, tenant, parts, within());
  const offer = offerOf(job, remediationId);
  const newId = derivedUuid("remediation", jobId, canonicalJson(offer));
  const before = await parts.jobs.load(newId, within());
  const deedOf: DeedOf = () => ({
    ...{ actor, action: "job.remediate", reason: "", of: { kind: "job", id: jobId } },
    facts: { remediation: offer.id, remediatedAs: newId, from: job.phase.state },
  });
  const made = before?.record ?? (await repeatJob(repetitionOf(job, offer, newId), { parts, deedOf }, signal));
  if (made.tenant !== tenant || requestOf(made).parentJobId !== jobId)
    throw new Fault("JOB_NOT_REMEDIABLE", "another job has the id that the remediated one would have");
  const letter = await findDeadLetter(jobId, tenant, parts.state, within());
  if (letter !== undefined) await markRemediated(letter, newId, parts, within());
  parts.log.info("job.remediated", { jobId, tenant, by: actor.principal, remediatedAs: newId });
  return { jobId: newId, traceId: made.traceId };
}

function offerOf(job: Job, remediationId: string): Remediation {
  const decision = job.decisions.at(-1)?.decision;
  const offers = decision?.remediations ?? [];
  const [first] = offers;
  if (decision === undefined || first === undefined) throw new Fault("JOB_NOT_REMEDIABLE", "no remediations available");
  const wasAllowed = decision.kind === "allow" || decision.kind === "allow_with_constraints";
  if (wasAllowed || job.approval?.answer === "approved" || job.attempts > 0)
    throw new Fault("JOB_NOT_REMEDIABLE", "policy did not keep the job from running");
  if (remediationId === "") {
    if (offers.length === 1) return usable(first);
    const reason = `remediation_id required: one of ${offers.map(({ id }) => id).join(", ")}`;
    throw invalidField("remediation_id", reason);
  }
  const offer = offers.find(({ id }) => id === remediationId);
  if (offer === undefined) throw new Fault("REMEDIATION_NOT_FOUND", "remediation not found");
  return usable(offer);
}

/** A topic is a subject on the bus: what a rule says is no exception. */
function usable(offer: Remediation): Remediation {
  const { id, replacementTopic } = offer;
  if (replacementTopic !== "" && !isTopic(replacementTopic))
    throw new Fault("JOB_NOT_REMEDIABLE", `remediation ${id} names a topic that is none: ${replacementTopic}`);
  return offer;
}

function repetitionOf(job: Job, offer: Remediation, newId: string) {
  const old = requestOf(job);
  const { traceId, team, principal, priority, tenant } = job;
  const own = ownContextKey(job, old);
  const ids = { oldId: job.id, newId, ownsContext: own !== undefined };
  const repeated = requestOfRepeat(old, ids, (labels) => labelsOf(labels, offer, job.id));
  return {
    ...{ newId, tenant, from: { traceId, team, principal, priority, contextKey: own ?? "" } },
    request: replaced(repeated, offer),
  };
}

function replaced(request: JobRequest, { replacementTopic, replacementCapability }: Remediation): JobRequest {
  const topic = replacementTopic === "" ? request.topic : replacementTopic;
  if (replacementCapability === "") return { ...request, topic };
  return { ...request, topic, meta: { ...(request.meta ?? JobMetadata.make()), capability: replacementCapability } };
}

/** Labels that tell of an approval or of secrets are not a rule's to set or take away. */
function labelsOf(labels: Record<string, string>, offer: Remediation, oldId: string): Record<string, string> {
  const kept = Object.entries(labels).filter(([label]) => !label.toLowerCase().startsWith("approval_"));
  const mine = { remediation_of: oldId, remediation_id: offer.id };
  const made: Record<string, string> = Object.assign(Object.create(null), Object.fromEntries(kept), mine);
  for (const [label, value] of Object.entries(offer.addLabels))
    if (label.trim() !== "" && !RESERVED_LABELS.has(label)) made[label] = value;
  for (const label of offer.removeLabels) if (label !== SECRETS_LABEL) delete made[label];
  return made;
}

const SECRETS_LABEL = "secrets_present";
