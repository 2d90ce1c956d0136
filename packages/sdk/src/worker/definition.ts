// Definition: what a worker does for one topic.
// Owns:          `worker(...)` in its shapes, the defaults, the checks on what was given.
// Must not know: connections, packets, how jobs are queued.
// D1. A definition is inert: nothing runs before it is started.
// D2. What cannot be right (a topic with blanks, a concurrency of zero) throws TypeError here, not at the first job.

import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { WorkerConnection } from "./connection.ts";
import type { JobConstraints } from "./constraints.ts";
import { type JobInput, validateInput, validateOutput } from "./input.ts";
import type { WorkerLog } from "./log.ts";
import { type ServeOptions, type Serving, serve } from "./serve.ts";
import { isTopic } from "./wire.ts";

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

interface Topical extends WorkerOptions {
  /** `job.` and more segments of [A-Za-z0-9_-]. */
  readonly topic: string;
}
export interface CheckedWorker<In, Out> extends Topical {
  readonly input: StandardSchemaV1<unknown, In>;
  readonly output?: StandardSchemaV1<Out, unknown>;
  run(input: In, context: JobContext): Out | Promise<Out>;
}
export interface UncheckedWorker<Out> extends Topical {
  readonly input?: undefined;
  readonly output?: StandardSchemaV1<Out, unknown>;
  /** Without a schema nobody checks the input: whatever type is written here is trusted. */
  run(input: unknown, context: JobContext): Out | Promise<Out>;
}
/** A method, so that a handler may name the input type that it trusts. */
type UncheckedRun = UncheckedWorker<unknown>["run"];

export interface WorkerDefinition {
  readonly topic: string;
  readonly concurrency: number;
  readonly options: WorkerOptions;
  /** Validates, runs the handler, validates again. Throws what these throw. */
  invoke(input: JobInput, context: JobContext): Promise<unknown>;
  /** Starts a process that serves this topic alone; see `serve` for several. */
  start(connection: WorkerConnection, options?: Omit<ServeOptions, "connection">): Promise<Serving>;
}

export function worker(topic: string, run: UncheckedRun): WorkerDefinition;
export function worker<In, Out>(options: CheckedWorker<In, Out>): WorkerDefinition;
export function worker<Out>(options: UncheckedWorker<Out>): WorkerDefinition;
export function worker<In, Out>(
  given: string | CheckedWorker<In, Out> | UncheckedWorker<Out>,
  run?: UncheckedRun,
): WorkerDefinition {
  if (typeof given !== "string") return define(given, invoker(given));
  if (run === undefined) throw new TypeError(`worker for ${given} has no handler`);
  return define({ topic: given }, async (input, context) => run(input.candidates[0], context));
}

type Invoke = WorkerDefinition["invoke"];

function invoker<In, Out>(given: CheckedWorker<In, Out> | UncheckedWorker<Out>): Invoke {
  if (typeof given.run !== "function") throw new TypeError(`worker for ${given.topic} has no handler`);
  const { output } = given;
  const invoke: Invoke =
    given.input === undefined
      ? async (input, context) => given.run(input.candidates[0], context)
      : async (input, context) => given.run(await validateInput(given.input, input), context);
  if (output === undefined) return invoke;
  return async (input, context) => validateOutput(output, await invoke(input, context));
}

function define(given: Topical, invoke: Invoke): WorkerDefinition {
  const { topic, concurrency = 1 } = given;
  if (!isTopic(topic)) {
    throw new TypeError(`"${topic}" is not a topic: "job." and segments of letters, digits, _ and -`);
  }
  if (!Number.isInteger(concurrency) || concurrency < 1)
    throw new TypeError(`concurrency must be a whole number from 1, got ${concurrency}`);
  const definition: WorkerDefinition = {
    topic,
    concurrency,
    options: given,
    invoke,
    start: (connection, options = {}) => serve([definition], { ...options, connection }),
  };
  return definition;
}
