// Opening Redis for State and Payloads.
// Owns:          the settings with their defaults; the order of opening: connect, look, refuse or begin.
// Must not know: environment variables (services read them).

import type { Clock } from "../../ports/clock.ts";
import { Fault } from "../../ports/fault.ts";
import { PARTITIONS_MAX } from "../../ports/partition.ts";
import type { Payloads } from "../../ports/payloads.ts";
import { COMMIT_LATEST_MS, type Layout, type State } from "../../ports/state.ts";
import type { Log } from "../../ports/telemetry.ts";
import type { Ms } from "../../ports/time.ts";
import type { LaneSettings } from "./commit-lanes.ts";
import { parseEndpoint, type RedisEndpoint } from "./endpoint.ts";
import { type LinkSettings, RedisLink } from "./redis-link.ts";
import { redisPayloads } from "./redis-payloads.ts";
import { RedisState } from "./redis-state.ts";
import { checkStore, parseInfo } from "./store-checks.ts";

export interface RedisOptions extends RedisEndpoint {
  /** Written into the store at first start; later it has to be the same. Absent: what the store has, or PARTITIONS. */
  readonly partitions?: number | undefined;
  readonly layout: Layout;
  readonly clock: Clock;
  readonly durability?: {
    /** Replicas that must have a commit before it is answered; default 0. */
    readonly wait?: number;
    /** How long to wait for them; default 1 s. */
    readonly waitMsMax?: Ms;
  };
  /** Largest payload; default 8 MiB. */
  readonly payloadBytesMax?: number;
  readonly limits?: Partial<Omit<LaneSettings, "wait">> & Partial<LinkSettings>;
}

export interface OpenedRedis {
  readonly state: State;
  readonly payloads: Payloads;
  /** Round trips so far, for benches and tests. */
  calls(): number;
  /** Closes both: commits under way end first. */
  close(): Promise<void>;
}

/** Of a new store. Several share the work on a cluster; on a single Redis they would only multiply the commands. */
const PARTITIONS = { single: 1, cluster: 16 } as const;
const PAYLOAD_BYTES_MAX = 8_388_608;
const WAIT_MS_MAX = 1_000;
const LINK_DEFAULTS: LinkSettings = { callMsMax: COMMIT_LATEST_MS, silenceMsMax: 2_000, runsMax: 20_000 };
/** On a single Redis a second call keeps it busy while the first is answered. A cluster has a lane per slot, so one is enough there, and
 *  calls are fuller. */
const CALLS_MAX = { single: 2, cluster: 1 } as const;
const LANE_DEFAULTS = { batchesPerCallMax: 128, callBytesMax: 262_144, waitingMax: 20_000 } as const;

/** Connects and checks. Rejects with STATE_UNAVAILABLE when nobody answers and with STATE_MISCONFIGURED, in a sentence that says what to
 *  do, when a job could be lost. Both stores share their connections. */
export async function openRedis(options: RedisOptions, log: Log): Promise<OpenedRedis> {
  const { layout, clock, limits = {}, durability = {} } = options;
  if (options.partitions !== undefined) requirePartitions(options.partitions);
  const settings = { ...LINK_DEFAULTS, ...limits };
  const link = new RedisLink(parseEndpoint(options), { clock, log, settings });
  try {
    await findSlots(link);
    const atBirth = link.isCluster ? PARTITIONS.cluster : PARTITIONS.single;
    const { survives, partitions } = await checkStore(link, { asked: options.partitions, atBirth }, log);
    const lanes: LaneSettings = {
      ...LANE_DEFAULTS,
      callsMax: link.isCluster ? CALLS_MAX.cluster : CALLS_MAX.single,
      ...limits,
      ...waitOf(durability, settings.silenceMsMax),
    };
    const state = new RedisState({ link, partitions, layout, survives, lanes });
    const payloads = redisPayloads(link, { bytesMax: options.payloadBytesMax ?? PAYLOAD_BYTES_MAX, survives });
    const close = async (): Promise<void> => {
      await state.close();
      await payloads.close();
    };
    return { state, payloads, calls: () => link.sent, close };
  } catch (error) {
    link.close();
    throw error;
  }
}

/** As `openRedis`, for those who need no payloads. */
export async function openRedisState(options: RedisOptions, log: Log): Promise<State> {
  const { state, payloads } = await openRedis(options, log);
  await payloads.close();
  return state;
}

/** A single URL may lead into a cluster, and cluster addresses to a server that is none. */
async function findSlots(link: RedisLink): Promise<void> {
  const node = await link.untilReachable(link.closed);
  const answer = await node.send("INFO", ["server"]);
  const mode = answer.kind === "reply" ? modeOf(parseInfo(answer.reply)) : undefined;
  if (link.isCluster && mode !== "cluster") {
    throw new Fault(
      "STATE_MISCONFIGURED",
      `cluster addresses are given, but ${node.address} is no cluster; use REDIS_URL for a single Redis`,
    );
  }
  link.isCluster = mode === "cluster";
  if (link.isCluster) await link.loadSlots(link.clock.deadline(link.closed, link.settings.callMsMax));
  for (const master of link.masters()) await link.untilReady(master);
}

/** Valkey has renamed the field. */
function modeOf(info: ReadonlyMap<string, string>): string | undefined {
  return info.get("redis_mode") ?? info.get("server_mode");
}

function waitOf(durability: NonNullable<RedisOptions["durability"]>, silenceMsMax: Ms): Pick<LaneSettings, "wait"> {
  const { wait: replicas = 0, waitMsMax: timeoutMs = WAIT_MS_MAX } = durability;
  if (replicas === 0) return {};
  if (timeoutMs >= silenceMsMax) {
    throw new Fault(
      "STATE_MISCONFIGURED",
      `waiting ${timeoutMs} ms for replicas is no shorter than the ${silenceMsMax} ms after which a silent Redis is given up`,
    );
  }
  return { wait: { replicas, timeoutMs } };
}

function requirePartitions(partitions: number): void {
  if (Number.isInteger(partitions) && partitions >= 1 && partitions <= PARTITIONS_MAX) return;
  throw new Fault(
    "STATE_MISCONFIGURED",
    `${partitions} partitions are not possible; choose a whole number from 1 to ${PARTITIONS_MAX}`,
  );
}
