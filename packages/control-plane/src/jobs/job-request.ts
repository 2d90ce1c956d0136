// The request inside a job's record.
// Owns:          reading it: what policy is asked, what placement needs, what an approval is bound to.
// Must not know: State, Bus.
// N1. One canonical hash: of the request as it is stored, without the labels and the env entry that the control plane itself may add. The
//     list of what is left out is fixed; nothing that a client can set freely is on it.

import { hash } from "node:crypto";
import { contextKey, decodeJobRequest, encodeJobRequest, type JobRequest } from "@cordum/protocol";
import type { PolicyInput } from "../policy/decision.ts";
import { putNewest } from "../records/newest.ts";
import type { JobNeeds } from "../scheduling/placement.ts";
import type { Job } from "./job.ts";

/** Labels that only the control plane sets. Submissions lose them. */
export const RESERVED_LABELS: ReadonlySet<string> = new Set([
  "approval_granted",
  "approval_reason",
  "approval_note",
  "approval_snapshot",
  "cordum.bus_msg_id",
]);
export const EFFECTIVE_CONFIG_ENV = "CORDUM_EFFECTIVE_CONFIG";
/** Env entries by which workers know what the control plane has decided. Submissions lose them. */
export const RESERVED_ENV: ReadonlySet<string> = new Set([
  EFFECTIVE_CONFIG_ENV,
  "CORDUM_POLICY_CONSTRAINTS",
  "CORDUM_REDACTION_LEVEL",
  "CORDUM_MAX_ARTIFACT_BYTES",
  "CORDUM_MAX_CONCURRENT_JOBS",
  "CORDUM_MAX_RETRIES",
]);
/** An encoded request: with what dispatch appends it stays below the packet limit of workers, 256 KiB. */
export const REQUEST_BYTES_MAX = 192 * 1024;

export function requestOf(job: Job): JobRequest {
  return read(job).request;
}

export function bytesOfRequest(job: Job): Uint8Array {
  return read(job).bytes;
}

/** Lower-case hex SHA-256, see N1. */
export function hashRequest(request: JobRequest, encoded: Uint8Array): string {
  const isPlain =
    !Object.keys(request.labels).some((label) => RESERVED_LABELS.has(label)) &&
    request.env[EFFECTIVE_CONFIG_ENV] === undefined;
  const bytes = isPlain
    ? encoded
    : encodeJobRequest({
        ...request,
        labels: withoutKeys(request.labels, RESERVED_LABELS),
        env: withoutKeys(request.env, new Set([EFFECTIVE_CONFIG_ENV])),
      });
  return hash("sha256", bytes, "hex");
}

/** Where the context of a job lies that has an idempotency key: of two bodies that race each keeps its own. */
export function contextKeyFor(jobId: string, bodyHash: string): string {
  return bodyHash === "" ? contextKey(jobId) : `${contextKey(jobId)}.${bodyHash.slice(0, 12)}`;
}

export function hashOfRequest(job: Job): string {
  return hashRequest(requestOf(job), bytesOfRequest(job));
}

/** The exact input of a decision: nothing but the stored request, who asked, and what is configured for the job. */
export function policyInputOf(job: Job, effectiveConfig?: PolicyInput["effectiveConfig"]): PolicyInput {
  const request = requestOf(job);
  const { meta } = request;
  return {
    jobId: job.id,
    topic: job.topic,
    tenant: job.tenant,
    principal: job.principal,
    actorId: meta?.actorId || job.principal,
    actorType: meta?.actorType === 1 ? "human" : meta?.actorType === 2 ? "service" : "",
    capability: meta?.capability ?? "",
    packId: meta?.packId ?? "",
    riskTags: meta?.riskTags ?? [],
    requires: meta?.requires ?? [],
    labels: request.labels,
    ...(effectiveConfig === undefined ? {} : { effectiveConfig }),
  };
}

export function needsOf(job: Job): JobNeeds {
  const request = requestOf(job);
  return { tenant: job.tenant, topic: job.topic, requires: request.meta?.requires ?? [], labels: request.labels };
}

export function withoutKeys(map: Readonly<Record<string, string>>, keys: ReadonlySet<string>): Record<string, string> {
  const kept: Record<string, string> = Object.create(null);
  for (const [key, value] of Object.entries(map)) if (!keys.has(key)) kept[key] = value;
  return kept;
}

interface Read {
  readonly text: string;
  readonly bytes: Uint8Array;
  readonly request: JobRequest;
}

/** Deciding, placing and dispatching read one request some milliseconds apart, while hundreds of others go the same way: each is decoded
 *  once. By job, oldest first. */
const lately = new Map<string, Read>();
const LATELY_MAX = 512;
/** Larger ones are not kept: together some megabytes. */
const LATELY_CHARS_MAX = 4_096;

/** Of a request as records keep it, base64. */
export function readRequest(text: string): JobRequest {
  return decode(text).request;
}

function read({ id, request: text }: Job): Read {
  const known = lately.get(id);
  if (known?.text === text) return known;
  const fresh = decode(text);
  if (text.length > LATELY_CHARS_MAX) return fresh;
  putNewest(lately, id, fresh, LATELY_MAX);
  return fresh;
}

function decode(text: string): Read {
  const bytes = Buffer.from(text, "base64");
  return { text, bytes, request: decodeJobRequest(bytes) };
}
