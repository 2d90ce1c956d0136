// Streams: what may be captured, and by whom.
// Owns:          our stream, and the judgement on those that exist.
// Must not know: consumers, handlers.
// R1. CORDUM_SYS captures the three durable subjects and nothing else; no stream captures what workers listen to (`job.>`, `worker.>`):
//     its answer would make every delivery look heard (B1). Handshakes on `sys.worker.*` are not captured either: the stream would
//     answer them before we do, and keep their tokens.
// R2. Streams of the original (CORDUM_SYS on `sys.>`, CORDUM_JOBS) are narrowed in place where that is wanted, and refused otherwise;
//     their messages stay until they expire. A stream that is not ours is never changed.
// R3. Retention is by limits: a stream cannot change it, the original's has it; two groups consume results, which a work queue
//     forbids; and by interest, what is published before the first consumer exists would be lost. The price is disk: every message
//     stays for `ageMaxMs`.
// R4. Age and replicas of an existing stream are changed only where they are configured.

import {
  DiscardPolicy,
  type JetStreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import { Fault } from "../../ports/fault.ts";
import type { Log } from "../../ports/telemetry.ts";
import type { Ms } from "../../ports/time.ts";
import { askApi } from "./jetstream-api.ts";
import { DURABLE_SUBJECTS, overlap, WORKER_PATTERNS } from "./subjects.ts";

export const SYS_STREAM = "CORDUM_SYS";
const JOBS_STREAM = "CORDUM_JOBS";

export interface StreamSettings {
  /** NATS_JS_MAX_AGE; 168 h for a new stream when it is not set. */
  readonly ageMaxMs?: Ms;
  /** NATS_JS_REPLICAS; 1 for a new stream when it is not set. */
  readonly replicas?: number;
  /** Narrow wider streams of the original instead of refusing to start. */
  readonly adopt: boolean;
}

export interface StreamFacts {
  readonly name: string;
  readonly subjects: readonly string[];
  readonly retention: string;
}
export interface Judgement {
  /** Whole sentences, each with what to do. */
  readonly refusals: readonly string[];
  readonly changes: readonly {
    readonly name: string;
    readonly from: readonly string[];
    readonly to: readonly string[];
  }[];
  /** Whether CORDUM_SYS exists. */
  readonly exists: boolean;
}

const AGE_MS_MAX = 604_800_000;
const DUPLICATE_WINDOW_MS = 120_000;
const STREAMS_MAX = 10_000;

/** In JetStream mode: afterwards our stream is there. In core mode (`wanted` false): afterwards no stream is in the way.
 *  Rejects with BUS_MISCONFIGURED and sentences that say what to do. */
export async function arrangeStreams(
  jsm: JetStreamManager,
  { wanted, settings, log }: { readonly wanted: boolean; readonly settings: StreamSettings; readonly log: Log },
): Promise<void> {
  const judgement = judgeStreams(await listStreams(jsm), { wanted, adopt: settings.adopt });
  if (judgement.refusals.length > 0) throw new Fault("BUS_MISCONFIGURED", judgement.refusals.join(" "));
  for (const { name, from, to } of judgement.changes) {
    await askApi(`narrowing the stream ${name}`, () => jsm.streams.update(name, { subjects: [...to] }));
    log.warn("bus.stream_adopted", { stream: name, from, to });
  }
  if (!wanted) return;
  if (judgement.exists) await useSettings(jsm, settings, log);
  else await createStream(jsm, settings, log);
}

/** Pure. Subjects that a stream should have instead are in `changes`. */
export function judgeStreams(
  streams: readonly StreamFacts[],
  { wanted, adopt }: { readonly wanted: boolean; readonly adopt: boolean },
): Judgement {
  const refusals: string[] = [];
  const changes: Judgement["changes"][number][] = [];
  for (const stream of streams) {
    const to = subjectsFor(stream, wanted);
    if (to === undefined) {
      const captured = inTheWay(stream.subjects, wanted);
      if (captured.length > 0) refusals.push(foreignSentence(stream.name, captured));
      continue;
    }
    if (stream.name === SYS_STREAM && wanted && stream.retention !== RetentionPolicy.Limits) {
      refusals.push(retentionSentence(stream));
    }
    if (isSame(stream.subjects, to)) continue;
    const isWider = stream.subjects.some((subject) => !to.includes(subject));
    if (isWider && !adopt) refusals.push(wideSentence(stream));
    else changes.push({ name: stream.name, from: stream.subjects, to });
  }
  return { refusals, changes, exists: streams.some(({ name }) => name === SYS_STREAM) };
}

/** What one of our streams should capture; undefined for a stream that is not ours. */
function subjectsFor(stream: StreamFacts, wanted: boolean): readonly string[] | undefined {
  if (stream.name === JOBS_STREAM) {
    // A stream must have a subject; its own name is what NATS gives to one without.
    return inTheWay(stream.subjects, wanted).length > 0 ? [JOBS_STREAM] : stream.subjects;
  }
  if (stream.name !== SYS_STREAM) return undefined;
  const isFitting = stream.subjects.every((subject) => DURABLE_SUBJECTS.includes(subject));
  return isFitting && !wanted ? stream.subjects : DURABLE_SUBJECTS;
}

function inTheWay(subjects: readonly string[], wanted: boolean): readonly string[] {
  const free = wanted ? [...WORKER_PATTERNS, ...DURABLE_SUBJECTS] : WORKER_PATTERNS;
  return subjects.filter((subject) => free.some((pattern) => overlap(subject, pattern)));
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((subject) => b.includes(subject));
}

function foreignSentence(name: string, captured: readonly string[]): string {
  return (
    `The stream ${name} captures ${captured.join(", ")}: it would answer for workers, or take what belongs to ${SYS_STREAM}. ` +
    `Take these subjects out of it ("nats stream edit ${name}") and start again.`
  );
}

function wideSentence({ name, subjects }: StreamFacts): string {
  const effect =
    name === JOBS_STREAM ? "every delivery to a worker looks heard" : "handshakes and heartbeats are stored";
  return (
    `The stream ${name} captures ${subjects.join(", ")}, so that ${effect}. ` +
    "Set CORDUM_NATS_ADOPT_STREAMS=true to narrow it in place (its messages stay until they expire), " +
    `or delete it with "nats stream rm ${name}".`
  );
}

function retentionSentence({ name, retention }: StreamFacts): string {
  return `The stream ${name} keeps messages by ${retention}, which cannot be changed; delete it with "nats stream rm ${name}" when nothing waits in it.`;
}

async function listStreams(jsm: JetStreamManager): Promise<readonly StreamFacts[]> {
  return askApi("listing the streams", async () => {
    const streams: StreamFacts[] = [];
    for await (const { config } of jsm.streams.list()) {
      if (streams.length >= STREAMS_MAX) throw new Fault("BUS_MISCONFIGURED", `more than ${STREAMS_MAX} streams`);
      streams.push({ name: config.name, subjects: config.subjects ?? [], retention: config.retention });
    }
    return streams;
  });
}

async function createStream(jsm: JetStreamManager, settings: StreamSettings, log: Log): Promise<void> {
  const { ageMaxMs = AGE_MS_MAX, replicas = 1 } = settings;
  // Replicas of the control plane that start together create the same stream; the second is told that it is there.
  await askApi(`creating the stream ${SYS_STREAM}`, () =>
    jsm.streams.add({
      name: SYS_STREAM,
      subjects: [...DURABLE_SUBJECTS],
      retention: RetentionPolicy.Limits,
      storage: StorageType.File,
      discard: DiscardPolicy.Old,
      max_age: nanos(ageMaxMs),
      duplicate_window: nanos(Math.min(DUPLICATE_WINDOW_MS, ageMaxMs)),
      num_replicas: replicas,
    }),
  );
  log.info("bus.stream_created", { stream: SYS_STREAM, ageMaxMs, replicas });
}

async function useSettings(jsm: JetStreamManager, settings: StreamSettings, log: Log): Promise<void> {
  const { ageMaxMs, replicas } = settings;
  const { config } = await askApi(`reading the stream ${SYS_STREAM}`, () => jsm.streams.info(SYS_STREAM));
  if (config.storage !== StorageType.File) log.warn("bus.stream_in_memory", { stream: SYS_STREAM });
  const change: Partial<StreamConfig> = {
    ...(ageMaxMs === undefined || nanos(ageMaxMs) === config.max_age ? {} : { max_age: nanos(ageMaxMs) }),
    ...(replicas === undefined || replicas === config.num_replicas ? {} : { num_replicas: replicas }),
  };
  if (Object.keys(change).length === 0) return;
  const windowMax = change.max_age !== undefined && change.max_age > 0 ? change.max_age : config.duplicate_window;
  const window = Math.min(config.duplicate_window, windowMax);
  await askApi(`changing the stream ${SYS_STREAM}`, () =>
    jsm.streams.update(SYS_STREAM, { ...change, duplicate_window: window }),
  );
  log.info("bus.stream_changed", { stream: SYS_STREAM, ageMaxMs, replicas });
}
