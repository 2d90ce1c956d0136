// Settings: what one worker process runs with.
// Owns:          the options of `serve`, their defaults and limits, and how the options of several definitions become one.
// Must not know: connections, packets.
// G1. What is said to `serve` counts; else what the definitions say, if they agree; else the default.
// G2. Definitions that disagree about what a process has only one of (id, pool …) are a TypeError, not a coin toss.

import { newWorkerId, type Runtime } from "../runtime.ts";
import type { Texts, TopicHandler, WorkerOptions } from "./job-context.ts";
import { isWorkerId } from "./wire.ts";

export interface ProcessOptions extends WorkerOptions {
  /** Jobs waiting inside this process for a free slot: 100. More are given back as retryable. */
  readonly waitingMax?: number;
  /** Ended jobs whose result is repeated when they are delivered once more: 2000. */
  readonly rememberedMax?: number;
  /** Largest context that is read: 8 MiB. */
  readonly inputBytesMax?: number;
  /** Largest result, as JSON: 2 MiB. */
  readonly resultBytesMax?: number;
  /** One call of the connection: 10 s. */
  readonly ioTimeoutMs?: number;
  /** How long a handler may take to end after its signal fired, before its job is reported without it: 5 s. */
  readonly stopGraceMs?: number;
}

export interface Settings {
  readonly workerId: string;
  readonly pool: string;
  readonly capabilities: readonly string[];
  readonly labels: Texts;
  readonly concurrency: number;
  readonly heartbeatIntervalMs: number;
  readonly drainTimeoutMs: number;
  readonly resultTtlMs: number;
  readonly waitingMax: number;
  readonly rememberedMax: number;
  readonly inputBytesMax: number;
  readonly resultBytesMax: number;
  readonly ioTimeoutMs: number;
  readonly stopGraceMs: number;
}

const HOUR_MS = 3_600_000;
/** A control plane keeps each result for at least a day from the end of its job on (its default). The minute lets it find that nothing is
 *  to be done: else it would extend every result by the milliseconds between the two, which is a twentieth of Redis' work for a job. */
const RESULT_TTL_MS = 24 * HOUR_MS + 60_000;
const MIB = 1024 * 1024;

/** Throws TypeError naming the option that cannot be right. */
export function resolveSettings(
  definitions: readonly TopicHandler[],
  options: ProcessOptions,
  runtime: Runtime,
): Settings {
  if (definitions.length === 0) throw new TypeError("there is nothing to serve");
  const topics = new Set(definitions.map((definition) => definition.topic));
  if (topics.size < definitions.length) throw new TypeError("two definitions serve the same topic");
  const said = definitions.map((definition) => definition.options);
  const workerId = one("workerId", options, said) ?? newWorkerId(runtime);
  if (!isWorkerId(workerId)) throw new TypeError(`workerId "${workerId}" is not of 1 to 64 letters, digits, _ and -`);
  return {
    workerId,
    pool: one("pool", options, said) ?? "default",
    capabilities: [...new Set([options, ...said].flatMap((each) => each.capabilities ?? []))],
    labels: mergeLabels([...said, options].map((each) => each.labels ?? {})),
    concurrency: whole(
      "concurrency",
      options.concurrency ?? definitions.reduce((sum, each) => sum + each.concurrency, 0),
      1,
    ),
    heartbeatIntervalMs: whole("heartbeatIntervalMs", one("heartbeatIntervalMs", options, said) ?? 5_000, 10),
    drainTimeoutMs: whole("drainTimeoutMs", one("drainTimeoutMs", options, said) ?? 30_000, 0),
    resultTtlMs: whole("resultTtlMs", one("resultTtlMs", options, said) ?? RESULT_TTL_MS, 1),
    waitingMax: whole("waitingMax", options.waitingMax ?? 100, 0),
    rememberedMax: whole("rememberedMax", options.rememberedMax ?? 2_000, 0),
    inputBytesMax: whole("inputBytesMax", options.inputBytesMax ?? 8 * MIB, 1),
    resultBytesMax: whole("resultBytesMax", options.resultBytesMax ?? 2 * MIB, 1),
    ioTimeoutMs: whole("ioTimeoutMs", options.ioTimeoutMs ?? 10_000, 1),
    stopGraceMs: whole("stopGraceMs", options.stopGraceMs ?? 5_000, 0),
  };
}

type Single = "workerId" | "pool" | "heartbeatIntervalMs" | "drainTimeoutMs" | "resultTtlMs";

function one<K extends Single>(
  name: K,
  options: ProcessOptions,
  said: readonly WorkerOptions[],
): WorkerOptions[K] | undefined {
  if (options[name] !== undefined) return options[name];
  const values = new Set(said.map((each) => each[name]).filter((value) => value !== undefined));
  if (values.size > 1)
    throw new TypeError(`definitions disagree about ${name}: ${[...values].join(", ")}; say it to serve`);
  return [...values][0];
}

function mergeLabels(all: readonly Texts[]): Texts {
  return Object.fromEntries(all.flatMap((labels) => Object.entries(labels)));
}

function whole(name: string, value: number, least: number): number {
  if (!Number.isSafeInteger(value) || value < least)
    throw new TypeError(`${name} must be a whole number from ${least}, got ${value}`);
  return value;
}
