// The job's record.
// Owns:          its shape and its states.
// Must not know: how it is stored (job-codec.ts), who changes it (transition.ts does), what its request contains (job-request.ts reads it).
// J1. A terminal state never changes, nor its outcome; what its worker says afterwards is noted beside. J2. An unfinished job has at least one wake; an ended one none but "stop". J3. Fields of a phase exist in that phase alone.
// J4. `request` is the encoded JobRequest that policy judged, byte for byte; dispatch appends to it and changes nothing.

import type { DecisionRecord } from "../policy/decision.ts";
import type { EpochMs, Ms } from "../ports/time.ts";

/** Number of the shape below. Readers accept this and the previous one, see job-codec.ts. */
export const JOB_SHAPE = 1;

export const OPEN_STATES = ["PENDING", "APPROVAL_REQUIRED", "SCHEDULED", "DISPATCHED", "RUNNING"] as const;
export const TERMINAL_STATES = ["SUCCEEDED", "FAILED", "CANCELLED", "TIMEOUT", "DENIED"] as const;
export type OpenState = (typeof OPEN_STATES)[number];
export type TerminalState = (typeof TERMINAL_STATES)[number];
export type JobState = OpenState | TerminalState;

/** Why a job that could run does not run yet; stable, shown to people. */
export type WaitReason =
  | "policy_unavailable"
  | "throttled"
  | "placing"
  | "no_workers"
  | "pool_overloaded"
  | "workers_draining"
  | "no_listener"
  | "tenant_limit"
  | "rule_limit"
  | "retry_backoff"
  | "not_before";

/** What the job's alarm is for; the alarm is the earliest of them. */
export type WakeName =
  | "deadline"
  | "decide"
  | "place"
  | "doorbell"
  | "timeout"
  | "approval"
  | "worker"
  | "waited_too_long"
  | "upkeep"
  /** Of an ended job: its worker has not answered the order to stop. */
  | "stop";
export type Wakes = { readonly [name in WakeName]?: EpochMs };

/** The policy's question to a person: what is asked about, and by which rule. */
export interface ApprovalAsk {
  readonly at: EpochMs;
  readonly jobHash: string;
  readonly ruleId: string;
  readonly ruleHash: string;
  readonly snapshot: string;
  readonly reason: string;
}

/** A person's answer. It stays valid for this request and this rule until the job ends. */
export interface ApprovalAnswer {
  readonly answer: "approved" | "rejected";
  readonly by: string;
  readonly role: string;
  readonly at: EpochMs;
  readonly reason: string;
  readonly note: string;
  readonly jobHash: string;
  readonly ruleHash: string;
  readonly snapshot: string;
}

export interface Dispatch {
  /** New for each attempt; workers that know it deduplicate by it, results may carry it. */
  readonly id: string;
  readonly workerId: string;
  /** The worker's incarnation as its heartbeat told it; "" for workers that tell none, null when no heartbeat of it was heard. */
  readonly instance: string | null;
  readonly pool: string;
  /** Where it was published. On the worker's own subject nobody else may answer; on the topic anybody of the group may. */
  readonly subject: string;
  readonly direct: boolean;
  readonly at: EpochMs;
  /** Limits of which it holds a slot, see scheduling/slots.ts. */
  readonly limits: readonly string[];
  /** Somebody heard it: the process that published says so, or the worker itself did. */
  readonly heard: boolean;
}

export interface JobOutcome {
  readonly at: EpochMs;
  /** Stable code of what went wrong; "" on success. Codes of workers are theirs. */
  readonly code: string;
  readonly message: string;
  readonly resultPtr: string;
  readonly workerId: string;
  readonly executionMs: Ms;
  readonly artifactPtrs: readonly string[];
  /** Status name as the worker reported it, e.g. JOB_STATUS_FAILED_FATAL; "" when no worker did. */
  readonly reported: string;
  /** Who ended it: a person's or key's principal, "worker", "policy", "scheduler". */
  readonly by: string;
}

export type Phase =
  | { readonly state: "PENDING"; readonly waiting: WaitReason }
  | { readonly state: "APPROVAL_REQUIRED"; readonly ask: ApprovalAsk }
  | {
      readonly state: "SCHEDULED";
      readonly waiting: WaitReason;
      readonly pools: readonly string[];
      /** The limit that holds it back. */
      readonly limit?: string;
    }
  | {
      readonly state: "DISPATCHED" | "RUNNING";
      readonly dispatch: Dispatch;
      readonly percent: number;
      /** Absent until its worker has said more than that it has begun. */
      readonly progress?: Progress;
    }
  | { readonly state: TerminalState; readonly outcome: JobOutcome };

/** What its worker said last about its work, and when it said that first. */
export interface Progress {
  readonly message: string;
  readonly at: EpochMs;
}

/** The order to stop, of a job that ended while a worker had it: what became of it there. */
export interface StopOrder {
  readonly dispatch: Pick<Dispatch, "id" | "workerId" | "direct">;
  /** Since when its worker could have heard of it. */
  readonly since: EpochMs;
  readonly answer: StopAnswer;
}

export type StopAnswer =
  | { readonly kind: "awaited" }
  /** Its worker reported something about this dispatch afterwards: that it stopped, or what it did instead. */
  | { readonly kind: "acknowledged"; readonly at: EpochMs; readonly workerId: string; readonly reported: string }
  /** It said nothing in time: nobody knows whether the work was done. It may still say so. */
  | { readonly kind: "unknown"; readonly at: EpochMs };

/** Why a result did not count. The job had ended; or its worker said so before; or it answers an earlier attempt; or the job was sent to
 *  somebody else; or it names a dispatch that is not the job's; or the job is not out at all. */
export type StrayReason = "ended" | "repeated" | "earlier_attempt" | "not_assigned" | "other_dispatch" | "not_out";

/** A result that changed nothing, as it was said. */
export interface StrayResult {
  readonly at: EpochMs;
  readonly why: StrayReason;
  readonly workerId: string;
  /** Who sent the packet, where that is not the worker that it names; else "". */
  readonly via: string;
  readonly dispatchId: string;
  readonly reported: string;
  readonly code: string;
}

/** A state that the job passed. `why` is a wait reason, an error code or a rule id. */
export interface JobStep {
  readonly at: EpochMs;
  readonly state: JobState;
  readonly why: string;
}

export interface Job {
  readonly shape: typeof JOB_SHAPE;
  readonly id: string;
  readonly tenant: string;
  readonly topic: string;
  /** Shared by the jobs that come of each other. A job that begins a trace gives it its own id. */
  readonly traceId: string;
  readonly team: string;
  /** Who asked, from the credential; "" for packets that name nobody. */
  readonly principal: string;
  readonly priority: JobPriority;
  /** base64 of the encoded JobRequest, see J4. */
  readonly request: string;
  readonly hash: string;
  /** SHA-256 of the body that came with the idempotency key; "" without one. */
  readonly bodyHash: string;
  readonly acceptedAt: EpochMs;
  readonly updatedAt: EpochMs;
  /** Score in the indexes by topic, team and trace: acceptance, or later for a job that stays open for days (see job-indexes.ts). */
  readonly listedAt: EpochMs;
  /** Not before then is it given to a worker; judged it is at once. Absent: as soon as can be. */
  readonly notBefore?: EpochMs;
  readonly attempts: number;
  readonly attemptsMax: number;
  readonly phase: Phase;
  readonly wakes: Wakes;
  /** The newest 50 steps. */
  readonly steps: readonly JobStep[];
  /** The newest 20 decisions, oldest first. */
  readonly decisions: readonly DecisionRecord[];
  readonly approval?: ApprovalAnswer;
  readonly stop?: StopOrder;
  /** The first STRAYS_MAX different ones, oldest first. */
  readonly strays?: readonly StrayResult[];
}

export type JobPriority = "critical" | "interactive" | "batch";

export const STEPS_MAX = 50;
export const DECISIONS_MAX = 20;
/** Beyond that they are counted and logged: nobody fills a record, nor the store with writes, by talking. */
export const STRAYS_MAX = 10;

export function isTerminalState(state: JobState): state is TerminalState {
  return (TERMINAL_STATES as readonly string[]).includes(state);
}

export function isTerminal(job: Job): boolean {
  return isTerminalState(job.phase.state);
}

/** The moment at which somebody must look at the job again; "never" for finished ones. */
export function alarmOf(job: Job): EpochMs | "never" {
  let earliest: EpochMs | "never" = "never";
  const { wakes } = job;
  for (const name in wakes) {
    const at = wakes[name as WakeName];
    if (at !== undefined && (earliest === "never" || at < earliest)) earliest = at;
  }
  return earliest;
}
