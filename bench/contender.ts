// Who is measured: the ways to get a job from a caller to its end.
// Owns:          which processes and servers each needs, how its ends are counted.
// Must not know: rounds, medians.

import { join } from "node:path";
import { Child } from "./child.ts";
import { LoadClient, type LoadResult, send } from "./load.ts";
import { type Fsync, type MeasuredNats, type MeasuredRedis, startMeasuredNats, startMeasuredRedis } from "./servers.ts";

export type Kind = "cordum dev" | "cordum NATS" | "cordum JetStream" | "floor" | "BullMQ HTTP" | "BullMQ alone";
export interface Shape {
  readonly workers: number;
  readonly slots: number;
  readonly connections: number;
  readonly fsync: Fsync;
}

/** CPU time by process, and counts, since its start. */
export interface Totals {
  readonly cpuMicros: { readonly [process: string]: number };
  readonly rssBytes: number;
  readonly redisReads: number;
  readonly redisScripts: number;
  readonly published: number;
  readonly versions: { readonly [server: string]: string };
}

export interface Contender extends AsyncDisposable {
  readonly kind: Kind;
  /** Resolves when all are accepted. */
  submit(count: number): Promise<LoadResult>;
  /** Jobs that have reached their end since the start. */
  ended(): Promise<number>;
  /** Milliseconds from the request until the end is seen, one job at a time. */
  serial(count: number): Promise<readonly number[]>;
  totals(): Promise<Totals>;
  /** Profiles the main thread of each process from now to the end, when it writes one file for each into the folder. */
  profileInto(folder: string): Promise<void>;
}

const KEY = "bench-key-0000000000";
const BODY = JSON.stringify({ prompt: "bench", topic: "job.bench" });
const PATH = "/api/v1/jobs";

export async function startContender(kind: Kind, shape: Shape): Promise<Contender> {
  await using started = new AsyncDisposableStack();
  const redis = kind === "cordum dev" ? undefined : started.use(await startMeasuredRedis(shape.fsync));
  const usesNats = kind === "cordum NATS" || kind === "cordum JetStream" || kind === "floor";
  const nats = usesNats ? started.use(await startMeasuredNats(kind === "cordum JetStream")) : undefined;
  const env = environmentOf(kind, shape, redis, nats);
  const children: Record<string, Child> = {};
  for (const [name, program] of Object.entries(PROGRAMS[kind]))
    children[name] = started.use(await Child.start(program, env));
  const owned = started.move();
  return {
    kind,
    ...(await loadOf(kind, children, shape)),
    totals: () => totalsOf(children, redis, nats),
    profileInto: async (folder) => {
      for (const [name, child] of Object.entries(children)) {
        const path = join(folder, `${kind.replaceAll(" ", "-")}-${name}.cpuprofile`);
        await child.startProfile();
        owned.defer(() => child.stopProfile(path));
      }
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Processes of each kind, in the order in which they start. */
const PROGRAMS: { readonly [K in Kind]: { readonly [process: string]: string } } = {
  "cordum dev": { system: "cordum-node" },
  "cordum NATS": { system: "cordum-node", worker: "cordum-worker" },
  "cordum JetStream": { system: "cordum-node", worker: "cordum-worker" },
  floor: { system: "floor-gate", worker: "floor-worker" },
  "BullMQ HTTP": { system: "bullmq-http", worker: "bullmq-worker" },
  "BullMQ alone": { system: "bullmq-alone" },
};

function environmentOf(kind: Kind, shape: Shape, redis: MeasuredRedis | undefined, nats: MeasuredNats | undefined) {
  return {
    BENCH_KEY: KEY,
    BENCH_WORKERS: String(shape.workers),
    BENCH_SLOTS: String(shape.slots),
    BENCH_CONNECTIONS: String(shape.connections),
    CORDUM_STATE: redis === undefined ? "sqlite" : "redis",
    ...(redis === undefined ? {} : { REDIS_URL: redis.url }),
    ...(nats === undefined ? {} : { NATS_URL: nats.url, NATS_USE_JETSTREAM: String(kind === "cordum JetStream") }),
  };
}

type LoadOf = Pick<Contender, "submit" | "ended" | "serial">;

async function loadOf(kind: Kind, children: Readonly<Record<string, Child>>, shape: Shape): Promise<LoadOf> {
  const { system } = children;
  if (system === undefined) throw new Error(`${kind} has no process`);
  if (kind === "BullMQ alone")
    return {
      submit: async (count) => {
        const latenciesMs = await system.run("add", count);
        return { accepted: count, refused: 0, latenciesMs: latenciesMs.toSorted((a, b) => a - b) };
      },
      ended: async () => (await system.read()).ended,
      serial: (count) => system.run("serial", count),
    };
  const target = { url: new URL(system.url), apiKey: KEY };
  return {
    submit: (requests) => send({ ...target, body: BODY, requests, connections: shape.connections }, PATH),
    ended: endedOf(kind, children, target),
    serial: (count) => serial(target, count),
  };
}

/** Of the referees each knows itself what it has ended. */
function endedOf(kind: Kind, { system, worker }: Readonly<Record<string, Child>>, target: Target): Contender["ended"] {
  if (kind === "floor") return async () => (await system?.read())?.ended ?? 0;
  if (kind === "BullMQ HTTP") return async () => (await worker?.read())?.ended ?? 0;
  return () => completed(target);
}

interface Target {
  readonly url: URL;
  readonly apiKey: string;
}

/** A caller that submits a job and asks for it until it has ended. */
async function serial(target: Target, count: number): Promise<readonly number[]> {
  using client = await LoadClient.connect(target);
  const tookMs: number[] = [];
  for (let n = 0; n < count; n++) {
    const sentAt = performance.now();
    const submitted = await client.ask("POST", PATH, BODY);
    const { job_id: id } = JSON.parse(submitted) as { readonly job_id: string };
    while (!(await client.ask("GET", `${PATH}/${id}`)).includes('"state":"SUCCEEDED"')) {
      if (performance.now() - sentAt > 30_000) throw new Error(`job ${id} did not end within 30 s`);
    }
    tookMs.push(performance.now() - sentAt);
  }
  return tookMs;
}

/** As the metrics say it: nothing has to be added to the process under measurement. */
async function completed({ url, apiKey }: Target): Promise<number> {
  const answer = await fetch(new URL("/metrics", url), { headers: { "x-api-key": apiKey } });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`/metrics answered ${answer.status}`);
  let sum = 0;
  for (const [, value] of text.matchAll(/^cordum_scheduler_jobs_completed_total\{[^}]*\} (\S+)$/gm))
    sum += Number(value);
  return sum;
}

async function totalsOf(
  children: Readonly<Record<string, Child>>,
  redis: MeasuredRedis | undefined,
  nats: MeasuredNats | undefined,
): Promise<Totals> {
  const cpuMicros: Record<string, number> = {};
  let rssBytes = 0;
  for (const [name, child] of Object.entries(children)) {
    const reading = await child.read();
    cpuMicros[name] = reading.cpuMicros;
    rssBytes += reading.rssBytes;
  }
  const [ofRedis, ofNats] = [await redis?.read(), await nats?.read()];
  if (ofRedis !== undefined) cpuMicros.redis = ofRedis.cpuMicros;
  if (ofNats !== undefined) cpuMicros.nats = ofNats.cpuMicros;
  const { user, system } = process.cpuUsage();
  cpuMicros.load = user + system;
  return {
    cpuMicros,
    rssBytes,
    redisReads: ofRedis?.reads ?? Number.NaN,
    redisScripts: ofRedis?.scripts ?? Number.NaN,
    published: ofNats?.published ?? Number.NaN,
    versions: {
      ...(ofRedis === undefined ? {} : { redis: ofRedis.version }),
      ...(ofNats === undefined ? {} : { nats: ofNats.version }),
    },
  };
}
