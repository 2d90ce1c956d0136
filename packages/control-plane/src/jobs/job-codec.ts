// How a job's record is written: compact JSON, since it is written twice per job and kept for days.
// Owns:          the stored form and its number; reading it back.
// Must not know: who reads or writes it.
// C1. Reading what was written gives the same job. C2. What is as it nearly always is, is not written. Moments count from acceptance.
// C3. Hashes are kept as base64url of their bytes. C4. Readers accept this shape alone until there is a next one; then that and the one before.

import type { DecisionRecord } from "../policy/decision.ts";
import type { Json } from "../ports/json.ts";
import type { EpochMs } from "../ports/time.ts";
import {
  type ApprovalAnswer,
  type ApprovalAsk,
  type Dispatch,
  isTerminalState,
  JOB_SHAPE,
  type Job,
  type JobOutcome,
  type JobPriority,
  type JobState,
  type JobStep,
  type Phase,
  type StopOrder,
  type StrayReason,
  type StrayResult,
  type WaitReason,
  type WakeName,
} from "./job.ts";
import { packHash, unpackHash } from "./packed-hash.ts";

const STATES = [
  "PENDING",
  "APPROVAL_REQUIRED",
  "SCHEDULED",
  "DISPATCHED",
  "RUNNING",
  "SUCCEEDED",
  "FAILED",
  "CANCELLED",
  "TIMEOUT",
  "DENIED",
] as const satisfies readonly JobState[];
const PRIORITIES = ["interactive", "batch", "critical"] as const satisfies readonly JobPriority[];

/** The stored form. Names are short; positions in lists are fixed with the shape. What is undefined is not written. */
interface StoredJob {
  readonly v: typeof JOB_SHAPE;
  readonly i: string;
  readonly t: string;
  readonly o: string;
  readonly r?: string | undefined;
  readonly m?: string | undefined;
  readonly p: string;
  readonly y?: number | undefined;
  readonly q: string;
  readonly h: string;
  readonly b?: string | undefined;
  readonly a: EpochMs;
  /** Last change, listing. */
  readonly c: readonly [number, number];
  /** Not before. */
  readonly s?: number | undefined;
  /** Attempts, most attempts. */
  readonly n?: readonly [number, number] | undefined;
  readonly f: StoredPhase;
  readonly w?: { readonly [name in WakeName]?: number } | undefined;
  /** Moment, state, why. */
  readonly e: readonly (readonly [number, number, string])[];
  readonly d?: readonly StoredDecision[] | undefined;
  readonly g?: ApprovalAnswer | undefined;
  readonly k?: StoredStop | undefined;
  /** Results that did not count. */
  readonly z?: readonly StoredStray[] | undefined;
}
type StoredStop = readonly [
  since: number,
  dispatchId: string,
  workerId: string,
  direct: 0 | 1,
  ...answer: readonly [] | readonly [unknownAt: number] | readonly [at: number, workerId: string, reported: string],
];
type StoredStray = readonly [
  at: number,
  why: StrayReason,
  workerId: string,
  via: string,
  dispatchId: string,
  reported: string,
  code: string,
];
type StoredPhase =
  | readonly [state: 0, waiting: WaitReason]
  | readonly [state: 1, ask: ApprovalAsk]
  | readonly [state: 2, waiting: WaitReason, pools: readonly string[], limit?: string]
  | readonly [state: 3 | 4, dispatch: StoredDispatch, percent: number]
  | readonly [state: 3 | 4, dispatch: StoredDispatch, percent: number, message: string, saidAt: number]
  | readonly [state: number, outcome: StoredOutcome];
/** `s` is absent where it follows from worker or topic, `l` where there are no limits. */
interface StoredDispatch {
  readonly i: string;
  readonly w: string;
  readonly n: string | null;
  readonly p: string;
  readonly s?: string | undefined;
  readonly d: 0 | 1;
  readonly a: number;
  readonly l?: readonly string[] | undefined;
  readonly h: 0 | 1;
}
interface StoredOutcome {
  readonly a: number;
  readonly c?: string | undefined;
  readonly m?: string | undefined;
  readonly r?: string | undefined;
  readonly w?: string | undefined;
  readonly x?: number | undefined;
  readonly f?: readonly string[] | undefined;
  readonly s?: string | undefined;
  readonly b: string;
}
interface StoredDecision {
  readonly a: number;
  /** Absent when it is the job's own. */
  readonly h?: string | undefined;
  readonly d: Omit<DecisionRecord["decision"], "ruleHash" | "remediations"> & {
    readonly ruleHash?: string | undefined;
    readonly remediations?: Json | undefined;
  };
}

export function writeJob(job: Job): Json {
  const { acceptedAt } = job;
  const stored: StoredJob = {
    v: JOB_SHAPE,
    i: job.id,
    t: job.tenant,
    o: job.topic,
    r: job.traceId === job.id ? undefined : job.traceId,
    m: job.team || undefined,
    p: job.principal,
    y: PRIORITIES.indexOf(job.priority) || undefined,
    q: job.request,
    h: packHash(job.hash),
    b: job.bodyHash === "" ? undefined : packHash(job.bodyHash),
    a: acceptedAt,
    c: [job.updatedAt - acceptedAt, job.listedAt - acceptedAt],
    s: job.notBefore === undefined ? undefined : job.notBefore - acceptedAt,
    n: job.attempts === 0 && job.attemptsMax === 1 ? undefined : [job.attempts, job.attemptsMax],
    f: writePhase(job),
    w: writeWakes(job),
    e: job.steps.map(({ at, state, why }) => [at - acceptedAt, STATES.indexOf(state), why]),
    d: job.decisions.length === 0 ? undefined : job.decisions.map((decided) => writeDecision(decided, job)),
    g: job.approval,
    k: job.stop && writeStop(job.stop, acceptedAt),
    z: job.strays?.map((stray) => writeStray(stray, acceptedAt)),
  };
  return stored as unknown as Json;
}

/** Throws for a shape that this process does not know: a newer one wrote it. */
export function parseJob(value: Json): Job {
  const shape =
    value !== null && typeof value === "object" && !Array.isArray(value) ? (value as { v?: Json }).v : undefined;
  if (shape !== JOB_SHAPE)
    throw new Error(`job record of shape ${String(shape)}; this process reads shape ${JOB_SHAPE}`);
  const stored = value as unknown as StoredJob;
  const { i: id, a: acceptedAt } = stored;
  const [attempts, attemptsMax] = stored.n ?? [0, 1];
  const hash = unpackHash(stored.h);
  return {
    shape: JOB_SHAPE,
    id,
    tenant: stored.t,
    topic: stored.o,
    traceId: stored.r ?? id,
    team: stored.m ?? "",
    principal: stored.p,
    priority: PRIORITIES[stored.y ?? 0] ?? "interactive",
    request: stored.q,
    hash,
    bodyHash: stored.b === undefined ? "" : unpackHash(stored.b),
    acceptedAt,
    updatedAt: acceptedAt + stored.c[0],
    listedAt: acceptedAt + stored.c[1],
    ...(stored.s === undefined ? {} : { notBefore: acceptedAt + stored.s }),
    attempts,
    attemptsMax,
    phase: readPhase(stored),
    wakes: readWakes(stored),
    steps: stored.e.map(([at, state, why]): JobStep => ({ at: acceptedAt + at, state: stateOf(state), why })),
    decisions: (stored.d ?? []).map((decision) => readDecision(decision, acceptedAt, hash)),
    ...(stored.g === undefined ? {} : { approval: stored.g }),
    ...(stored.k === undefined ? {} : { stop: readStop(stored.k, acceptedAt) }),
    ...(stored.z === undefined ? {} : { strays: stored.z.map((stray) => readStray(stray, acceptedAt)) }),
  };
}

function writePhase(job: Job): StoredPhase {
  const { phase, acceptedAt } = job;
  switch (phase.state) {
    case "PENDING":
      return [0, phase.waiting];
    case "APPROVAL_REQUIRED":
      return [1, phase.ask];
    case "SCHEDULED":
      return phase.limit === undefined ? [2, phase.waiting, phase.pools] : [2, phase.waiting, phase.pools, phase.limit];
    case "DISPATCHED":
    case "RUNNING":
      return writeOut(phase, job);
    default:
      return [STATES.indexOf(phase.state), writeOutcome(phase.outcome, acceptedAt)];
  }
}

function writeOut(phase: Extract<Phase, { readonly dispatch: Dispatch }>, job: Job): StoredPhase {
  const { percent, progress } = phase;
  const code = phase.state === "DISPATCHED" ? 3 : 4;
  const dispatch = writeDispatch(phase.dispatch, job);
  return progress === undefined
    ? [code, dispatch, percent]
    : [code, dispatch, percent, progress.message, progress.at - job.acceptedAt];
}

function readPhase(stored: StoredJob): Phase {
  const [code, first, second, third, fourth] = stored.f as readonly [number, unknown, unknown, unknown, unknown];
  const state = stateOf(code);
  if (isTerminalState(state)) return { state, outcome: readOutcome(first as StoredOutcome, stored.a) };
  switch (state) {
    case "PENDING":
      return { state, waiting: first as WaitReason };
    case "APPROVAL_REQUIRED":
      return { state, ask: first as ApprovalAsk };
    case "SCHEDULED": {
      const [waiting, pools, limit] = [first as WaitReason, second as readonly string[], third as string | undefined];
      return limit === undefined ? { state, waiting, pools } : { state, waiting, pools, limit };
    }
    default:
      return {
        state,
        dispatch: readDispatch(first as StoredDispatch, stored),
        percent: second as number,
        ...(third === undefined ? {} : { progress: { message: third as string, at: stored.a + (fourth as number) } }),
      };
  }
}

function writeDispatch(dispatch: Dispatch, job: Job): StoredDispatch {
  const { workerId, direct, subject, limits } = dispatch;
  return {
    i: dispatch.id,
    w: workerId,
    n: dispatch.instance,
    p: dispatch.pool,
    s: subject === usualSubject(workerId, direct, job.topic) ? undefined : subject,
    d: direct ? 1 : 0,
    a: dispatch.at - job.acceptedAt,
    l: limits.length === 0 ? undefined : limits,
    h: dispatch.heard ? 1 : 0,
  };
}

function readDispatch(stored: StoredDispatch, job: StoredJob): Dispatch {
  const direct = stored.d === 1;
  return {
    id: stored.i,
    workerId: stored.w,
    instance: stored.n,
    pool: stored.p,
    subject: stored.s ?? usualSubject(stored.w, direct, job.o),
    direct,
    at: job.a + stored.a,
    limits: stored.l ?? [],
    heard: stored.h === 1,
  };
}

function usualSubject(workerId: string, direct: boolean, topic: string): string {
  return direct ? `worker.${workerId}.jobs` : topic;
}

function writeOutcome(outcome: JobOutcome, acceptedAt: EpochMs): StoredOutcome {
  return {
    a: outcome.at - acceptedAt,
    c: outcome.code || undefined,
    m: outcome.message || undefined,
    r: outcome.resultPtr || undefined,
    w: outcome.workerId || undefined,
    x: outcome.executionMs || undefined,
    f: outcome.artifactPtrs.length === 0 ? undefined : outcome.artifactPtrs,
    s: outcome.reported || undefined,
    b: outcome.by,
  };
}

function readOutcome(stored: StoredOutcome, acceptedAt: EpochMs): JobOutcome {
  return {
    at: acceptedAt + stored.a,
    code: stored.c ?? "",
    message: stored.m ?? "",
    resultPtr: stored.r ?? "",
    workerId: stored.w ?? "",
    executionMs: stored.x ?? 0,
    artifactPtrs: stored.f ?? [],
    reported: stored.s ?? "",
    by: stored.b,
  };
}

function writeWakes(job: Job): StoredJob["w"] {
  const { wakes, acceptedAt } = job;
  let stored: { [name in WakeName]?: number } | undefined;
  for (const key in wakes) {
    const name = key as WakeName;
    const at = wakes[name];
    if (at === undefined) continue;
    stored ??= {};
    stored[name] = at - acceptedAt;
  }
  return stored;
}

function readWakes(stored: StoredJob): Job["wakes"] {
  return Object.fromEntries(Object.entries(stored.w ?? {}).map(([name, at]) => [name, stored.a + at]));
}

function writeDecision({ at, jobHash, decision }: DecisionRecord, job: Job): StoredDecision {
  const { ruleHash, remediations } = decision;
  return {
    a: at - job.acceptedAt,
    h: jobHash === job.hash ? undefined : packHash(jobHash),
    d: {
      ...decision,
      ruleHash: ruleHash === "" ? undefined : packHash(ruleHash),
      remediations: remediations.length === 0 ? undefined : (remediations as unknown as Json),
    },
  };
}

function readDecision(stored: StoredDecision, acceptedAt: EpochMs, hash: string): DecisionRecord {
  const { ruleHash, remediations, ...rest } = stored.d;
  const decision = {
    ...rest,
    ruleHash: ruleHash === undefined ? "" : unpackHash(ruleHash),
    remediations: remediations ?? [],
  };
  return {
    at: acceptedAt + stored.a,
    jobHash: stored.h === undefined ? hash : unpackHash(stored.h),
    decision: decision as unknown as DecisionRecord["decision"],
  };
}

function writeStop({ dispatch, since, answer }: StopOrder, acceptedAt: EpochMs): StoredStop {
  const order = [since - acceptedAt, dispatch.id, dispatch.workerId, dispatch.direct ? 1 : 0] as const;
  switch (answer.kind) {
    case "awaited":
      return order;
    case "unknown":
      return [...order, answer.at - acceptedAt];
    default:
      return [...order, answer.at - acceptedAt, answer.workerId, answer.reported];
  }
}

function readStop(stored: StoredStop, acceptedAt: EpochMs): StopOrder {
  const [since, id, workerId, direct, at, by, reported] = stored;
  return {
    dispatch: { id, workerId, direct: direct === 1 },
    since: acceptedAt + since,
    answer:
      at === undefined
        ? { kind: "awaited" }
        : by === undefined || reported === undefined
          ? { kind: "unknown", at: acceptedAt + at }
          : { kind: "acknowledged", at: acceptedAt + at, workerId: by, reported },
  };
}

function writeStray(
  { at, why, workerId, via, dispatchId, reported, code }: StrayResult,
  acceptedAt: EpochMs,
): StoredStray {
  return [at - acceptedAt, why, workerId, via, dispatchId, reported, code];
}

function readStray(
  [at, why, workerId, via, dispatchId, reported, code]: StoredStray,
  acceptedAt: EpochMs,
): StrayResult {
  return { at: acceptedAt + at, why, workerId, via, dispatchId, reported, code };
}

function stateOf(code: number): JobState {
  const state = STATES[code];
  if (state === undefined) throw new Error(`job record with state ${code}; this process knows ${STATES.length}`);
  return state;
}
