// Definition: what a worker does for one topic.
// Owns:          `worker(...)` in its shapes, the defaults, the checks on what was given.
// Must not know: connections, packets, how jobs are queued.
// D1. A definition is inert: nothing runs before it is started.
// D2. What cannot be right (a topic with blanks, a concurrency of zero) throws TypeError here, not at the first job.

import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { WorkerConnection } from "./connection.ts";
import { validateInput, validateOutput } from "./input.ts";
import type { JobContext, TopicHandler, WorkerOptions } from "./job-context.ts";
import { type Serving, type StartOptions, serve } from "./serve.ts";
import { isTopic } from "./wire.ts";

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

export interface WorkerDefinition extends TopicHandler {
  /** Starts a process that serves this topic alone; see `serve` for several. A URL is opened here and closed with the drain. */
  start(connection: WorkerConnection | string, options?: StartOptions): Promise<Serving>;
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
    start: (to, options = {}) =>
      serve([definition], { ...options, ...(typeof to === "string" ? { url: to } : { connection: to }) }),
  };
  return definition;
}
