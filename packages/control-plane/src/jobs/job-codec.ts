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

/** The stored form. Names are short; positions in lists are fixed with the shape. */
interface StoredJob {
  readonly v: typeof JOB_SHAPE;
  readonly i: string;
  readonly t: string;
  readonly o: string;
  readonly r?: string;
  readonly m?: string;
  readonly p: string;
  readonly y?: number;
  readonly q: string;
  readonly h: string;
  readonly b?: string;
  readonly a: EpochMs;
  /** Last change, listing. */
  readonly c: readonly [number, number];
  /** Not before. */
  readonly s?: number;
  /** Attempts, most attempts. */
  readonly n?: readonly [number, number];
  readonly f: StoredPhase;
  readonly w?: { readonly [name in WakeName]?: number };
  /** Moment, state, why. */
  readonly e: readonly (readonly [number, number, string])[];
  readonly d?: readonly StoredDecision[];
  readonly g?: ApprovalAnswer;
  readonly k?: StoredStop;
  /** Results that did not count. */
  readonly z?: readonly StoredStray[];
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
  readonly s?: string;
  readonly d: 0 | 1;
  readonly a: number;
  readonly l?: readonly string[];
  readonly h: 0 | 1;
}
interface StoredOutcome {
  readonly a: number;
  readonly c?: string;
  readonly m?: string;
  readonly r?: string;
  readonly w?: string;
  readonly x?: number;
  readonly f?: readonly string[];
  readonly s?: string;
  readonly b: string;
}
interface StoredDecision {
  readonly a: number;
  /** Absent when it is the job's own. */
  readonly h?: string;
  readonly d: Omit<DecisionRecord["decision"], "ruleHash" | "remediations"> & {
    readonly ruleHash?: string;
    readonly remediations?: Json;
  };
}

export function writeJob(job: Job): Json {
  const { acceptedAt } = job;
  const stored: StoredJob = {
    v: JOB_SHAPE,
    i: job.id,
    t: job.tenant,
    o: job.topic,
    ...(job.traceId === job.id ? {} : { r: job.traceId }),
    ...(job.team === "" ? {} : { m: job.team }),
    p: job.principal,
    ...(job.priority === "interactive" ? {} : { y: PRIORITIES.indexOf(job.priority) }),
    q: job.request,
    h: packHash(job.hash),
    ...(job.bodyHash === "" ? {} : { b: packHash(job.bodyHash) }),
    a: acceptedAt,
    c: [job.updatedAt - acceptedAt, job.listedAt - acceptedAt],
    ...(job.notBefore === undefined ? {} : { s: job.notBefore - acceptedAt }),
    ...(job.attempts === 0 && job.attemptsMax === 1 ? {} : { n: [job.attempts, job.attemptsMax] }),
    f: writePhase(job),
    ...writeWakes(job),
    e: job.steps.map(({ at, state, why }) => [at - acceptedAt, STATES.indexOf(state), why]),
    ...(job.decisions.length === 0 ? {} : { d: job.decisions.map((decided) => writeDecision(decided, job)) }),
    ...(job.approval === undefined ? {} : { g: job.approval }),
    ...(job.stop === undefined ? {} : { k: writeStop(job.stop, acceptedAt) }),
    ...(job.strays === undefined ? {} : { z: job.strays.map((stray) => writeStray(stray, acceptedAt)) }),
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
    ...(subject === usualSubject(workerId, direct, job.topic) ? {} : { s: subject }),
    d: direct ? 1 : 0,
    a: dispatch.at - job.acceptedAt,
    ...(limits.length === 0 ? {} : { l: limits }),
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
    ...(outcome.code === "" ? {} : { c: outcome.code }),
    ...(outcome.message === "" ? {} : { m: outcome.message }),
    ...(outcome.resultPtr === "" ? {} : { r: outcome.resultPtr }),
    ...(outcome.workerId === "" ? {} : { w: outcome.workerId }),
    ...(outcome.executionMs === 0 ? {} : { x: outcome.executionMs }),
    ...(outcome.artifactPtrs.length === 0 ? {} : { f: outcome.artifactPtrs }),
    ...(outcome.reported === "" ? {} : { s: outcome.reported }),
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

function writeWakes(job: Job): Pick<StoredJob, "w"> {
  const { wakes, acceptedAt } = job;
  let stored: { [name in WakeName]?: number } | undefined;
  for (const key in wakes) {
    const name = key as WakeName;
    const at = wakes[name];
    if (at === undefined) continue;
    stored ??= {};
    stored[name] = at - acceptedAt;
  }
  return stored === undefined ? {} : { w: stored };
}

function readWakes(stored: StoredJob): Job["wakes"] {
  return Object.fromEntries(Object.entries(stored.w ?? {}).map(([name, at]) => [name, stored.a + at]));
}

function writeDecision({ at, jobHash, decision }: DecisionRecord, job: Job): StoredDecision {
  const { ruleHash, remediations, ...rest } = decision;
  return {
    a: at - job.acceptedAt,
    ...(jobHash === job.hash ? {} : { h: packHash(jobHash) }),
    d: {
      ...rest,
      ...(ruleHash === "" ? {} : { ruleHash: packHash(ruleHash) }),
      ...(remediations.length === 0 ? {} : { remediations: remediations as unknown as Json }),
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
