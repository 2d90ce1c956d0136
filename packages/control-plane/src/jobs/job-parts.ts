// What the use cases of jobs work with.
// Owns:          the list of parts and settings; compose.ts in services builds them.
// Must not know: which adapters stand behind.

import type { EffectiveConfigs } from "../config/effective-configs.ts";
import type { Policy } from "../policy/decision.ts";
import type { Bus } from "../ports/bus.ts";
import type { Clock } from "../ports/clock.ts";
import type { Payloads } from "../ports/payloads.ts";
import type { SchemaJudge } from "../ports/schema-judge.ts";
import type { State } from "../ports/state.ts";
import type { Log, Meter } from "../ports/telemetry.ts";
import type { Ms } from "../ports/time.ts";
import type { Tracing } from "../ports/tracing.ts";
import type { Congestion } from "../scheduling/congestion.ts";
import type { Drains } from "../scheduling/drains.ts";
import type { Placers } from "../scheduling/placers.ts";
import type { Registry } from "../scheduling/registry.ts";
import type { Routing, Timeouts } from "../scheduling/routing.ts";
import type { Slots } from "../scheduling/slots.ts";
import type { Turnstile } from "../scheduling/turnstile.ts";
import type { KnownSchemas } from "../schemas/known-schemas.ts";
import type { Announcer } from "./announce.ts";
import type { JobStore } from "./job-store.ts";
import type { LimitHints } from "./limit-hints.ts";
import type { Outbound } from "./outbound.ts";
import type { ProgressBoard } from "./progress-board.ts";
import type { SecondLooks } from "./second-looks.ts";
import { NO_SUBMIT_RATES, type SubmitLimiter, type SubmitRates } from "./submit-rate.ts";
import type { JobLimits } from "./transition.ts";

/** Pools and timeouts as they are now: one immutable object, swapped as a whole. */
export interface SchedulingConfig {
  readonly routing: Routing;
  readonly timeouts: Timeouts;
}

/** What comes of a payload that does not keep to the schema of its topic. */
export type SchemaEnforcement = "enforce" | "warn" | "off";

export interface JobSettings extends JobLimits {
  readonly conflictsMax: number;
  readonly policyRetryMs: Ms;
  readonly contextKeepMs: Ms;
  readonly resultKeepMs: Ms;
  readonly storeTimeoutMs: Ms;
  readonly busTimeoutMs: Ms;
  /** How long a submission may wait for a slot that comes free soon, before its job is stored (scheduling/turnstile.ts); 0: not at all. */
  readonly patienceMs: Ms;
  /** The same for jobs of a batch, and for those from the bus: nobody expects their answer as soon. */
  readonly longPatienceMs: Ms;
  readonly allowsSelfApproval: boolean;
  readonly schemaEnforcement: SchemaEnforcement;
  readonly submitRates: SubmitRates;
  /** How often the snapshot of workers is written. */
  readonly workersSnapshotMs: Ms;
}

export interface JobParts {
  /** This process holds the policy and hears workers: it judges and places. Otherwise it hands jobs over to one that does. */
  readonly drives: boolean;
  readonly state: State;
  readonly jobs: JobStore;
  readonly payloads: Payloads;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly tracing: Tracing;
  readonly policy: Policy;
  readonly configs: EffectiveConfigs;
  readonly judge: SchemaJudge;
  readonly schemas: KnownSchemas;
  readonly registry: Registry;
  readonly placers: Placers;
  readonly drains: Drains;
  readonly secondLooks: SecondLooks;
  readonly scheduling: { readonly current: SchedulingConfig };
  readonly outbound: Outbound;
  readonly board: ProgressBoard;
  readonly slots: Slots;
  readonly congestion: Congestion;
  readonly turnstile: Turnstile;
  readonly limitHints: LimitHints;
  readonly submitLimiter: SubmitLimiter;
  readonly announcer: Announcer;
  readonly settings: JobSettings;
}

export const DEFAULT_JOB_SETTINGS: JobSettings = {
  doorbellMs: 5_000,
  approvalTtlMs: 30 * 86_400_000,
  backlogMaxMs: 86_400_000,
  stopGraceMs: 30_000,
  upkeepMs: 43_200_000,
  relistMs: 5 * 86_400_000,
  conflictsMax: 20,
  policyRetryMs: 5_000,
  contextKeepMs: 86_400_000,
  resultKeepMs: 86_400_000,
  storeTimeoutMs: 5_000,
  busTimeoutMs: 5_000,
  patienceMs: 100,
  longPatienceMs: 250,
  allowsSelfApproval: false,
  schemaEnforcement: "enforce",
  submitRates: NO_SUBMIT_RATES,
  workersSnapshotMs: 5_000,
};
