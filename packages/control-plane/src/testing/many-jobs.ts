// Many jobs at once, as a control plane would have kept them after days of work.
// Owns:          what they are like: tenants, topics, teams, traces, states and times, drawn from a seed.
// Must not know: who looks at them.

import { encodeJobRequest, JobRequest } from "@cordum/protocol";
import { JOB_SHAPE, type Job, type JobState, type Phase } from "../jobs/job.ts";
import { hashRequest } from "../jobs/job-request.ts";
import type { JobStore } from "../jobs/job-store.ts";
import type { EpochMs } from "../ports/time.ts";

/** Some are frequent, some rare, in every respect: the common topic has half of the jobs, the rare one a few. */
export const KEPT = {
  tenants: ["acme", "other"],
  topics: ["job.common", "job.usual", "job.seldom", "job.rare"],
  teams: ["red", "blue", "green", ""],
  states: ["SUCCEEDED", "FAILED", "SCHEDULED", "APPROVAL_REQUIRED", "DENIED", "CANCELLED"],
} as const satisfies { readonly [name: string]: readonly string[] | readonly JobState[] };

export interface ManyOptions {
  readonly count: number;
  readonly until: EpochMs;
  /** 0 ≤ random < 1. */
  random(): number;
}

const SPAN_MS = 5 * 86_400_000;
const UNDER_WAY_MAX = 256;
const TRACE_JOBS = 40;

export function drawJobs({ count, until, random }: ManyOptions): readonly Job[] {
  let beginner = "";
  return Array.from({ length: count }, (_, n): Job => {
    const id = `kept-${n}`;
    if (n % TRACE_JOBS === 0) beginner = id;
    const isInTrace = Math.floor(n / TRACE_JOBS) % 2 === 0;
    const acceptedAt = Math.floor(until - SPAN_MS + (SPAN_MS * n) / count);
    const updatedAt = Math.min(until, acceptedAt + Math.floor(random() * 60_000));
    const tenant = random() < 0.8 ? KEPT.tenants[0] : KEPT.tenants[1];
    const topic = KEPT.topics[skewed(random)] ?? KEPT.topics[0];
    const team = KEPT.teams[Math.floor(random() * 4)] ?? "";
    const state = KEPT.states[Math.min(5, Math.floor(random() ** 2 * 6))] ?? "SUCCEEDED";
    const request: JobRequest = {
      ...JobRequest.make(),
      jobId: id,
      topic,
      tenantId: tenant,
      contextPtr: `redis://ctx:${id}`,
      env: { tenant_id: tenant, team_id: team },
      labels: { order: String(n) },
    };
    const encoded = encodeJobRequest(request);
    return {
      shape: JOB_SHAPE,
      id,
      tenant,
      topic,
      traceId: isInTrace ? beginner : id,
      team,
      principal: "ada",
      priority: "interactive",
      request: Buffer.from(encoded).toString("base64"),
      hash: hashRequest(request, encoded),
      bodyHash: "",
      acceptedAt,
      updatedAt,
      listedAt: acceptedAt,
      attempts: 1,
      attemptsMax: 1,
      phase: phaseOf(state, updatedAt),
      wakes: "SCHEDULED APPROVAL_REQUIRED".includes(state) ? { upkeep: until + SPAN_MS } : {},
      steps: [{ at: acceptedAt, state: "PENDING", why: "accepted" }],
      decisions: [],
    };
  });
}

/** Of four: half, a third, a tenth of that, a hundredth. */
function skewed(random: () => number): number {
  const drawn = random();
  return drawn < 0.6 ? 0 : drawn < 0.95 ? 1 : drawn < 0.998 ? 2 : 3;
}

function phaseOf(state: JobState, at: EpochMs): Phase {
  if (state === "SCHEDULED") return { state, waiting: "no_workers", pools: ["p"] };
  const asked = { at, jobHash: "", ruleId: "ask", ruleHash: "", snapshot: "", reason: "a person must look" };
  if (state === "APPROVAL_REQUIRED") return { state, ask: asked };
  if (state === "PENDING" || state === "DISPATCHED" || state === "RUNNING")
    throw new Error(`nobody keeps ${state} jobs`);
  const outcome = { at, code: state === "SUCCEEDED" ? "" : "E1", message: "", resultPtr: "", workerId: "w1" };
  return { state, outcome: { ...outcome, executionMs: 5, artifactPtrs: [], reported: "", by: "worker" } };
}

export async function keepJobs(jobs: readonly Job[], store: JobStore, signal: AbortSignal): Promise<void> {
  const rest = jobs.values();
  const lane = async (): Promise<void> => {
    for (const job of rest) await store.create(job, signal);
  };
  await Promise.all(Array.from({ length: UNDER_WAY_MAX }, lane));
}

export interface KeptFilter {
  readonly name: string;
  /** Parameters of GET /api/v1/jobs. */
  readonly query: { readonly [parameter: string]: string };
}

/** Every combination of the filters, each with a frequent and a rare value. */
export function everyFilter(until: EpochMs): readonly KeptFilter[] {
  const [some, few] = [until - SPAN_MS / 2, until - SPAN_MS / 200];
  const parts: readonly (readonly (readonly [parameter: string, value: string])[])[] = [
    [
      ["state", "SUCCEEDED"],
      ["state", "CANCELLED"],
      ["state", "RUNNING"],
    ],
    [
      ["topic", "job.common"],
      ["topic", "job.rare"],
    ],
    [["team", "red"]],
    [["trace_id", "kept-0"]],
    [
      ["updated_after", String(some)],
      ["updated_after", String(few)],
    ],
    [["updated_before", String(some)]],
  ].map((values) => values.map(([parameter = "", value = ""]) => [parameter, value] as const));
  let filters: readonly (readonly (readonly [string, string])[])[] = [[]];
  for (const values of parts)
    filters = filters.flatMap((filter) => [filter, ...values.map((value) => [...filter, value])]);
  return filters.map((filter) => ({
    name: filter.map(([parameter, value]) => `${parameter}=${value}`).join("&"),
    query: Object.fromEntries(filter),
  }));
}
