// Job context: what a handler knows about its job, and what the worker knows about a handler.
// Owns:          these types.
// Must not know: how definitions are made, how they are served.

import type { JobConstraints } from "./constraints.ts";
import type { JobInput } from "./input.ts";
import type { WorkerLog } from "./log.ts";

export type Texts = { readonly [name: string]: string };

/** What a handler knows about its job beside the input. */
export interface JobContext {
  readonly jobId: string;
  readonly topic: string;
  /** 1 = the first. */
  readonly attempt: number;
  /** Fires when the job is cancelled, its time is over or the worker stops. Hand it to everything that waits. */
  readonly signal: AbortSignal;
  readonly log: WorkerLog;
  /** The limits under which policy let the job through. */
  readonly constraints: JobConstraints;
  readonly env: Texts;
  readonly labels: Texts;
  readonly traceId: string;
  readonly tenant: string;
  /** The context of the job as it was stored, before any choice or validation. */
  readonly rawContext: unknown;
  /** Tells how far the job is, 0 to 100. Sending is the worker's business: it never fails and need not be awaited. */
  progress(percent: number, message?: string): void;
}

export interface WorkerOptions {
  /** Jobs of this topic at once: 1. */
  readonly concurrency?: number;
  /** Pool that the worker belongs to: the name that routing sends jobs to. */
  readonly pool?: string;
  /** [A-Za-z0-9_-], at most 64. Made from host, process and chance when absent. */
  readonly workerId?: string;
  readonly capabilities?: readonly string[];
  readonly labels?: Texts;
  readonly heartbeatIntervalMs?: number;
  /** How long results are kept: 24 h. */
  readonly resultTtlMs?: number;
  /** How long `drain` lets running jobs go on: 30 s. */
  readonly drainTimeoutMs?: number;
}

/** A definition as the worker runs it. */
export interface TopicHandler {
  readonly topic: string;
  readonly concurrency: number;
  readonly options: WorkerOptions;
  /** Validates, runs the handler, validates again. Throws what these throw. */
  invoke(input: JobInput, context: JobContext): Promise<unknown>;
}
