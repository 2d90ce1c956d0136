// What Redis must be like before we trust it with jobs.
// Owns:          the checks at opening, each with a sentence that says what to do; the number of partitions kept in the store.
// Must not know: records, batches.
// C1. Every refusal is STATE_MISCONFIGURED. C2. What cannot be asked (a managed Redis without CONFIG) is taken as the weaker case.

import { Fault } from "../../ports/fault.ts";
import type { StateTraits } from "../../ports/state.ts";
import type { Log } from "../../ports/telemetry.ts";
import type { EpochMs, Ms } from "../../ports/time.ts";
import { STORE_KEY, slotOf } from "./keys.ts";
import type { RedisLink } from "./redis-link.ts";
import type { RedisNode, Reply } from "./redis-node.ts";

const FORMAT = 1;
const VERSION_MIN = { major: 7, minor: 0 } as const;
/** Servers of one cluster, and a server against this process' monotonic clock. */
const CLOCK_SKEW_MS_MAX = 2_000;

type Survives = StateTraits["survives"];

export interface PartitionsWanted {
  /** undefined: those of the store. */
  readonly asked: number | undefined;
  /** Of a store that is begun now, when nothing was asked. */
  readonly atBirth: number;
}

export interface CheckedStore {
  /** What an accepted commit survives. */
  readonly survives: Survives;
  readonly partitions: number;
}

/** Throws STATE_MISCONFIGURED when a job could be lost here. */
export async function checkStore(link: RedisLink, wanted: PartitionsWanted, log: Log): Promise<CheckedStore> {
  const nodes = link.masters();
  const before: Sample[] = [];
  for (const node of nodes) before.push(await sample(link, node));
  const survives: Survives[] = [];
  for (const node of nodes) survives.push(await checkServer(node));
  const partitions = await settlePartitions(link, wanted);
  const after: Sample[] = [];
  for (const node of nodes) after.push(await sample(link, node));
  for (const [at, taken] of after.entries()) checkClock(before[at] ?? taken, taken);
  checkAgreement(after);
  const weakest = survives.includes("nothing") ? "nothing" : survives.includes("process") ? "process" : "power";
  if (weakest !== "power") {
    log.warn("redis.not_durable", { survives: weakest, advice: "set appendonly yes and appendfsync always" });
  }
  return { survives: weakest, partitions };
}

async function checkServer(node: RedisNode): Promise<Survives> {
  const info = parseInfo(await ask(node, "INFO", []));
  const version = info.get("valkey_version") ?? info.get("redis_version") ?? "";
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (!(major > VERSION_MIN.major || (major === VERSION_MIN.major && minor >= VERSION_MIN.minor))) {
    throw misconfigured(`${node.address} is version "${version}"; use Redis 7.0 or later, or Valkey`);
  }
  const policy = info.get("maxmemory_policy");
  if (policy !== "noeviction") {
    const why = `maxmemory-policy of ${node.address} is "${policy}", which deletes jobs when memory is short`;
    throw misconfigured(`${why}; set "maxmemory-policy noeviction"`);
  }
  if (info.get("role") === "slave") throw misconfigured(`${node.address} is a replica; name its master`);
  if (info.get("aof_enabled") !== "1") return "nothing";
  const fsync = await node.send("CONFIG", ["GET", "appendfsync"]);
  return fsync.kind === "reply" && Array.isArray(fsync.reply) && fsync.reply[1] === "always" ? "power" : "process";
}

/** Writes N at first start; afterwards N is what it was. */
async function settlePartitions(link: RedisLink, { asked, atBirth }: PartitionsWanted): Promise<number> {
  const options = { signal: link.closed, code: "STATE_UNAVAILABLE" } as const;
  const begun = JSON.stringify({ format: FORMAT, partitions: asked ?? atBirth });
  await link.run(slotOf(STORE_KEY), { name: "SET", args: [STORE_KEY, begun, "NX"] }, options);
  const found = String(await link.run(slotOf(STORE_KEY), { name: "GET", args: [STORE_KEY] }, options));
  const partitions = partitionsIn(found);
  if (partitions === undefined)
    throw misconfigured(`the store was begun as ${found.slice(0, 200)}, this version reads format ${FORMAT} alone`);
  if (asked === undefined || asked === partitions) return partitions;
  throw misconfigured(
    `the store was begun as ${found.slice(0, 200)}, this process is configured for ${begun}; use the same number of partitions`,
  );
}

const STORE_TEXT = /^\{"format":(\d{1,9}),"partitions":(\d{1,4})\}$/;

/** undefined: another format, or none of ours. */
function partitionsIn(text: string): number | undefined {
  const [, format, partitions] = STORE_TEXT.exec(text) ?? [];
  return Number(format) === FORMAT ? Number(partitions) : undefined;
}

interface Sample {
  readonly address: string;
  readonly storeMs: EpochMs;
  readonly monoMs: Ms;
}

async function sample(link: RedisLink, node: RedisNode): Promise<Sample> {
  const storeMs = parseTime(await ask(node, "TIME", []));
  const monoMs = link.clock.mono();
  link.storeTime.told(storeMs, monoMs);
  return { address: node.address, storeMs, monoMs };
}

function checkClock(before: Sample, after: Sample): void {
  const jumpMs = after.storeMs - before.storeMs - (after.monoMs - before.monoMs);
  if (Math.abs(jumpMs) <= CLOCK_SKEW_MS_MAX) return;
  throw misconfigured(
    `the clock of ${after.address} jumped by ${Math.round(jumpMs)} ms; let NTP slew it and start again`,
  );
}

function checkAgreement(samples: readonly Sample[]): void {
  const offsets = samples.map((taken) => taken.storeMs - taken.monoMs);
  const spreadMs = Math.max(...offsets) - Math.min(...offsets);
  if (spreadMs > CLOCK_SKEW_MS_MAX) {
    throw misconfigured(
      `the clocks of the Redis nodes differ by ${Math.round(spreadMs)} ms; synchronise them with NTP`,
    );
  }
}

/** Reply of TIME: seconds and microseconds, as text. */
export function parseTime(reply: Reply): EpochMs {
  const [seconds, micros] = Array.isArray(reply) ? reply : [];
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
}

export function parseInfo(reply: Reply): ReadonlyMap<string, string> {
  const lines = String(reply)
    .split("\r\n")
    .filter((line) => line.includes(":"));
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1)]));
}

async function ask(node: RedisNode, command: string, args: readonly string[]): Promise<Reply> {
  const answer = await node.send(command, args);
  if (answer.kind === "reply") return answer.reply;
  throw new Fault("STATE_UNAVAILABLE", `${node.address} did not answer ${command}`, { cause: answer });
}

function misconfigured(why: string): Fault {
  return new Fault("STATE_MISCONFIGURED", why);
}
