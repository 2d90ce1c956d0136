// Jobs that are out with one worker, for whoever connects that worker.
// Owns:          which jobs these are, by the records; what such a job may read and write; the packet that hands it over.
// Must not know: how the worker is connected.
// U1. The record decides, at the moment of the question: nothing that a packet says, nothing remembered.
// U2. A job of another tenant is answered like one that does not exist.
// U3. A key names its job: `ctx:<job>`, `res:<job>`, `art:<job>:<name>`, `mem:<job>:<part>`. A name holds no ":", so that no key is of two
//     jobs. Memory that is not named after the job is nobody's here: who owns it, no record says.

import { type JobRequest, memoryKey, parsePointer, resultKey } from "@cordum/protocol";
import { Fault } from "../ports/fault.ts";
import { listAcross } from "../records/across-partitions.ts";
import { dispatchPacket } from "./effects.ts";
import type { Dispatch, Job } from "./job.ts";
import { configOf, meetConfig } from "./job-config.ts";
import { JOB_INDEX } from "./job-indexes.ts";
import type { JobParts } from "./job-parts.ts";
import { requestOf } from "./job-request.ts";
import { ownContextKey } from "./own-payloads.ts";
import { transition } from "./transition.ts";

export type OutParts = Pick<JobParts, "state" | "jobs" | "clock" | "settings" | "configs">;

/** A worker as the scheduler knows it, and the tenant that it works for. */
export interface TenantWorker {
  readonly workerId: string;
  readonly tenant: string;
}

export type Standing =
  /** It is out with the worker. */
  | { readonly kind: "out"; readonly job: Job; readonly dispatch: Dispatch; readonly isClaimed: boolean }
  /** It has been out with the worker, and has ended. */
  | { readonly kind: "ended"; readonly job: Job }
  /** It waits to be placed (again). */
  | { readonly kind: "waiting"; readonly job: Job }
  /** The dispatch goes to the worker, and the job is another tenant's: nobody should have placed it there. */
  | { readonly kind: "misplaced"; readonly job: Job; readonly dispatch: Dispatch }
  /** Unknown, another tenant's, or somebody else's business. */
  | { readonly kind: "none" };

/** How the job stands to the worker. Faults: STATE_*. */
export async function standingOf(
  jobId: string,
  worker: TenantWorker,
  parts: OutParts,
  signal: AbortSignal,
): Promise<Standing> {
  const seen = await parts.jobs.load(jobId, parts.clock.deadline(signal, parts.settings.storeTimeoutMs));
  return seen === undefined ? { kind: "none" } : judgeStanding(seen.record, worker);
}

function judgeStanding(job: Job, { workerId, tenant }: TenantWorker): Standing {
  const { phase } = job;
  if ("dispatch" in phase) {
    const { dispatch } = phase;
    if (dispatch.workerId !== workerId) return { kind: "none" };
    if (job.tenant !== tenant) return { kind: "misplaced", job, dispatch };
    return { kind: "out", job, dispatch, isClaimed: phase.state === "RUNNING" };
  }
  if (job.tenant !== tenant) return { kind: "none" };
  if ("outcome" in phase) return phase.outcome.workerId === workerId ? { kind: "ended", job } : { kind: "none" };
  return phase.state === "SCHEDULED" && job.attempts > 0 ? { kind: "waiting", job } : { kind: "none" };
}

/** Ids of jobs that are out with the worker, those that have been out longest first; at most `limit`. */
export async function listOut(
  { workerId }: TenantWorker,
  limit: number,
  parts: OutParts,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const lead = { index: JOB_INDEX.busyOfWorker, of: [workerId] };
  const query = { lead, alsoIn: [], order: "up", limit, examineMax: limit } as const;
  const within = parts.clock.deadline(signal, parts.settings.storeTimeoutMs);
  return (await listAcross(parts.state, query, within)).entries.map(({ member }) => member);
}

/** Made from the record: what came over the bus is a doorbell. Faults: STATE_*. */
export async function packetOf(job: Job, dispatch: Dispatch, parts: OutParts): Promise<Uint8Array> {
  const config = configOf(job, parts) ?? (await meetConfig(job, parts));
  return dispatchPacket(job, dispatch, parts.clock.now(), { configText: config.text, traceparent: "" });
}

export type KeyUse = "load" | "store";

/** Ids of the jobs of which one may own the key; empty: keys of this form are not for workers. */
export function ownersOf(key: string, use: KeyUse): readonly string[] {
  const colon = key.indexOf(":");
  const [family, rest] = [key.slice(0, colon), key.slice(colon + 1)];
  if (colon === -1 || rest === "") return [];
  switch (family) {
    case "ctx":
      return use === "load" ? withoutSuffixes(rest) : [];
    case "res":
      return use === "store" ? [rest] : [];
    case "art":
      return use === "store" ? artifactOwner(rest) : [];
    case "mem":
      return use === "load" ? memoryOwner(rest) : [];
    default:
      return [];
  }
}

/** Whether the job, which is out with a worker, owns the key. */
export function ownsKey(job: Job, key: string, use: KeyUse): boolean {
  if (use === "store") return key === resultKey(job.id) || artifactOwner(key.slice("art:".length)).includes(job.id);
  const request = requestOf(job);
  return key === contextKeyAsSaid(job, request) || memoryKeys(job.id).includes(key) || isMemoryChunk(job.id, key);
}

/** The key that its worker reads out of the request; undefined when it is not the job's own. */
function contextKeyAsSaid(job: Job, request: JobRequest): string | undefined {
  const own = ownContextKey(job, request);
  const parsed = parsePointer(request.contextPtr);
  return parsed.kind === "key" && (parsed.key === own || parsed.fallbackKey === own) ? own : undefined;
}

/** With an idempotency key the context's key ends in twelve digits of the body's hash. */
function withoutSuffixes(rest: string): readonly string[] {
  const cut = /^(.+)\.[0-9a-f]{12}$/.exec(rest)?.[1];
  return cut === undefined ? [rest] : [rest, cut];
}

const NAME_CHARS_MAX = 128;

function artifactOwner(rest: string): readonly string[] {
  const colon = rest.lastIndexOf(":");
  const name = rest.slice(colon + 1);
  const owner = rest.slice(0, colon);
  // `art:meta:<id>` describes an artifact of the artifact API.
  const isOwned = colon > 0 && owner !== "meta" && name.length <= NAME_CHARS_MAX && /^[A-Za-z0-9_.-]+$/.test(name);
  return isOwned ? [owner] : [];
}

const MEMORY_PARTS = ["events", "summary", "chunks"] as const;

function memoryKeys(jobId: string): readonly string[] {
  return MEMORY_PARTS.map((part) => memoryKey(jobId, part));
}

function isMemoryChunk(jobId: string, key: string): boolean {
  const prefix = memoryKey(jobId, "chunk:");
  return key.startsWith(prefix) && /^\d{1,9}$/.test(key.slice(prefix.length));
}

function memoryOwner(rest: string): readonly string[] {
  const owner = /^(.+):(?:events|summary|chunks|chunk:\d{1,9})$/.exec(rest)?.[1];
  return owner === undefined ? [] : [owner];
}

/** Writes into the record that the worker has the dispatch, so that nobody takes it back as unheard. False: it has been taken back, or the job
 *  has moved on. Faults: STATE_*, JOB_CONTENDED. */
export async function vouchFor(
  jobId: string,
  dispatchId: string,
  parts: OutParts,
  signal: AbortSignal,
): Promise<boolean> {
  const { jobs, clock, settings } = parts;
  let seen = await jobs.load(jobId, clock.deadline(signal, settings.storeTimeoutMs));
  for (let attempt = 1; attempt <= settings.conflictsMax; attempt++) {
    if (seen === undefined || !("dispatch" in seen.record.phase) || seen.record.phase.dispatch.id !== dispatchId)
      return false;
    const now = Math.max(clock.now(), seen.record.updatedAt + 1);
    const { next } = transition(seen.record, { kind: "heard", dispatchId }, now, settings);
    if (next === seen.record) return true;
    const saved = await jobs.replace(seen, next, clock.deadline(signal, settings.storeTimeoutMs));
    if (saved.kind === "committed") return true;
    seen = saved.seen;
  }
  throw new Fault("JOB_CONTENDED", `job ${jobId} is being changed by many at once`);
}
