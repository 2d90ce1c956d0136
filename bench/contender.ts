// Who is measured: the ways to get a job from a caller to its end.
// Owns:          which processes and servers each needs, how its ends are counted, what it has spent.
// Must not know: rounds, medians, what a load looks like on the wire.

import { join } from "node:path";
import { Child } from "./child.ts";
import { type Load, type LoadName, openLoad } from "./loads.ts";
import { type Fsync, type MeasuredNats, type MeasuredRedis, startMeasuredNats, startMeasuredRedis } from "./servers.ts";

export type Kind =
  | "cordum dev"
  | "cordum NATS"
  | "cordum JetStream"
  | "cordum nodes"
  | "cordum fleet"
  | "floor"
  | "BullMQ HTTP"
  | "BullMQ alone";
export interface Shape {
  readonly load: LoadName;
  readonly workers: number;
  readonly slots: number;
  readonly connections: number;
  readonly fsync: Fsync;
  /** Schedulers of a fleet, each a process, beside one gateway. */
  readonly schedulers?: number;
  /** Of both roles, with callers shared out among them. */
  readonly nodes?: number;
}

/** CPU time by process, and counts, since its start. */
export interface Totals {
  readonly cpuMicros: { readonly [process: string]: number };
  readonly rssBytes: number;
  readonly redisBytes: number;
  readonly redisReads: number;
  readonly redisScripts: number;
  readonly published: number;
  readonly versions: { readonly [server: string]: string };
}

export interface Contender extends AsyncDisposable, Load {
  readonly kind: Kind;
  /** "" where there is none. */
  readonly redisUrl: string;
  /** Jobs that have reached their end since the start. */
  ended(): Promise<number>;
  totals(): Promise<Totals>;
  /** Profiles the main thread of each process from now to the end, when it writes one file for each into the folder. */
  profileInto(folder: string): Promise<void>;
}

export const KEY = "bench-key-0000000000";

export async function startContender(kind: Kind, shape: Shape): Promise<Contender> {
  await using started = new AsyncDisposableStack();
  const redis = kind === "cordum dev" ? undefined : started.use(await startMeasuredRedis(shape.fsync));
  const usesNats = kind.startsWith("cordum ") && kind !== "cordum dev";
  const needsNats = usesNats || kind === "floor";
  const nats = needsNats ? started.use(await startMeasuredNats(kind === "cordum JetStream")) : undefined;
  const env = environmentOf(kind, shape, redis, nats);
  const children: Record<string, Child> = {};
  for (const { name, program, roles = "gateway,scheduler" } of programsOf(kind, shape))
    children[name] = started.use(await Child.start(program, { ...env, BENCH_ROLES: roles }));
  const owned = started.move();
  const [system, ...others] = doorsOf(children);
  if (system === undefined) throw new Error(`${kind} has no process`);
  const load = owned.use(
    await openLoad(kind === "BullMQ alone" ? "inside" : shape.load, {
      systems: [system, ...others],
      apiKey: KEY,
      connections: shape.connections,
      natsUrl: nats?.url ?? "",
      redisUrl: redis?.url ?? "",
      isBatch: shape.load === "batch",
    }),
  );
  return {
    kind,
    redisUrl: redis?.url ?? "",
    submit: load.submit,
    serial: load.serial,
    ended: endedOf(kind, children),
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

interface Part {
  readonly name: string;
  readonly program: string;
  readonly roles?: string;
}

/** Processes of each kind, in the order in which they start. */
function programsOf(kind: Kind, { schedulers = 1, nodes = 1 }: Shape): readonly Part[] {
  if (kind === "cordum nodes")
    return [
      ...Array.from({ length: nodes }, (_, n) => ({ name: `system ${n + 1}`, program: "cordum-node" })),
      { name: "worker", program: "cordum-worker" },
    ];
  if (kind === "cordum fleet")
    return [
      { name: "gateway", program: "cordum-node", roles: "gateway" },
      ...Array.from({ length: schedulers }, (_, n) => ({
        name: `scheduler ${n + 1}`,
        program: "cordum-node",
        roles: "scheduler",
      })),
      { name: "worker", program: "cordum-worker" },
    ];
  return Object.entries(PROGRAMS[kind]).map(([name, program]) => ({ name, program }));
}

const PROGRAMS: {
  readonly [K in Exclude<Kind, "cordum nodes" | "cordum fleet">]: { readonly [process: string]: string };
} = {
  "cordum dev": { system: "cordum-node" },
  "cordum NATS": { system: "cordum-node", worker: "cordum-worker" },
  "cordum JetStream": { system: "cordum-node", worker: "cordum-worker" },
  floor: { system: "floor-gate", worker: "floor-worker" },
  "BullMQ HTTP": { system: "bullmq-http", worker: "bullmq-worker" },
  "BullMQ alone": { system: "bullmq-alone" },
};

/** Processes that callers ask. */
function doorsOf(children: Readonly<Record<string, Child>>): readonly Child[] {
  const names = Object.keys(children).filter((name) => name.startsWith("system") || name === "gateway");
  return names.flatMap((name) => children[name] ?? []);
}

/** What the programs of ./programs read. */
export function environmentOf(
  kind: Kind,
  shape: Shape,
  redis: MeasuredRedis | undefined,
  nats: MeasuredNats | undefined,
) {
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

/** Each program knows itself what it has ended; with several schedulers each has ended some. */
function endedOf(kind: Kind, children: Readonly<Record<string, Child>>): Contender["ended"] {
  const countedBy = kind === "BullMQ HTTP" ? ["worker"] : Object.keys(children).filter((name) => name !== "worker");
  return async () => {
    let sum = 0;
    for (const name of countedBy) sum += (await children[name]?.ended()) ?? 0;
    return sum;
  };
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
    redisBytes: ofRedis?.bytes ?? Number.NaN,
    redisReads: ofRedis?.reads ?? Number.NaN,
    redisScripts: ofRedis?.scripts ?? Number.NaN,
    published: ofNats?.published ?? Number.NaN,
    versions: {
      ...(ofRedis === undefined ? {} : { redis: ofRedis.version }),
      ...(ofNats === undefined ? {} : { nats: ofNats.version }),
    },
  };
}
